//! Things that are costly to make and are used by one call at a time; not a limit: who finds none makes a
//! new one.
//!
//! Each thread has a place of its own, where it nearly always finds what it used last, still in its core's
//! caches, and meets nobody. Only a thread that finds its place empty looks through the others'. A place is
//! locked for one move in or out, never across a call. As many idle things are kept as there are places:
//! calls compute without waiting, so there are never more in use than threads.

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
    places: Box<[Place<T>]>,
}

/// On cache lines of its own, so that threads don't slow each other.
#[derive(Debug)]
#[repr(align(128))]
struct Place<T>(Mutex<Option<T>>);

impl<T> Place<T> {
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
    /// A pool with `places` places, at least one.
    pub(crate) fn new(places: usize) -> Self {
        Self { places: (0..places.max(1)).map(|_| Place(Mutex::new(None))).collect() }
    }

    /// This thread's place first, then the others.
    fn places(&self) -> impl Iterator<Item = MutexGuard<'_, Option<T>>> {
        let mine = THREAD.with(|thread| *thread) % self.places.len();
        let (before, from_mine) = self.places.split_at(mine);
        from_mine.iter().chain(before).filter_map(Place::open)
    }

    /// An idle thing, the one this thread used last if it is there; or a new one.
    pub(crate) fn take(&self, make: impl FnOnce() -> T) -> T {
        self.places().find_map(|mut place| place.take()).unwrap_or_else(make)
    }

    /// Keeps it for the next, or drops it if every place is taken.
    pub(crate) fn give_back(&self, thing: T) {
        let free = self.places().find(|place| place.is_none());
        if let Some(mut place) = free {
            *place = Some(thing);
        }
    }

    /// Drops what is idle.
    pub(crate) fn clear(&self) {
        while self.places().find_map(|mut place| place.take()).is_some() {}
    }

    /// Lets `work` have what is in this thread's place.
    pub(crate) fn with_mine(&self, work: impl FnOnce(&mut T)) {
        let mine = THREAD.with(|thread| *thread) % self.places.len();
        if let Some(mut place) = self.places[mine].open()
            && let Some(thing) = place.as_mut()
        {
            work(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_no_more_than_it_has_places() {
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
        pool.with_mine(|_| panic!("the place is empty"));
    }
}
