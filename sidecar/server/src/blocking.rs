//! Work that waits for the disk or the compiler, off the threads that answer calls; not a limit on how much of it
//! there is, which the callers' gates are.
//!
//! What takes seconds of a core, as a bulk load and a reload do, gives way to those threads as well: the system gives its thread
//! a tenth of a core that both want. Compaction does so on RocksDB's own threads (`store/src/options.rs`).

use crate::status::ServeError;

/// Does `work` on a thread for such work. A panic in it costs its call alone. The work is done even if nobody waits
/// for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    let work = tokio::task::spawn_blocking(work);
    work.await.unwrap_or_else(|error| Err(ServeError::Panic(error.to_string())))
}

/// As [`blocking`], for work that gives way.
pub(crate) async fn background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    blocking(move || giving_way(work)).await
}

/// Does `work` on a thread that is made for it and gives way to others. What is done by several threads elsewhere,
/// as the compiler does, is done by this one alone: a pool of one thread. It costs some tens of microseconds.
pub(crate) fn giving_way<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(|_| "skewless-work".to_owned())
        .start_handler(|_| give_way())
        .build();
    match pool {
        Ok(pool) => pool.install(work),
        Err(error) => {
            tracing::warn!(%error, "no thread that gives way can be had; the work is done without");
            work()
        }
    }
}

/// Niceness of work that gives way: the weight of its thread is then a tenth of the usual one's.
const NICENESS: libc::c_int = 10;

/// Lowers this thread's priority, for good: raising one again takes a privilege.
fn give_way() {
    #[expect(unsafe_code, reason = "the standard library knows no priorities")]
    // SAFETY: the call takes numbers alone. On Linux it is about the thread that calls it.
    let failed = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    if failed != 0 {
        let error = std::io::Error::last_os_error();
        tracing::warn!(%error, "a thread for bulk loads or reloads keeps the usual priority");
    }
}

#[cfg(test)]
mod tests {
    use rayon::iter::{IntoParallelIterator, ParallelIterator};

    use super::*;

    /// Niceness of this thread: the 19th field of `proc_pid_stat(5)`, the third being the first behind the name.
    fn niceness() -> Option<i32> {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()
    }

    #[tokio::test]
    async fn work_in_the_background_gives_way_and_other_work_does_not() {
        let usual = niceness().expect("a niceness");
        let of = |niceness: Option<i32>| niceness.ok_or(ServeError::Panic("none".to_owned()));
        assert_eq!(blocking(move || of(niceness())).await.ok(), Some(usual));
        let work = move || of((0..8).into_par_iter().map(|_| niceness()).min().flatten());
        assert_eq!(background(work).await.ok(), Some(NICENESS.max(usual)), "nor does a part of it");
        assert_eq!(niceness(), Some(usual));
    }

    #[tokio::test]
    async fn a_panic_becomes_the_answer() {
        let answer: Result<(), ServeError> = blocking(|| panic!("a defect")).await;
        assert!(matches!(answer, Err(ServeError::Panic(why)) if why.contains("panic")));
        let answer: Result<(), ServeError> = background(|| panic!("a defect")).await;
        assert!(matches!(answer, Err(ServeError::Panic(why)) if why.contains("panic")));
    }
}
