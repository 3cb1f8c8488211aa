//! Opening a folder whose log is damaged, up to the damage: what comes after it is lost, what comes before is kept.
//!
//! Nothing is thrown away: copies of the logs are kept beside them, and the report says from where to replay.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use rocksdb::{DBRecoveryMode, WriteBatch};

use crate::config::StoreConfig;
use crate::error::{RELOAD, StoreError};
use crate::live::Family;
use crate::meta::Meta;
use crate::open::{connect, logs};
use crate::{folder, options};

/// How the folders with copies of logs begin, inside the store's.
pub(crate) const COPIES: &str = "salvaged-";

/// What a salvage kept and where the rest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SalvageReport {
    /// Copies of the logs as they were before, for whoever wants to look at what was lost.
    pub copies: PathBuf,
    /// The logs with their bytes.
    pub logs: Vec<(String, u64)>,
    /// The sequence up to which everything is there.
    pub sequence: u64,
    /// Up to where each source was applied: replay it from here.
    pub offsets: Vec<(String, u64)>,
    /// How often this store has been salvaged in its life, this time included.
    pub salvages: u64,
}

/// Opens a folder whose log is damaged up to the damage; keeps copies of the logs.
pub(crate) fn salvage(dir: &Path, config: StoreConfig) -> Result<SalvageReport, StoreError> {
    config.check()?;
    let recovery = DBRecoveryMode::PointInTime;
    let logs = logs(dir)?;
    // Before the copies are made: nothing is put into another's folder.
    folder::recognize(dir, &options::database(&config, recovery))?;
    let copies = copy_logs(dir, &logs)?;
    let cache = options::cache(&config);
    let clock_us = Arc::new(AtomicI64::new(i64::MIN));
    let opened = connect(dir, &config, &cache, &clock_us, recovery);
    // What salvage can't open, no second salvage can.
    let opened = opened.map_err(|error| match error {
        StoreError::Corrupt { dir, file, detail, .. } => {
            StoreError::Corrupt { dir, file, detail, advice: RELOAD }
        }
        other => other,
    })?;
    let meta = Meta { db: &opened.db, family: &opened.meta };
    let salvages = meta.salvages()? + 1;
    let mut batch = WriteBatch::default();
    meta.put_salvages(&mut batch, salvages);
    let rocks = |error| StoreError::from_rocks(dir, &error);
    opened.db.write_opt(batch, &options::write_durably()).map_err(rocks)?;
    let report = SalvageReport {
        copies,
        logs,
        sequence: opened.db.latest_sequence_number(),
        offsets: meta.offsets()?,
        salvages,
    };
    for name in &opened.families {
        if let Some(family) = Family::find(&opened.db, name) {
            opened.db.flush_cf(&family.handle).map_err(rocks)?;
        }
    }
    tracing::error!(
        dir = %dir.display(), sequence = report.sequence, copies = %report.copies.display(),
        "a damaged log was cut: writes after this sequence are lost, replay the sources"
    );
    Ok(report)
}

fn copy_logs(dir: &Path, logs: &[(String, u64)]) -> Result<PathBuf, StoreError> {
    let free = (1..).map(|number| dir.join(format!("{COPIES}{number}")));
    let copies =
        free.into_iter().find(|path| !path.exists()).unwrap_or_else(|| dir.join("salvaged"));
    std::fs::create_dir_all(&copies).map_err(|error| StoreError::io(&copies, &error))?;
    for (name, _) in logs {
        let (from, to) = (dir.join(name), copies.join(name));
        std::fs::copy(&from, &to).map_err(|error| StoreError::io(&from, &error))?;
    }
    Ok(copies)
}
