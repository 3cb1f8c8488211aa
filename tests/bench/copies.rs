//! F5: the bytes that the handler copies. This program is started again with a small library before it that
//! counts memcpy and memmove, so that nothing is counted, and nothing slower, where time is measured.

use std::ffi::CStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};

use crate::handler::{CASES, Case};
use crate::load::Load;
use crate::report::{Line, Table};
use crate::rounds::Pair;
use crate::world::World;

pub(crate) const CHILD: &str = "--child-copies";
/// Calls over which copies are averaged.
const CALLS: usize = 500;

/// Calls of memcpy and their bytes a call of the handler, floor and ours, per case; none without a C compiler.
pub(crate) fn measure() -> Result<Option<Table>> {
    let folder = tempfile::tempdir()?;
    let Some(library) = build(folder.path())? else {
        eprintln!("copies aren't counted: there is no C compiler `cc` that makes a shared library");
        return Ok(None);
    };
    let child = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .env("LD_PRELOAD", library)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(child.status.success(), "the process that counts copies ended with {}", child.status);
    let text = String::from_utf8(child.stdout)?;
    let lines = text.lines().map(line).collect::<Result<_>>()?;
    let method = format!(
        "Calls of memcpy and memmove a call, and their bytes, of {CALLS} calls as above, RocksDB's included; small copies that a \
         compiler wrote out in place are not. The answer's own size is what can't be avoided."
    );
    let title = "F5: what the handler copies";
    Ok(Some(Table { title, method, heads: ["answer known", "handler"], ratios: false, lines }))
}

fn build(folder: &Path) -> Result<Option<std::path::PathBuf>> {
    let (source, library) = (folder.join("copies.c"), folder.join("libcopies.so"));
    std::fs::write(&source, include_str!("copies.c"))?;
    let built = Command::new("cc")
        .args(["-O2", "-fPIC", "-shared", "-fno-builtin", "-o"])
        .arg(&library)
        .arg(&source)
        .status();
    Ok(built.is_ok_and(|status| status.success()).then_some(library))
}

/// A line as [`child`] prints it: name, floor, ours.
fn line(text: &str) -> Result<Line> {
    let mut words = text.split('\t');
    let mut next = || words.next().with_context(|| format!("expected three words, came `{text}`"));
    let (name, floor, ours) = (next()?, next()?.parse()?, next()?.parse()?);
    Ok(Line::new(name, "", Pair { floor: vec![floor], ours: vec![ours] }))
}

/// Counts in this process, which has the library before it.
pub(crate) fn child() -> Result<()> {
    let counters = [counter(c"skewless_copy_calls")?, counter(c"skewless_copy_bytes")?];
    let world = World::start()?;
    for (entities, service) in CASES {
        let load: Load = world.load(service, entities)?;
        let case = Case { entities, service, load: &load, world: &world };
        let mut number = 0;
        let mut count = |call: &dyn Fn(&mut usize) -> Result<()>| {
            (0..CALLS).try_for_each(|_| call(&mut number))?; // warm
            let before = counters.map(|counter| counter.load(Ordering::Relaxed));
            (0..CALLS).try_for_each(|_| call(&mut number))?;
            let after = counters.map(|counter| counter.load(Ordering::Relaxed));
            anyhow::Ok([0, 1].map(|at| (after[at] - before[at]) as f64 / CALLS as f64))
        };
        let floor = count(&|number| case.floor(number))?;
        let ours = count(&|number| case.ours(number))?;
        let answer = load.answer.len();
        for (at, what) in
            ["copies".to_owned(), format!("bytes (answer {answer})")].iter().enumerate()
        {
            println!("{}, {what}\t{}\t{}", case.name(), floor[at], ours[at]);
        }
    }
    world.sidecar.shutdown();
    Ok(())
}

/// A counter of the library.
fn counter(name: &CStr) -> Result<&'static AtomicU64> {
    #[expect(unsafe_code, reason = "a preloaded library's variable has no other way in")]
    // SAFETY: the name ends with a zero byte and nothing else is handed over.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    ensure!(!found.is_null(), "expected the library of copies.c before this program");
    #[expect(unsafe_code, reason = "a preloaded library's variable has no other way in")]
    // SAFETY: it is an aligned unsigned long of 64 bits that lives as long as the process, and both sides
    // touch it by atomic operations only.
    Ok(unsafe { AtomicU64::from_ptr(found.cast()) })
}
