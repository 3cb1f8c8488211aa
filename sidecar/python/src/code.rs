//! Where compiled plugins are kept, so that nothing is compiled twice: this process's memory, for its forked children, and a
//! folder of the user's, for the processes that come later; not what is trusted in such a folder, which is [`DirCache`]'s to
//! say.
//!
//! Limits: [`MEMORY_BYTES_MAX`], [`FOLDER_BYTES_MAX`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use skewless_engine::{CompileCache, DirCache};

use crate::process::locked;

/// Compiled code that is kept for forked children, in bytes; over it all is forgotten. A plugin in Rust has some hundred
/// KiB, one in Python 35 MB.
const MEMORY_BYTES_MAX: usize = 256 << 20;

/// Compiled code that is kept in the folder, in bytes; over it the oldest goes. Fifty plugins in Python.
const FOLDER_BYTES_MAX: u64 = 2 << 30;

/// Machine code by its key.
pub(crate) type InMemory = HashMap<String, Arc<[u8]>>;

/// A process's compiled plugins.
#[derive(Default)]
pub(crate) struct Code {
    memory: Mutex<Arc<InMemory>>,
    folder: OnceLock<Result<Folder, String>>,
}

/// The user's folder.
struct Folder {
    dir: PathBuf,
    cache: DirCache,
}

impl Code {
    /// That of a forked child: what its parent had in memory.
    pub(crate) fn of_child(parent: &Self) -> Self {
        // A lock that is held here is held by a thread that isn't there any more.
        let memory = parent.memory.try_lock().map(|memory| Arc::clone(&memory));
        Self { memory: Mutex::new(memory.unwrap_or_default()), folder: OnceLock::new() }
    }

    /// Why nothing is kept for later processes, if that was tried.
    pub(crate) fn folder_refused(&self) -> Option<&str> {
        self.folder.get().and_then(|folder| folder.as_ref().err()).map(String::as_str)
    }

    fn folder(&self) -> Option<&Folder> {
        let open = || {
            let dir = user_folder().ok_or(
                "expected a folder for what is kept, came none: HOME, XDG_CACHE_HOME and SKEWLESS_CACHE_DIR are all unset",
            )?;
            let cache = DirCache::open(&dir).map_err(|error| error.to_string())?;
            Ok(Folder { dir, cache })
        };
        self.folder.get_or_init(open).as_ref().ok()
    }
}

impl CompileCache for Code {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let memory = Arc::clone(&locked(&self.memory));
        if let Some(code) = memory.get(key) {
            return Some(code.to_vec());
        }
        self.folder()?.cache.get(key)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        {
            let mut memory = locked(&self.memory);
            let kept: usize = memory.values().map(|code| code.len()).sum();
            let memory = Arc::make_mut(&mut memory);
            if kept + bytes.len() > MEMORY_BYTES_MAX {
                memory.clear();
            }
            if bytes.len() <= MEMORY_BYTES_MAX {
                memory.insert(key.to_owned(), bytes.into());
            }
        }
        if let Some(folder) = self.folder() {
            folder.cache.put(key, bytes);
            make_room(&folder.dir);
        }
    }
}

/// `$SKEWLESS_CACHE_DIR/compiled`, or else `skewless/compiled` in the user's folder for caches.
fn user_folder() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = || var("XDG_CACHE_HOME").or_else(|| Some(var("HOME")?.join(".cache")));
    let ours = var("SKEWLESS_CACHE_DIR").or_else(|| Some(caches()?.join("skewless")))?;
    Some(ours.join("compiled"))
}

/// Removes the oldest entries until the rest has room. What can't be looked at stays.
fn make_room(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut entries: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let meta = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((meta.modified().ok()?, meta.len(), entry.path()))
        })
        .collect();
    entries.sort();
    let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
    for (_, size, path) in entries {
        if bytes <= FOLDER_BYTES_MAX {
            return;
        }
        // Another process may have been quicker.
        drop(std::fs::remove_file(path));
        bytes -= size;
    }
}
