//! The store as its owner sees it: one call per job; how each is done is in the file of that job.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use skewless_catalog::{Catalog, Frame, ViewSchema};

use crate::apply::Applied;
use crate::commit;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::fault::{self, Fault};
use crate::info::StoreInfo;
use crate::live::Shared;
use crate::loader::{CommitMode, CommitReport, Loader};
use crate::meta::Meta;
use crate::open::{self, OpenReport};
use crate::queue::{Applier, SourceOffset};
use crate::read::{self, LookupPhase, ReadScratch};
use crate::rows::Rows;
use crate::salvage::{self, SalvageReport};
use crate::schema;
use crate::views::{StorePlan, ViewHandle, ViewSet};

/// An open store. Share it in an `Arc`; every call takes `&self`. Dropping it applies what is queued,
/// then closes.
pub struct Store {
    pub(crate) applier: Applier,
    pub(crate) shared: Arc<Shared>,
}

impl Store {
    /// Opens the store in a folder, or creates it in an empty one.
    pub fn open(
        dir: impl AsRef<Path>,
        config: StoreConfig,
    ) -> Result<(Self, OpenReport), StoreError> {
        let (shared, report) = open::open(dir.as_ref(), config)?;
        let applier = Applier::start(shared.clone())?;
        Ok((Self { applier, shared }, report))
    }

    /// Cuts a damaged log at the damage: **everything acknowledged after it is lost** and must be replayed
    /// from the offsets in the report. Only for a store whose open said an error that
    /// [`StoreError::is_salvageable`].
    pub fn salvage(
        dir: impl AsRef<Path>,
        config: StoreConfig,
    ) -> Result<SalvageReport, StoreError> {
        salvage::salvage(dir.as_ref(), config)
    }

    /// Makes the store fit a catalog's views and binds them. Two sets may be in use at once: the one
    /// before goes on working for what is in flight.
    pub fn set_views(&self, catalog: &Catalog) -> Result<ViewSet, StoreError> {
        self.set_schemas(schema::schemas(catalog))
    }

    /// Like [`Store::set_views`], from schemas; the index of each is its [`skewless_catalog::ViewId`].
    pub fn set_schemas(&self, schemas: Vec<ViewSchema>) -> Result<ViewSet, StoreError> {
        self.applier.control(move |shared| schema::install(shared, &schemas))
    }

    /// Fills the slots, statuses and event times of the plan's lookups as the visibility rule gives them at
    /// `t_us`, all at one sequence, which is returned. The frame's keys must be filled.
    ///
    /// [`ReadScratch::as_of_us`] is the exact time answered, `t_us` unless newer rows came meanwhile. The
    /// event time is also given for rows that are OUTSIDE_MAX_AGE.
    pub fn read(
        &self,
        plan: &StorePlan,
        t_us: i64,
        frame: &mut Frame,
        scratch: &mut ReadScratch,
    ) -> Result<u64, StoreError> {
        self.read_timed(plan, t_us, frame, scratch, &mut |_, _| {})
    }

    /// Like [`Store::read`], and says when each lookup, by its index in the plan, starts and ends; the store
    /// reads no clock. Lookups are read one after another. A read that starts again reports them again, and
    /// a lookup that fails, or during which it starts again, has no end. Encoding of keys and the snapshot are shared, so belong to none.
    pub fn read_timed(
        &self,
        plan: &StorePlan,
        t_us: i64,
        frame: &mut Frame,
        scratch: &mut ReadScratch,
        moment: &mut dyn FnMut(usize, LookupPhase),
    ) -> Result<u64, StoreError> {
        read::read(&self.shared, &self.applier, plan, t_us, frame, scratch, moment)
    }

    /// Applies rows: all or none. Waits until they are written; what that means for their survival is
    /// [`StoreConfig::sync`] and in the answer. Rows not due at `now_us` wait in the store.
    pub fn apply(
        &self,
        view: &ViewHandle,
        rows: &Rows,
        now_us: i64,
        source: Option<SourceOffset>,
    ) -> Result<Applied, StoreError> {
        self.applier.apply(view, rows, now_us, source)
    }

    /// Up to where a source was applied, if ever.
    pub fn source_offset(&self, source: &str) -> Result<Option<u64>, StoreError> {
        let live = self.shared.pinned()?;
        Meta { db: &live.db, family: &live.meta }.offset(source)
    }

    /// Begins a bulk load of one view. Rows due at `now_us` can be read once it is committed.
    pub fn stage(&self, view: &Arc<ViewHandle>, now_us: i64) -> Result<Loader, StoreError> {
        Loader::new(self.shared.clone(), view.clone(), now_us)
    }

