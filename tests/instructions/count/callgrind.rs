//! Running a path of this very program under Callgrind, and what counts depend on; not what the paths do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use skewless_instructions::{Machine, total};

use crate::fixtures::Fixtures;

/// First argument of the process that is counted.
pub(crate) const CHILD: &str = "--counted";
/// Instead of a path: say what the processor is taken for.
pub(crate) const PROCESSOR: &str = "processor";

/// The C library chooses its copies by the processor and the size of its caches: always the plain ones.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX2_Usable,-AVX,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM";

/// Counts paths.
pub(crate) struct Counter<'a> {
    fixtures: &'a Fixtures,
    keep: Option<&'a Path>,
}

impl<'a> Counter<'a> {
    pub(crate) fn new(fixtures: &'a Fixtures, keep: Option<&'a Path>) -> Result<Self> {
        keep.map_or(Ok(()), std::fs::create_dir_all)?;
        Ok(Self { fixtures, keep })
    }

    /// Every path once, as many at a time as there are cores: a count doesn't depend on what else runs.
    pub(crate) fn all(
        &self,
        paths: impl Iterator<Item = &'static str>,
    ) -> Result<BTreeMap<String, u64>> {
        let paths: Vec<_> = paths.collect();
        let (next, counts) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let work = || -> Result<()> {
            while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                let count = self.count(path, crate::CALLS)? / crate::CALLS;
                let mut counts = counts.lock().map_err(panicked)?;
                counts.insert((*path).to_owned(), count);
            }
            Ok(())
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(panicked)?)
        })?;
        counts.into_inner().map_err(panicked)
    }

    /// Instructions of so many calls of a path.
    pub(crate) fn count(&self, path: &str, calls: u64) -> Result<u64> {
        let folder = tempfile::tempdir()?;
        let name = format!("callgrind.{}", path.replace('/', "."));
        let file = self.keep.unwrap_or(folder.path()).join(name);
        // Its own copy: two can't open one store, and opening changes files.
        let fixtures = self.fixtures.copied(&folder.path().join("fixtures"))?;
        let mut valgrind = valgrind("callgrind");
        valgrind.args(["--collect-atstart=no", "--toggle-collect=*counted_piece*"]);
        valgrind.arg(format!("--callgrind-out-file={}", file.display()));
        valgrind.arg(std::env::current_exe()?).args([CHILD, path, &calls.to_string()]);
        run(valgrind.arg(fixtures.folder())).with_context(|| path.to_owned())?;
        total(&std::fs::read_to_string(file)?).with_context(|| path.to_owned())
    }
}

fn panicked<E>(_: E) -> anyhow::Error {
    anyhow!("a thread that counts panicked")
}

/// With nothing of the caller's environment: what lies on a process's first page moves its stack.
fn valgrind(tool: &str) -> Command {
    let mut valgrind = Command::new("valgrind");
    valgrind.env_clear().env("GLIBC_TUNABLES", TUNABLES);
    for name in ["PATH", "TMPDIR"] {
        valgrind.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    valgrind.arg("--quiet").arg(format!("--tool={tool}"));
    valgrind
}

/// What counts depend on beside our sources.
pub(crate) fn machine(fixtures: &Fixtures) -> Result<Machine> {
    let mut processor = valgrind("none");
    processor.arg(std::env::current_exe()?).args([CHILD, PROCESSOR, "0"]).arg(fixtures.folder());
    let rocksdb = std::env::var("ROCKSDB_LIB_DIR").context("ROCKSDB_LIB_DIR, which ./dev sets")?;
    let rocksdb = Path::new(&rocksdb).file_name().unwrap_or_default().to_string_lossy();
    let known = [
        ("libc", said(Command::new("getconf").arg("GNU_LIBC_VERSION"))?),
        ("processor", said(&mut processor)?),
        ("rocksdb", rocksdb.into_owned()),
        ("rustc", said(Command::new("rustc").arg("--version"))?),
        ("valgrind", said(Command::new("valgrind").arg("--version"))?),
    ];
    Ok(known.map(|(name, value)| (name.to_owned(), value)).into())
}

fn said(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&run(command)?.stdout).trim().to_owned())
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{:?}", command.get_program()))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// What this process takes its processor for: under Valgrind, what Valgrind shows it.
pub(crate) fn processor() -> String {
    #[cfg(target_arch = "x86_64")]
    let features: &[(&str, bool)] = &[
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ("popcnt", std::is_x86_feature_detected!("popcnt")),
        ("avx", std::is_x86_feature_detected!("avx")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("bmi1", std::is_x86_feature_detected!("bmi1")),
        ("bmi2", std::is_x86_feature_detected!("bmi2")),
        ("lzcnt", std::is_x86_feature_detected!("lzcnt")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let features: &[(&str, bool)] = &[];
    let has = features.iter().filter(|(_, has)| *has).map(|(name, _)| *name);
    std::iter::once(std::env::consts::ARCH).chain(has).collect::<Vec<_>>().join(" ")
}
