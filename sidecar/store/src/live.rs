//! What readers pin: the open database and the current generation of every view; not how it changes.
//!
//! A `Live` is immutable. A swap of generations publishes a new one; who pinned the old goes on
//! reading the old column families, which RocksDB keeps until their last handle is gone. The database
//! closes when the last `Live` is dropped.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use rocksdb::{BoundColumnFamily, Cache, DBWithThreadMode, MultiThreaded};
use skewless_batch::Type;
use skewless_catalog::ViewSchema;
use skewless_catalog::visibility::Rule;

use crate::changes::Changes;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::hot::Hot;
use crate::promotion::Promotions;
use crate::row::Columns;

pub(crate) type Db = DBWithThreadMode<MultiThreaded>;

/// A column family's handle that keeps its database open.
pub(crate) struct Family {
    // Order matters: the handle is dropped before the database may close.
    pub(crate) handle: Arc<BoundColumnFamily<'static>>,
    _db: Arc<Db>,
}

impl Family {
    #[expect(unsafe_code, reason = "the crate ties a handle to a borrow of its database")]
    pub(crate) fn find(db: &Arc<Db>, name: &str) -> Option<Self> {
        let handle: Arc<BoundColumnFamily<'_>> = db.cf_handle(name)?;
        // SAFETY: only the lifetime is changed. The handle is valid as long as the database is open;
        // `_db` keeps it open and is dropped after the handle, as fields are dropped in order, and
        // no code clones the handle out of this struct. `readers_during_a_swap_see_old_or_new` reads
        // through handles of dropped families.
        let handle = unsafe {
            std::mem::transmute::<Arc<BoundColumnFamily<'_>>, Arc<BoundColumnFamily<'static>>>(
                handle,
            )
        };
        Some(Self { handle, _db: db.clone() })
    }
}

/// One generation of one view's data.
pub(crate) struct Generation {
    pub(crate) number: u64,
    /// One row per key.
    pub(crate) rows: Family,
    /// Rows that wait for their due time.
    pub(crate) wait: Family,
    /// Whose rows are hot under this number; no other's are over the process's life.
    pub(crate) hot: u32,
}

/// Names of what a view's rows are about. Older versions didn't store them, or not all: what isn't known is taken to
/// be what the next definitions say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct About {
    pub(crate) entity: Option<String>,
    /// Parallel to the key types.
    pub(crate) keys: Option<Vec<String>>,
}

impl From<&ViewSchema> for About {
    fn from(schema: &ViewSchema) -> Self {
        let keys = schema.keys.iter().map(|(name, _)| name.clone()).collect();
        Self { entity: Some(schema.entity.clone()), keys: Some(keys) }
    }
}

/// A view as long as its rows stay readable: same entity, same keys, same types, same due times.
pub(crate) struct StoredView {
    /// Index into [`Live::generations`].
    pub(crate) index: usize,
    pub(crate) view: String,
    /// A key may get another name.
    pub(crate) about: ArcSwap<About>,
    pub(crate) keys: Vec<Type>,
    /// Boundary and lag; the TTL in it is unused, see `ttl_us`.
    pub(crate) rule: Rule,
    /// For the compaction filter; readers take the TTL of the definitions they were bound to.
    pub(crate) ttl_us: Arc<AtomicI64>,
    /// Only ever added to.
    pub(crate) columns: ArcSwap<Columns>,
    /// Replaced by an incompatible definition: no more writes.
    pub(crate) retired: AtomicBool,
    /// Held by whoever is bound to this view; a retired one nobody is bound to is let go.
    pub(crate) token: Arc<()>,
}

impl StoredView {
    pub(crate) fn new(
        index: usize,
        view: &str,
        about: About,
        keys: Vec<Type>,
        rule: Rule,
        ttl_us: Arc<AtomicI64>,
        columns: Columns,
    ) -> Self {
        Self {
            index,
            view: view.to_owned(),
            about: ArcSwap::from_pointee(about),
            keys,
            rule,
            ttl_us,
            columns: ArcSwap::from_pointee(columns),
            retired: AtomicBool::new(false),
            token: Arc::new(()),
        }
    }
}

/// What readers pin.
pub(crate) struct Live {
    /// By [`StoredView::index`]; `None` once a retired view was let go.
    pub(crate) generations: Vec<Option<Arc<Generation>>>,
    pub(crate) stored: Vec<Option<Arc<StoredView>>>,
    /// Of each view the index of the one that is current.
    pub(crate) current: HashMap<String, usize>,
    pub(crate) meta: Arc<Family>,
    pub(crate) db: Arc<Db>,
}

impl Live {
    /// The same with other contents to be changed before it is published.
    pub(crate) fn successor(&self) -> Self {
        Self {
            generations: self.generations.clone(),
            stored: self.stored.clone(),
            current: self.current.clone(),
            meta: self.meta.clone(),
            db: self.db.clone(),
        }
    }

    pub(crate) fn generation(&self, stored: &StoredView) -> Result<&Arc<Generation>, StoreError> {
        let found = self.generations.get(stored.index).and_then(Option::as_ref);
        found.ok_or_else(|| StoreError::Retired { view: stored.view.clone() })
    }

    /// The current views with their generations.
    pub(crate) fn views(&self) -> impl Iterator<Item = (&Arc<StoredView>, &Arc<Generation>)> {
        let both = self.stored.iter().zip(&self.generations);
        both.filter_map(|(stored, generation)| Some((stored.as_ref()?, generation.as_ref()?)))
            .filter(|(stored, _)| !stored.retired.load(Ordering::Acquire))
    }
}

/// What the store's owner, its readers and its apply thread share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) config: StoreConfig,
    pub(crate) cache: Cache,
    pub(crate) hot: Hot,
    /// `None` before the database is opened and once the store was dropped.
    pub(crate) live: ArcSwapOption<Live>,
    /// The owner's clock, for reclaiming only.
    pub(crate) clock_us: Arc<AtomicI64>,
    /// No waiting row is due before this.
    pub(crate) next_due_us: AtomicI64,
    /// What readers want promoted.
    pub(crate) promotions: Promotions,
    /// What is written to the view whose load is merged.
    pub(crate) changes: Changes,
    /// Held by the one commit under way.
    pub(crate) committing: Mutex<()>,
    /// The panic that ended the apply thread.
    pub(crate) poisoned: OnceLock<String>,
    /// Whom to tell of that.
    pub(crate) when_poisoned: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// What the last write failed with, if it failed.
    pub(crate) fault: ArcSwapOption<StoreError>,
    /// Whether RocksDB's list of files may name one that is gone (`fault.rs`).
    pub(crate) list_in_doubt: AtomicBool,
    /// Numbers staging folders and spare column families.
    pub(crate) stagings: AtomicU64,
}

impl Shared {
    pub(crate) fn live(&self) -> Result<Guard<Option<Arc<Live>>>, StoreError> {
        let live = self.live.load();
        if live.is_none() { Err(StoreError::Closed { dir: self.dir.clone() }) } else { Ok(live) }
    }

    pub(crate) fn pinned(&self) -> Result<Arc<Live>, StoreError> {
        self.live.load_full().ok_or_else(|| StoreError::Closed { dir: self.dir.clone() })
    }

    /// Tells whoever wants to know that the store is poisoned, once.
    pub(crate) fn tell_poisoned(&self) {
        let tell = self.when_poisoned.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(tell) = tell {
            tell();
        }
    }

    pub(crate) fn rocks(&self, error: rocksdb::Error) -> StoreError {
        StoreError::from_rocks(&self.dir, &error)
    }
}
