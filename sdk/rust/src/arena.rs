//! A guest's allocator: a static region handed out from front to back and taken back as a whole before
//! each call, so that an ordinary call never grows the memory (which costs 8 us) and nothing is ever
//! freed. A batch too large for the region goes on in grown memory, which is kept for later calls.
//!
//! One thread, no locks: a guest has one. A growth past the host's limit traps.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;

/// Bytes of the static region. With the 16 KiB stack and the constants of a small plugin this makes a
/// memory of one 64 KiB page, which is what a soft reset of an instance has to restore.
const ARENA_BYTES: usize = 32 * 1024;
const PAGE_BYTES: usize = 64 * 1024;
/// Batches and their buffers are aligned so.
const BATCH_ALIGN: usize = 64;

#[repr(align(64))]
struct Region(core::cell::UnsafeCell<[u8; ARENA_BYTES]>);

/// Where the next allocation goes, and where the room ends.
struct Arena {
    next: Cell<usize>,
    end: Cell<usize>,
    /// Where grown memory begins and ends; 0: it was never grown.
    grown: Cell<(usize, usize)>,
}

#[expect(unsafe_code, reason = "a guest has one thread")]
// SAFETY: wasm32-unknown-unknown without threads runs one thread; nothing here is re-entrant.
unsafe impl Sync for Region {}
#[expect(unsafe_code, reason = "a guest has one thread")]
// SAFETY: as above.
unsafe impl Sync for Arena {}

static REGION: Region = Region(core::cell::UnsafeCell::new([0; ARENA_BYTES]));

#[global_allocator]
static ARENA: Arena = Arena { next: Cell::new(0), end: Cell::new(0), grown: Cell::new((0, 0)) };

/// Takes back everything that was handed out.
pub(crate) fn reset() {
    let start = REGION.0.get() as usize;
    ARENA.next.set(start);
    ARENA.end.set(start + ARENA_BYTES);
}

/// `len` bytes, aligned for a batch; null: no room.
pub(crate) fn take(len: usize) -> *mut u8 {
    ARENA.take(len.max(1), BATCH_ALIGN)
}

impl Arena {
    fn take(&self, len: usize, align: usize) -> *mut u8 {
        if self.end.get() == 0 {
            reset();
        }
        let fits = |next: usize, end: usize| {
            let at = next.checked_add(align - 1)? & !(align - 1);
            let after = at.checked_add(len)?;
            (after <= end).then_some((at, after))
        };
        let found = fits(self.next.get(), self.end.get()).or_else(|| {
            self.grow(len + align)?;
            fits(self.next.get(), self.end.get())
        });
        let Some((at, after)) = found else { return core::ptr::null_mut() };
        self.next.set(after);
        at as *mut u8
    }

    /// Goes on in grown memory, growing it further if it must.
    #[cold]
    fn grow(&self, len: usize) -> Option<()> {
        let (mut start, mut end) = self.grown.get();
        let in_grown = start != 0 && (start..=end).contains(&self.next.get());
        let next = if in_grown { self.next.get() } else { start };
        if start == 0 || next.checked_add(len)? > end {
            let missing = (next.checked_add(len)?).saturating_sub(end).max(PAGE_BYTES);
            // Twice what is there, so that a large batch grows a few times and not once a column.
            let pages = missing.max(end - start).div_ceil(PAGE_BYTES);
            let old = core::arch::wasm32::memory_grow::<0>(pages);
            if old == usize::MAX {
                return None;
            }
            if start == 0 {
                (start, end) = (old * PAGE_BYTES, old * PAGE_BYTES);
            }
            end += pages * PAGE_BYTES;
            self.grown.set((start, end));
        }
        self.next.set(if next == 0 { start } else { next });
        self.end.set(end);
        Some(())
    }
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: `take` gives ranges that don't overlap until `reset`, which the glue calls only between calls,
// when no value of the guest is alive but statics; those must not own memory (see the crate's docs).
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout.size(), layout.align())
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // The last one handed out is taken back, so that temporaries of a row cost nothing.
        if place as usize + layout.size() == self.next.get() {
            self.next.set(place as usize);
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        let at = place as usize;
        if at + layout.size() == self.next.get() && at.saturating_add(len) <= self.end.get() {
            self.next.set(at + len);
            return place;
        }
        if len <= layout.size() {
            return place;
        }
        let new = self.take(len, layout.align());
        if !new.is_null() {
            // SAFETY: both ranges are of this allocator, don't overlap, and the old one is the shorter.
            unsafe { core::ptr::copy_nonoverlapping(place, new, layout.size()) };
        }
        new
    }
}
