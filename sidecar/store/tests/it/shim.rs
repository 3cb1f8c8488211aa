//! A disk that fails when it is told to, and that knows what has reached it: for a child process of a test, which
//! is usually the test program itself, started again. `shim.c` does it, preloaded into the child: whatever writes
//! to files, be it RocksDB or Rust, goes through the C library. It needs no rights, unlike a small file system.
//!
//! Also part of the end-to-end tests, which run a whole sidecar on such a disk.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

const SOURCE: &str = include_str!("shim.c");

/// Errors that disks give.
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EIO: i32 = 5;

pub(crate) struct Shim {
    folder: TempDir,
    orders: AtomicU64,
    /// Lines of inode and bytes: what has reached the disk.
    pub(crate) synced: PathBuf,
}

impl Shim {
    pub(crate) fn new() -> io::Result<Self> {
        static LIBRARY: OnceLock<Result<Vec<u8>, String>> = OnceLock::new();
        let library = LIBRARY.get_or_init(|| compile().map_err(|error| error.to_string()));
        let library = library.as_ref().map_err(|error| io::Error::other(error.as_str()))?;
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("shim.so"), library)?;
        let synced = folder.path().join("synced");
        Ok(Self { folder, orders: AtomicU64::new(0), synced })
    }

    /// Puts the files in `folder` of this command's process on the disk.
    pub(crate) fn preload<'a>(&self, command: &'a mut Command, folder: &Path) -> &'a mut Command {
        command
            .env("LD_PRELOAD", self.folder.path().join("shim.so"))
            .env("SKEWLESS_SHIM_DIR", folder)
            .env("SKEWLESS_SHIM_CONTROL", self.control())
            .env("SKEWLESS_SHIM_SYNCED", &self.synced)
    }

    /// From now on, what changes files fails, after `skip` calls that still succeed.
    pub(crate) fn fail(&self, error: i32, skip: u64) -> io::Result<()> {
        let order = self.orders.fetch_add(1, Ordering::Relaxed) + 1;
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, format!("{error} {skip} {order}"))?;
        std::fs::rename(draft, self.control())
    }

    /// The disk is well again.
    pub(crate) fn mend(&self) -> io::Result<()> {
        std::fs::remove_file(self.control())
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }
}

/// Gives the library, made by the C compiler, which RocksDB needs anyway.
fn compile() -> io::Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("shim.c");
    std::fs::write(&source, SOURCE)?;
    let library = folder.path().join("shim.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source);
    let compiled = compiler.output()?;
    if !compiled.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&compiled.stderr).into_owned()));
    }
    std::fs::read(library)
}
