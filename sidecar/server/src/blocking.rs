//! Work that waits for the disk or the compiler, off the threads that answer calls; not a limit on how much of it
//! there is, which the callers' gates are.

use crate::status::ServeError;

/// Does `work` on a thread for such work. A panic in it costs its call alone. The work is done even if nobody waits
/// for it any more.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServeError> + Send + 'static,
) -> Result<T, ServeError> {
    let work = tokio::task::spawn_blocking(work);
    work.await.unwrap_or_else(|error| Err(ServeError::Panic(error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_the_answer() {
        let answer: Result<(), ServeError> = blocking(|| panic!("a defect")).await;
        assert!(matches!(answer, Err(ServeError::Panic(why)) if why.contains("panic")));
    }
}
