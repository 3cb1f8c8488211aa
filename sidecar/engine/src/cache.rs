//! Keeps compiled plugins, sealed: the form of an entry, its key, and a folder of them; not the compiler.
//!
//! Loading machine code is `unsafe`: whoever writes an entry runs code in this process. What is trusted
//! is therefore *who can write the folder*, and [`DirCache`] refuses a folder that others may write or
//! own. On top of it every entry is sealed: magic, then SHA-256 over key and code. A seal is no
//! signature; it finds damage, cuts and entries that were put under another key, and those are compiled
//! anew. The key holds the plugin's digest and a hash of wasmtime's version, settings and processor
//! features, so that an upgrade or another machine never sees an old entry.
//!
//! [`DirCache`] is the one place of this crate that touches files, and only if a caller makes one.
//! Limits: entries over [`ENTRY_BYTES_MAX`] are not kept; nothing is evicted, delete the folder at will.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use skewless_catalog::Digest;

/// Largest entry in bytes that is read or written: 1 GiB, a Python component's code has 35 MB.
pub const ENTRY_BYTES_MAX: u64 = 1 << 30;

/// Keeps sealed machine code by key. An implementation must only return what this process's user put
/// there: see the module's documentation for what is trusted. It may forget anything at any time.
pub trait CompileCache {
    /// The entry put under this key, if it is still there.
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    /// Keeps an entry, if it can. Errors are not reported: the next start compiles again.
    fn put(&self, key: &str, bytes: &[u8]);
}

/// A folder of entries, one file each.
#[derive(Debug)]
pub struct DirCache {
    dir: PathBuf,
}

/// Why a folder can't be a cache.
#[derive(Debug, thiserror::Error)]
pub enum DirCacheError {
    /// It can't be made, read or written.
    #[error("expected to read and write cache folder {dir}: {error}")]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others could put machine code into it.
    #[error(
        "expected cache folder {dir} to be writable by its owner only, came mode {mode:o}; run chmod 700 on it"
    )]
    Writable {
        /// The folder.
        dir: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to somebody else.
    #[error("expected cache folder {dir} to belong to this process's user {expected}, came {came}")]
    Owner {
        /// The folder.
        dir: PathBuf,
        /// The user this process writes as.
        expected: u32,
        /// The folder's owner.
        came: u32,
    },
}

impl DirCache {
    /// The cache in this folder, which is made with mode 0700 if it isn't there.
    pub fn open(dir: &Path) -> Result<Self, DirCacheError> {
        let failed = |error| DirCacheError::Io { dir: dir.to_owned(), error };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let folder = std::fs::metadata(dir).map_err(failed)?;
        let mode = folder.mode() & 0o777;
        if mode & 0o022 != 0 {
            return Err(DirCacheError::Writable { dir: dir.to_owned(), mode });
        }
        let cache = Self { dir: dir.to_owned() };
        // A file of ours tells who we are.
        let (probe, file) = cache.temporary().map_err(failed)?;
        let expected = file.metadata().map_err(failed)?.uid();
        std::fs::remove_file(&probe).map_err(failed)?;
        if folder.uid() != expected {
            return Err(DirCacheError::Owner { dir: dir.to_owned(), expected, came: folder.uid() });
        }
        Ok(cache)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{key}.cwasm"))
    }

    fn temporary(&self) -> io::Result<(PathBuf, std::fs::File)> {
        // Counted over the process: two caches may share a folder.
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let n = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!(".{}-{n}.part", std::process::id()));
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        Ok((path, file))
    }

    fn write(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, mut file) = self.temporary()?;
        let written = file.write_all(bytes).and_then(|()| std::fs::rename(&path, self.path(key)));
        if written.is_err() {
            std::fs::remove_file(&path)?;
        }
        written
    }
}

impl CompileCache for DirCache {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key);
        let bytes = std::fs::metadata(&path).ok()?.len();
        (bytes <= ENTRY_BYTES_MAX).then(|| std::fs::read(&path).ok())?
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        if bytes.len() as u64 <= ENTRY_BYTES_MAX {
            // A cache that can't be written only costs time.
            drop(self.write(key, bytes));
        }
    }
}

/// First bytes of an entry; the last is the version of the form, and of the rewriting of modules.
const MAGIC: &[u8; 8] = b"SKWCODE\x01";

/// Bytes before the code: magic and seal.
const HEADER_BYTES: usize = MAGIC.len() + 32;

/// The key of a plugin's code on an engine: plain file name characters.
pub(crate) fn key(plugin: &Digest, compatibility: &Digest) -> String {
    format!("{plugin}-{}", &compatibility.to_string()[..32])
}

/// An entry that holds `code` under `key`.
pub(crate) fn seal(key: &str, code: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(HEADER_BYTES + code.len());
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(&hash(key, code));
    entry.extend_from_slice(code);
    entry
}

/// The code of an entry, if it is one, was sealed under this key, and nothing of it has changed.
pub(crate) fn open<'a>(key: &str, entry: &'a [u8]) -> Option<&'a [u8]> {
    let (magic, rest) = entry.split_at_checked(MAGIC.len())?;
    let (seal, code) = rest.split_at_checked(32)?;
    (magic == MAGIC && seal == hash(key, code)).then_some(code)
}

fn hash(key: &str, code: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    hash.update((key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(code);
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
