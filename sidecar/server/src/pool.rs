//! Things that are costly to make and are used by one call at a time; not a limit: who finds none makes a
//! new one.
//!
//! Each thread has a shard of its own, where it nearly always finds what it used last, still in its core's
//! caches, and meets nobody. Only a thread that finds its shard empty looks through the others'. A shard holds one
//! thing and is locked for one move in or out, never across a call. As many idle things are kept as there are
//! shards: calls compute without waiting, so there are never more in use than threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

thread_local! {
    /// Numbers the threads that came to any pool, from 0.
    static THREAD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// Idle things of one kind.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    shards: Box<[Shard<T>]>,
}

/// On cache lines of its own, so that threads don't slow each other.
#[derive(Debug)]
#[repr(align(128))]
struct Shard<T>(Mutex<Option<T>>);

impl<T> Shard<T> {
    /// What is there, unless somebody is looking at it just now.
    fn open(&self) -> Option<MutexGuard<'_, Option<T>>> {
        match self.0.try_lock() {
            Ok(open) => Some(open),
            Err(TryLockError::Poisoned(open)) => Some(open.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> Pool<T> {
    /// A pool of so many shards, at least one.
    pub(crate) fn new(shards: usize) -> Self {
        Self { shards: (0..shards.max(1)).map(|_| Shard(Mutex::new(None))).collect() }
    }

    /// This thread's shard first, then the others.
    fn shards(&self) -> impl Iterator<Item = MutexGuard<'_, Option<T>>> {
        let mine = THREAD.with(|thread| *thread) % self.shards.len();
        let (before, from_mine) = self.shards.split_at(mine);
        from_mine.iter().chain(before).filter_map(Shard::open)
    }

    /// An idle thing, the one this thread used last if it is there; or a new one.
    pub(crate) fn take(&self, make: impl FnOnce() -> T) -> T {
        self.shards().find_map(|mut shard| shard.take()).unwrap_or_else(make)
    }

    /// Keeps it for the next, or drops it if every shard has one.
    pub(crate) fn give_back(&self, thing: T) {
        let free = self.shards().find(|shard| shard.is_none());
        if let Some(mut shard) = free {
            *shard = Some(thing);
        }
    }

    /// Drops what is idle.
    pub(crate) fn clear(&self) {
        while self.shards().find_map(|mut shard| shard.take()).is_some() {}
    }

    /// Lets `work` have what is in this thread's shard.
    pub(crate) fn with_mine(&self, work: impl FnOnce(&mut T)) {
        let mine = THREAD.with(|thread| *thread) % self.shards.len();
        if let Some(mut shard) = self.shards[mine].open()
            && let Some(thing) = shard.as_mut()
        {
            work(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_no_more_than_it_has_shards() {
        let pool = Pool::new(2);
        (1..=3).for_each(|number| pool.give_back(number));
        let mut taken = [pool.take(|| 9), pool.take(|| 9)];
        taken.sort_unstable();
        assert_eq!((taken, pool.take(|| 9)), ([1, 2], 9));
    }

    #[test]
    fn a_pool_that_was_cleared_has_nothing_left() {
        let pool = Pool::new(3);
        (1..=3).for_each(|number| pool.give_back(number));
        pool.clear();
        assert_eq!(pool.take(|| 9), 9);
        pool.clear();
    }

    #[test]
    fn a_thread_finds_what_it_gave_back_and_others_find_it_too() {
        let pool = Pool::new(4);
        pool.give_back(7);
        pool.with_mine(|thing| *thing += 1);
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| pool.take(|| 9)).join());
        assert_eq!(elsewhere.ok(), Some(8));
        assert_eq!(pool.take(|| 9), 9, "it is not here any more");
        pool.with_mine(|_| panic!("the shard is empty"));
    }
}
