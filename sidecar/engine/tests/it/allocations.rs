//! The hot path allocates nothing per row or feature: counted by this process's allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use skewless_catalog::InstancePolicy::{Reset, Reused};
use skewless_engine::{Budget, Worker};

use crate::harness::{engine, frame, load, program};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator can only be watched by being one")]
// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory of
// its own but a thread-local cell that needs no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_execution_allocates_nothing_whatever_the_number_of_rows() {
    let engine = engine();
    let plugin = load(&engine, "adds");
    for policy in [Reset, Reused] {
        let program = program(&[(&plugin, policy, [0, 1]), (&plugin, policy, [2, 1])]);
        for rows in [1, 1_000] {
            let rows: Vec<_> =
                (0..rows).map(|row| (Some(1.0), (row % 3 != 1).then_some(2.0))).collect();
            let mut frame = frame(&program, &rows);
            let mut worker = Worker::new(&engine);
            let mut execute = || {
                let before = ALLOCATIONS.get();
                worker.execute(&program, &mut frame, Budget::online(1_000), &mut |_, _| {});
                ALLOCATIONS.get() - before
            };
            assert!(execute() > 0, "the first makes the instance: otherwise nothing was counted");
            execute();
            assert_eq!((execute(), execute()), (0, 0), "{policy:?}, {} rows", rows.len());
        }
    }
}
