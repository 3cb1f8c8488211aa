//! Opening a store's folder; not whose it is (`folder.rs`), not creating views, which applying definitions does, and not
//! what to do about damage (`salvage.rs`).
//!
//! Open refuses what it can't trust and says what to do: a held LOCK, another format, another's folder, a
//! damaged file. It finishes what a kill interrupted: column families nobody points at are dropped, staging
//! folders are removed.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use arc_swap::ArcSwapOption;
use rocksdb::{Cache, ColumnFamilyDescriptor, DBRecoveryMode, IteratorMode, WriteBatch};

use crate::changes::Changes;
use crate::config::StoreConfig;
use crate::error::{RELOAD, SALVAGE, StoreError};
use crate::generation::find_generation;
use crate::hot::Hot;
use crate::live::{Db, Family, Live, Shared, StoredView};
use crate::loader::STAGING;
use crate::meta::{self, Meta, rows_family, wait_family};
use crate::promotion::Promotions;
use crate::ttl::NO_TTL;
use crate::{folder, info, options, pending};

/// What opening found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Whether the folder was empty.
    pub created: bool,
    /// Views with data.
    pub views: usize,
    /// Column families of unfinished or replaced generations that were dropped.
    pub families_dropped: usize,
    /// Folders of unfinished bulk loads that were removed.
    pub stagings_removed: usize,
    /// The store's sequence.
    pub sequence: u64,
    /// RocksDB's version and whether checksums run in hardware, as it says itself.
    pub rocksdb: info::RocksInfo,
}

/// The TTL that a view's compaction filter reads, by the view's name.
type Ttls = HashMap<String, Arc<AtomicI64>>;

/// A database opened, nothing of it published.
pub(crate) struct Opened {
    pub(crate) db: Arc<Db>,
    pub(crate) meta: Arc<Family>,
    ttls: Ttls,
    created: bool,
    pub(crate) families: Vec<String>,
}

pub(crate) fn open(
    dir: &Path,
    config: StoreConfig,
) -> Result<(Arc<Shared>, OpenReport), StoreError> {
    config.check()?;
    let shared = Arc::new(Shared {
        dir: dir.to_owned(),
        cache: options::cache(&config),
        hot: Hot::new(config.hot_bytes),
        config,
        live: ArcSwapOption::empty(),
        clock_us: Arc::new(AtomicI64::new(i64::MIN)),
        next_due_us: AtomicI64::new(pending::NEVER),
        promotions: Promotions::default(),
        changes: Changes::default(),
        committing: Mutex::new(()),
        poisoned: OnceLock::new(),
        when_poisoned: Mutex::new(None),
        fault: ArcSwapOption::empty(),
        list_in_doubt: AtomicBool::new(false),
        stagings: AtomicU64::new(0),
    });
    let recovery = DBRecoveryMode::TolerateCorruptedTailRecords;
    let opened = connect(dir, &shared.config, &shared.cache, &shared.clock_us, recovery)?;
    let (live, families_dropped) = restore(&shared, &opened)?;
    let report = OpenReport {
        created: opened.created,
        views: live.current.len(),
        families_dropped,
        stagings_removed: remove_stagings(dir)?,
        sequence: live.db.latest_sequence_number(),
        rocksdb: info::rocksdb(dir),
    };
    shared.next_due_us.store(pending::next_due_us(&shared, &live)?, Ordering::SeqCst);
    shared.hot.publish(live.db.latest_sequence_number());
    shared.live.store(Some(Arc::new(live)));
    Ok((shared, report))
}

/// Opens the database, or makes it in an empty folder, and refuses what isn't ours.
pub(crate) fn connect(
    dir: &Path,
    config: &StoreConfig,
    cache: &Cache,
    clock_us: &Arc<AtomicI64>,
    recovery: DBRecoveryMode,
) -> Result<Opened, StoreError> {
    std::fs::create_dir_all(dir).map_err(|error| no_folder(dir, &error))?;
    let database = options::database(config, recovery);
    let found = folder::recognize(dir, &database)?;
    let created = found.is_none();
    let mut families = found.unwrap_or_default();
    for name in [rocksdb::DEFAULT_COLUMN_FAMILY_NAME, meta::FAMILY] {
        if !families.iter().any(|of| of == name) {
            families.push(name.to_owned());
        }
    }
    let mut ttls = Ttls::new();
    let describe = |name: &String| {
        let options = if let Some(view) = meta::view_of_rows(name) {
            let ttl_us = ttls.entry(view.to_owned());
            let ttl_us = ttl_us.or_insert_with(|| Arc::new(AtomicI64::new(NO_TTL))).clone();
            options::rows(config, cache, ttl_us, clock_us.clone())
        } else {
            options::family(config, cache)
        };
        ColumnFamilyDescriptor::new(name, options)
    };
    let descriptors: Vec<_> = families.iter().map(describe).collect();
    let db = Db::open_cf_descriptors(&database, dir, descriptors);
    let db = Arc::new(db.map_err(|error| opening(dir, &error))?);
    let family = Family::find(&db, meta::FAMILY);
    let family = family.ok_or_else(|| StoreError::NotAStore { dir: dir.to_owned() })?;
    check_format(dir, &db, &family)?;
    Ok(Opened { db, meta: Arc::new(family), ttls, created, families })
}

