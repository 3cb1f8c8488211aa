//! Whose a folder is: a store's, free for one, or somebody's; not what is in a store.
//!
//! Decided before a byte of the folder is changed: RocksDB makes a database wherever it is told to, renames a `LOG`
//! that is there, and deletes what has the names of its own files.

use std::path::Path;
use std::sync::Arc;

use rocksdb::{DEFAULT_COLUMN_FAMILY_NAME, IteratorMode, Options};

use crate::error::{MAYBE_OURS, StoreError};
use crate::info;
use crate::live::{Db, Family};
use crate::loader::STAGING;
use crate::meta::{self, Meta};
use crate::salvage::COPIES;

/// What a volume has at its top before anything is written to it.
const LOST_AND_FOUND: &str = "lost+found";
/// How many of somebody's files a refusal names.
const NAMED_MAX: usize = 3;

/// The column families of the store in a folder; `None` if there is none yet and one may be made.
pub(crate) fn recognize(dir: &Path, database: &Options) -> Result<Option<Vec<String>>, StoreError> {
    if !dir.join("CURRENT").exists() {
        return check_free(dir).map(|()| None);
    }
    let families = families(dir, database)?;
    if families.iter().all(|name| is_family(name)) && !is_foreign(dir, database, &families) {
        return Ok(Some(families));
    }
    Err(StoreError::NotAStore { dir: dir.to_owned() })
}

/// Refuses a folder that holds anything but the first files of a database, which a kill left before its CURRENT was
/// there.
fn check_free(dir: &Path) -> Result<(), StoreError> {
    let (mut data, mut others) = (None, Vec::new());
    for entry in std::fs::read_dir(dir).map_err(|error| StoreError::io(dir, &error))? {
        let entry = entry.map_err(|error| StoreError::io(dir, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Gone since it was listed: another process is making a store here, and the open will find it held.
        let Ok(file) = entry.metadata() else { continue };
        match file.is_file().then_some(file.len()) {
            // Hidden ones are marks that people and their tools leave; nothing of a store has such a name.
            _ if name == LOST_AND_FOUND || name.starts_with('.') => {}
            Some(bytes) if is_data(&name, bytes) => data = Some(name),
            Some(bytes) if is_first_file(dir, &name, bytes) => {}
            _ => others.push(name),
        }
    }
    if data.is_some() {
        others.retain(|name| name != STAGING && !name.starts_with(COPIES));
    }
    match (others.is_empty(), data) {
        (true, None) => Ok(()),
        // RocksDB would start anew beside them.
        (true, Some(name)) => Err(StoreError::Corrupt {
            dir: dir.to_owned(),
            file: "CURRENT".to_owned(),
            detail: format!("it is missing, but data are there ({name})"),
            advice: MAYBE_OURS,
        }),
        (false, _) => Err(StoreError::OtherFiles { dir: dir.to_owned(), files: some_of(others) }),
    }
}

/// The first few names, for a message.
fn some_of(mut names: Vec<String>) -> String {
    names.sort();
    let more = if names.len() > NAMED_MAX { ", .." } else { "" };
    names.truncate(NAMED_MAX);
    format!("{}{more}", names.join(", "))
}

/// Whether a file holds data of a database; its log does once anything is in it.
fn is_data(name: &str, bytes: u64) -> bool {
    is_numbered(name, "", ".sst") || bytes > 0 && is_numbered(name, "", ".log")
}

/// Whether a file is of those that RocksDB makes before or while it makes CURRENT.
fn is_first_file(dir: &Path, name: &str, bytes: u64) -> bool {
    match name {
        "LOCK" | "IDENTITY" => true,
        // Others call their files so, too.
        "LOG" => bytes == 0 || !info::rocksdb(dir).version.is_empty(),
        _ => [
            ("LOG.old.", ""),
            ("MANIFEST-", ""),
            ("OPTIONS-", ""),
            ("OPTIONS-", ".dbtmp"),
            ("", ".dbtmp"),
            ("", ".log"),
        ]
        .iter()
        .any(|(before, after)| is_numbered(name, before, after)),
    }
}

fn is_numbered(name: &str, before: &str, after: &str) -> bool {
    let number = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Reads the manifest, and changes nothing.
fn families(dir: &Path, database: &Options) -> Result<Vec<String>, StoreError> {
    Db::list_cf(database, dir).map_err(|error| {
        let manifest = std::fs::read_to_string(dir.join("CURRENT")).unwrap_or_default();
        let file = match manifest.trim() {
            name if name.starts_with("MANIFEST-") => name.to_owned(),
            _ => "CURRENT".to_owned(),
        };
        let (dir, detail) = (dir.to_owned(), error.to_string());
        StoreError::Corrupt { dir, file, detail, advice: MAYBE_OURS }
    })
}

/// Whether a store has column families of this name.
fn is_family(name: &str) -> bool {
    let fixed = [DEFAULT_COLUMN_FAMILY_NAME, meta::FAMILY];
    fixed.contains(&name) || name.starts_with("rows/") || name.starts_with("wait/")
}

/// Whether a database whose column families could be a store's is another's, by what is in it.
///
/// One with a view's rows is ours by its names: such a one isn't looked into, as that costs a second replay of its log.
/// So is an empty one, as a kill leaves a store before its format is written.
fn is_foreign(dir: &Path, database: &Options, families: &[String]) -> bool {
    if families.iter().any(|name| meta::view_of_rows(name).is_some()) {
        return false;
    }
    // What can't be read so is the open's to tell: it may be held, or damaged.
    let Ok(db) = Db::open_cf_for_read_only(database, dir, families, false) else { return false };
    let db = Arc::new(db);
    if db.iterator(IteratorMode::Start).next().is_some_and(|row| row.is_ok()) {
        return true;
    }
    let Some(family) = Family::find(&db, meta::FAMILY) else { return false };
    let meta = Meta { db: &db, family: &family };
    let mut rows = db.iterator_cf(&family.handle, IteratorMode::Start);
    matches!(meta.format(), Ok(None)) && rows.next().is_some_and(|row| row.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_database_are_known_by_their_whole_name() {
        for (name, bytes) in [("000009.sst", 0), ("000004.log", 1)] {
            assert!(is_data(name, bytes), "{name}");
        }
        let dir = Path::new("nowhere");
        let first = ["LOCK", "IDENTITY", "LOG.old.1767225600000000", "MANIFEST-000001"];
        let more = ["OPTIONS-000007", "OPTIONS-000007.dbtmp", "000001.dbtmp", "000004.log"];
        for name in first.iter().chain(&more) {
            assert!(!is_data(name, 0) && is_first_file(dir, name, 0), "{name}");
        }
        for name in ["app.log", ".log", "MANIFEST-", "MANIFEST-1.yaml", "OPTIONS", "x.sst", "LOGS"]
        {
            assert!(!is_data(name, 1) && !is_first_file(dir, name, 0), "{name}");
        }
    }
}