    /// Makes a load the view's next generation: readers see the old rows or the new, never a mix in one answer. A
    /// merge reads all of the old rows, beside reads and writes of every view. One commit at a time: others wait.
    pub fn commit(
        &self,
        mut loader: Loader,
        mode: CommitMode,
        now_us: i64,
    ) -> Result<CommitReport, StoreError> {
        loader.finish()?;
        commit::commit(&self.shared, &self.applier, loader, mode, now_us)
    }

    /// Whether a read at this time must wait for rows that fell due to be moved, for as long as another write or load
    /// takes.
    #[must_use]
    pub fn must_wait(&self, t_us: i64) -> bool {
        self.shared.next_due_us.load(Ordering::SeqCst) <= t_us
    }

    /// Sets the store's clock: promotes rows that fell due, without waiting, and lets compaction reclaim what
    /// expired. While writes are refused it looks whether they go on. Call it every second or so.
    pub fn tick(&self, now_us: i64) {
        self.shared.clock_us.store(now_us, Ordering::Relaxed);
        if self.shared.next_due_us.load(Ordering::SeqCst) <= now_us {
            self.applier.promote_soon(now_us);
        }
        if self.shared.fault.load().is_some() {
            self.applier.control_soon(fault::look_again);
        }
    }

    /// Compacts every view, so that rows expired by the store's clock shrink. Takes long; readers go on.
    pub fn reclaim(&self) -> Result<(), StoreError> {
        let live = self.shared.pinned()?;
        for (_, generation) in live.views() {
            let mut options = rocksdb::CompactOptions::default();
            options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
            let all = None::<&[u8]>;
            live.db.compact_range_cf_opt(&generation.rows.handle, all, all, &options);
        }
        Ok(())
    }

    /// Writes every memtable to files, so that the next open replays nothing. For a calm shutdown.
    pub fn flush(&self) -> Result<(), StoreError> {
        let live = self.shared.pinned()?;
        let rocks = |error| self.shared.broke(error);
        for (_, generation) in live.views() {
            live.db.flush_cf(&generation.rows.handle).map_err(rocks)?;
            live.db.flush_cf(&generation.wait.handle).map_err(rocks)?;
        }
        live.db.flush_cf(&live.meta.handle).map_err(rocks)
    }

    /// The panic that ended the apply thread, if one did: nothing is applied, promoted or loaded any more, and
    /// reads of rows that are due fail. Only opening the store anew helps.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.shared.poisoned.get().map(String::as_str)
    }

    /// Calls this once [`Store::poisoned`] says something: at once if it does already, else on the apply thread as that
    /// ends. Only the last one given is called.
    pub fn when_poisoned(&self, tell: impl FnOnce() + Send + 'static) {
        let mut when = self.shared.when_poisoned.lock().unwrap_or_else(PoisonError::into_inner);
        *when = Some(Box::new(tell));
        drop(when);
        // The thread sets the one before it looks for the other, and this does it the other way round.
        if self.poisoned().is_some() {
            self.shared.tell_poisoned();
        }
    }

    /// Panics on the apply thread. For tests of whoever holds a store: nobody outside can bring it about.
    #[doc(hidden)]
    pub fn poison_for_test(&self) {
        // The answer is lost as the thread ends; [`Store::poisoned`] says so a little later.
        let _ = self.applier.control::<()>(|_| panic!("poisoned by a test"));
    }

    /// What the store says about itself.
    pub fn info(&self) -> Result<StoreInfo, StoreError> {
        crate::info::info(&self.shared)
    }

    /// Why writes are refused, if the last one was; reads go on.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.shared.fault()
    }

    /// Whether the view holds any row, or one that waits.
    pub fn has_rows(&self, view: &ViewHandle) -> Result<bool, StoreError> {
        let live = self.shared.pinned()?;
        crate::info::has_rows(&self.shared, &live, live.generation(&view.stored)?)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.applier.stop();
        // Closes the database even if a loader was forgotten somewhere.
        self.shared.live.store(None);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// Applying, promoting, loading and changing views all run there: whichever panics, the store knows.
    #[test]
    fn a_store_whose_apply_thread_panicked_says_so_without_being_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { cache_bytes: 1 << 20, ..StoreConfig::default() };
        let (mut store, _) = Store::open(dir.path(), config).unwrap();
        assert_eq!(store.poisoned(), None);
        let (tell, told) = std::sync::mpsc::channel();
        let again = tell.clone();
        store.when_poisoned(move || tell.send("as it ended").unwrap());
        let lost = store.applier.control::<()>(|_| panic!("a defect")).unwrap_err();
        assert!(matches!(lost, StoreError::Poisoned { .. }), "{lost}");
        // The answer is lost as the panic unwinds, the reason is there once the thread has ended.
        store.applier.stop();
        assert_eq!(store.poisoned(), Some("a defect"));
        assert_eq!(told.try_recv(), Ok("as it ended"));
        store.when_poisoned(move || again.send("it had ended").unwrap());
        assert_eq!(told.try_recv(), Ok("it had ended"));
    }
}