/// Why a store can have no folder at a path: most often it is mistyped.
fn no_folder(dir: &Path, error: &std::io::Error) -> StoreError {
    match StoreError::io(dir, error) {
        StoreError::Io { path, detail } => {
            let came = if dir.is_file() { "a file".to_owned() } else { detail };
            let detail = format!(
                "expected the folder of a store, or a path where one can be made, came {came}; give another with store_dir \
                 or --store"
            );
            StoreError::Io { path, detail }
        }
        full => full,
    }
}

/// RocksDB names no file when a log is damaged; an open reads manifest, tables and logs, and names the first two.
fn opening(dir: &Path, error: &rocksdb::Error) -> StoreError {
    match StoreError::from_rocks(dir, error) {
        StoreError::Corrupt { dir, file, detail, .. } if file == "a file of the store" => {
            let logs = logs(&dir).unwrap_or_default();
            let names: Vec<_> = logs.into_iter().filter(|log| log.1 > 0).map(|log| log.0).collect();
            let file = match names.is_empty() {
                true => file,
                false => format!("one of the logs {}", names.join(", ")),
            };
            StoreError::Corrupt { dir, file, detail, advice: SALVAGE }
        }
        StoreError::Rocks { dir, detail } => StoreError::Corrupt {
            dir,
            file: "a file of the store".to_owned(),
            detail,
            advice: RELOAD,
        },
        other => other,
    }
}

fn check_format(dir: &Path, db: &Arc<Db>, family: &Family) -> Result<(), StoreError> {
    let meta = Meta { db, family };
    let rocks = |error| StoreError::from_rocks(dir, &error);
    match meta.format()? {
        Some(meta::FORMAT) => Ok(()),
        Some(came) => {
            Err(StoreError::WrongFormat { dir: dir.to_owned(), expected: meta::FORMAT, came })
        }
        None => {
            // New, or killed before the first write: then there is nothing anywhere.
            let foreign = db.iterator(IteratorMode::Start).next().is_some();
            let ours = db.iterator_cf(&family.handle, IteratorMode::Start).next().is_some();
            if foreign || ours {
                return Err(StoreError::NotAStore { dir: dir.to_owned() });
            }
            let mut batch = WriteBatch::default();
            meta.put_format(&mut batch, meta::FORMAT);
            db.write_opt(batch, &options::write_durably()).map_err(rocks)
        }
    }
}

/// Builds what readers pin from `meta` and drops the column families it doesn't point at.
fn restore(shared: &Shared, opened: &Opened) -> Result<(Live, usize), StoreError> {
    let db = &opened.db;
    let meta = Meta { db, family: &opened.meta };
    let mut live = Live {
        generations: Vec::new(),
        stored: Vec::new(),
        current: HashMap::new(),
        meta: opened.meta.clone(),
        db: db.clone(),
    };
    let fixed = [rocksdb::DEFAULT_COLUMN_FAMILY_NAME, meta::FAMILY];
    let mut known: HashSet<String> = fixed.iter().map(ToString::to_string).collect();
    for (index, (view, record)) in meta.views()?.into_iter().enumerate() {
        let generation = find_generation(shared, db, &view, record.generation)?;
        known.extend([rows_family, wait_family].map(|name| name(&view, record.generation)));
        live.stored.push(Some(Arc::new(new_from(shared, opened, &view, &record, index)?)));
        live.generations.push(Some(Arc::new(generation)));
        live.current.insert(view, index);
    }
    let mut dropped = 0;
    for name in opened.families.iter().filter(|name| !known.contains(*name)) {
        db.drop_cf(name).map_err(|error| shared.rocks(error))?;
        dropped += 1;
    }
    Ok((live, dropped))
}

fn new_from(
    shared: &Shared,
    opened: &Opened,
    view: &str,
    record: &meta::ViewRecord,
    index: usize,
) -> Result<StoredView, StoreError> {
    let (keys, columns) = record.types().ok_or_else(|| StoreError::Corrupt {
        dir: shared.dir.clone(),
        file: format!("record of view `{view}`"),
        detail: "it has a type this version doesn't know".to_owned(),
        advice: RELOAD,
    })?;
    let ttl_us = opened.ttls.get(view).cloned().unwrap_or_else(|| Arc::new(NO_TTL.into()));
    Ok(StoredView::new(index, view, record.about(), keys, record.rule(), ttl_us, columns))
}

/// Removes what unfinished loads left. Only now, as the folder is known to hold a store of ours; and only what has a
/// load's name, as nobody else's is ours to remove there either.
fn remove_stagings(dir: &Path) -> Result<usize, StoreError> {
    let staging = dir.join(STAGING);
    let entries = match std::fs::read_dir(&staging) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.map_err(|error| StoreError::io(&staging, &error))?,
    };
    let mut count = 0;
    for entry in entries {
        let path = entry.map_err(|error| StoreError::io(&staging, &error))?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
        if number.is_some() && path.is_dir() {
            std::fs::remove_dir_all(&path).map_err(|error| StoreError::io(&path, &error))?;
            count += 1;
        }
    }
    // It stays if something else is in it.
    let _ = std::fs::remove_dir(&staging);
    Ok(count)
}

/// The logs with their bytes.
pub(crate) fn logs(dir: &Path) -> Result<Vec<(String, u64)>, StoreError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| StoreError::io(dir, &error))? {
        let entry = entry.map_err(|error| StoreError::io(dir, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".log") {
            found.push((name, entry.metadata().map_or(0, |data| data.len())));
        }
    }
    found.sort();
    Ok(found)
}
