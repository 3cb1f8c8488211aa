//! The input files of a job: patterns to a fixed, ordered list, and each file's identity (size,
//! digest, rows). The order is part of the result: it breaks ties, see `history.rs`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::OfflineError;
use crate::config::{FILE_ROWS_MAX, FILES_MAX};
use crate::progress::{CancelFlag, Phase, Progress};

/// One Parquet file of an input.
#[derive(Clone, Debug)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// How it is called in messages and provenance: the path as given, not made absolute.
    pub name: String,
    /// Its rows, from its footer.
    pub rows: u64,
    /// Its size, bytes.
    pub bytes: u64,
    modified: Option<SystemTime>,
}

/// What provenance says about an input file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// The path as given.
    pub path: String,
    /// SHA-256 of the whole file, hex.
    pub sha256: String,
    /// Size, bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// The files that `patterns` name, in the order of the patterns and, within one, by path. A
/// pattern is a path, a folder (all its `*.parquet`) or a glob; relative ones start at `root`.
/// A pattern that matches nothing is an error; a file named twice is read once.
pub fn expand(root: &Path, patterns: &[String]) -> Result<Vec<InputFile>, OfflineError> {
    let mut files: Vec<InputFile> = Vec::new();
    for pattern in patterns {
        let matches = matches(root, pattern)?;
        if matches.is_empty() {
            return Err(OfflineError::NoFiles { pattern: pattern.clone() });
        }
        for path in matches {
            if !files.iter().any(|file| file.path == path) {
                files.push(InputFile::open(root, path)?);
            }
        }
    }
    within("input files", files.len() as u64, FILES_MAX as u64)?;
    Ok(files)
}

fn matches(root: &Path, pattern: &str) -> Result<Vec<PathBuf>, OfflineError> {
    let full = root.join(pattern);
    if full.is_file() {
        return Ok(vec![full]);
    }
    let bad = |reason: &str| OfflineError::BadPattern {
        pattern: pattern.to_owned(),
        reason: reason.to_owned(),
    };
    // Only what the caller wrote may be a glob: the folder it starts from is taken literally.
    let literal = |path: &Path| {
        path.to_str().map(glob::Pattern::escape).ok_or_else(|| bad("a path that is not UTF-8"))
    };
    let text = if full.is_dir() {
        format!("{}/*.parquet", literal(&full)?)
    } else if Path::new(pattern).is_absolute() || root.as_os_str().is_empty() {
        pattern.to_owned()
    } else {
        format!("{}/{pattern}", literal(root)?)
    };
    let mut paths = glob::glob(&text)
        .map_err(|error| bad(&error.to_string()))?
        .filter_map(|entry| match entry {
            Ok(path) if path.is_dir() => None,
            Ok(path) => Some(Ok(path)),
            Err(error) => {
                let path = error.path().to_owned();
                Some(Err(OfflineError::io("list", &path, error.into())))
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

impl InputFile {
    fn open(root: &Path, path: PathBuf) -> Result<InputFile, OfflineError> {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let file = File::open(&path).map_err(|e| OfflineError::io("open", &path, e))?;
        let meta = file.metadata().map_err(|e| OfflineError::io("read", &path, e))?;
        let reader =
            SerializedFileReader::new(file).map_err(|error| OfflineError::parquet(&name, error))?;
        let rows = u64::try_from(reader.metadata().file_metadata().num_rows())
            .map_err(|_| OfflineError::parquet(&name, "its footer has a negative row count"))?;
        within(&format!("rows in `{name}`"), rows, FILE_ROWS_MAX)?;
        Ok(InputFile { path, name, rows, bytes: meta.len(), modified: meta.modified().ok() })
    }

    /// Fails if the file is no longer the one that was listed, as far as size and time tell.
    pub(crate) fn check_unchanged(&self) -> Result<(), OfflineError> {
        let same = std::fs::metadata(&self.path)
            .is_ok_and(|meta| meta.len() == self.bytes && meta.modified().ok() == self.modified);
        if same { Ok(()) } else { Err(OfflineError::InputChanged { file: self.name.clone() }) }
    }
}

/// Refuses more of something than its limit.
pub(crate) fn within(what: &str, found: u64, limit: u64) -> Result<(), OfflineError> {
    if found <= limit {
        return Ok(());
    }
    Err(OfflineError::TooMany { what: what.to_owned(), found, limit })
}

/// Rows of all `files`.
pub(crate) fn rows(files: &[InputFile]) -> u64 {
    files.iter().map(|file| file.rows).sum()
}

/// Hashes files, counting bytes as progress.
pub(crate) struct Digester<'a> {
    pub(crate) progress: &'a dyn Progress,
    pub(crate) cancel: &'a CancelFlag,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

impl Digester<'_> {
    pub(crate) fn digest(&mut self, files: &[InputFile]) -> Result<Vec<FileDigest>, OfflineError> {
        files.iter().map(|file| self.one(file)).collect()
    }

    fn one(&mut self, file: &InputFile) -> Result<FileDigest, OfflineError> {
        /// Large enough that a read costs little beside the hashing.
        const READ_BYTES: usize = 1 << 20;
        let mut reader =
            File::open(&file.path).map_err(|e| OfflineError::io("open", &file.path, e))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; READ_BYTES];
        loop {
            self.cancel.check()?;
            let read =
                reader.read(&mut buffer).map_err(|e| OfflineError::io("read", &file.path, e))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
            self.done += read as u64;
            self.progress.report(&Phase::Digest, self.done, self.total);
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(FileDigest { path: file.name.clone(), sha256, bytes: file.bytes, rows: file.rows })
    }
}

#[cfg(test)]
mod tests;
