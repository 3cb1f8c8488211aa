//! This program started again as a process that does a part of a measurement, and talking to it a line at a time;
//! not what it does. It lives until its standard input ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::rounds::Spent;

/// First word of the first line.
const READY: &str = "ready";

/// A running process.
pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it said beside being ready.
    pub(crate) said: String,
    /// Milliseconds from before it was made until it said that it was ready.
    pub(crate) ready_ms: f64,
}

/// Said by the process itself: it is ready, and what else the other side needs to know.
pub(crate) fn ready(more: &str) -> Result<()> {
    say(format!("{READY} {more}").trim_end())
}

/// Said by the process itself: one line.
pub(crate) fn say(line: &str) -> Result<()> {
    println!("{line}");
    Ok(std::io::stdout().flush()?)
}

impl Process {
    /// Starts it with these words and waits until it is ready.
    pub(crate) fn start(words: &[&str]) -> Result<Self> {
        let start = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = BufReader::new(child.stdout.take().context("standard output")?);
        let mut process = Self { child, output, said: String::new(), ready_ms: 0.0 };
        let line = process.line()?;
        process.ready_ms = start.elapsed().as_secs_f64() * 1e3;
        let said = line.strip_prefix(READY);
        let said =
            said.with_context(|| format!("expected `{READY}` of {words:?}, came `{line}`"))?;
        process.said = said.trim().to_owned();
        Ok(process)
    }

    /// Has it do what a line says, until it says that it is done with the same line.
    pub(crate) fn ask(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("standard input")?;
        writeln!(input, "{line}")?;
        input.flush()?;
        let came = self.line()?;
        ensure!(came == line, "expected `{line}` to be done, came `{came}`");
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    pub(crate) fn resident_mib(&self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).context("VmRSS")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    /// Its clock of processor time.
    #[cfg(target_os = "linux")]
    pub(crate) fn spent(&self) -> Result<Spent> {
        let (id, mut clock) = (libc::pid_t::try_from(self.child.id())?, 0);
        #[expect(unsafe_code, reason = "the standard library can't read another process's clock")]
        // SAFETY: `clock` is a valid place for one clock's number for as long as the call lasts.
        let failed = unsafe { libc::clock_getcpuclockid(id, &raw mut clock) };
        ensure!(failed == 0, "expected a clock of process {id}, came error {failed}");
        Ok(Spent::Other(clock))
    }

    /// Its clock of processor time, which only Linux has.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn spent(&self) -> Result<Spent> {
        anyhow::bail!("expected Linux, where a process's processor time can be read by another")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its standard input ends, and so does it.
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}
