//! What a run was made under: machine, build, load by others; read from `/proc`, not guessed. What can't be
//! read is said to be unknown.

use std::process::Command;
use std::time::Instant;

use crate::Mode;

/// Which build this is: figures of another than the first are for trying the bench itself.
const BUILD: &str = if cfg!(debug_assertions) {
    "NOT OPTIMISED (dev profile), mimalloc"
} else if option_env!("SKEWLESS_COUNTED_BUILD").is_some() {
    "`./dev bench --quick`: our crates at opt-level 3, dependencies (the floors among them) at 2 as the tests have them, no LTO; mimalloc"
} else {
    "cargo's bench profile (release: thin LTO, 4 codegen units), mimalloc"
};

/// Conditions at the start of a run.
pub(crate) struct Conditions {
    mode: Mode,
    start: Instant,
    load: String,
    ticks: Option<Ticks>,
}

/// Clock ticks (1/100 s) that the machine's CPUs have spent so far.
#[derive(Clone, Copy)]
struct Ticks {
    all: u64,
    busy: u64,
    stolen: u64,
    mine: u64,
}

impl Conditions {
    pub(crate) fn start(mode: Mode) -> Self {
        Self { mode, start: Instant::now(), load: load(), ticks: Ticks::now() }
    }

    /// Lines of a list, name and value.
    pub(crate) fn end(self) -> Vec<(&'static str, String)> {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let others = self.ticks.zip(Ticks::now()).map_or_else(unknown, |(before, now)| {
            let all = (now.all - before.all).max(1) as f64;
            let mine = now.mine - before.mine;
            let others = (now.busy - before.busy).saturating_sub(mine) as f64 / all;
            let stolen = (now.stolen - before.stolen) as f64 / all;
            format!(
                "{:.0} % of the CPU time was other processes', {:.0} % was stolen by other virtual machines",
                others * 100.0,
                stolen * 100.0
            )
        });
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        let release = release.map_or_else(|_| unknown(), |text| text.trim().to_owned());
        vec![
            ("processor", format!("{}, {cores} cores", processor())),
            ("kernel", release),
            ("compiler", output("rustc", &["--version"])),
            ("build", BUILD.to_owned()),
            ("commit", output("git", &["describe", "--always", "--dirty"])),
            ("load average", format!("{} before, {} after", self.load, load())),
            ("disturbance", others),
            (
                "rounds",
                format!(
                    "{} of each pair ({}), {:.0} s in all",
                    self.mode.rounds,
                    self.mode.scale.name(),
                    self.start.elapsed().as_secs_f64()
                ),
            ),
        ]
    }
}

impl Ticks {
    fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/stat").ok()?;
        let cpu: Vec<u64> = stat
            .lines()
            .next()?
            .split_whitespace()
            .skip(1)
            .take(8)
            .map(|word| word.parse().ok())
            .collect::<Option<_>>()?;
        let [user, nice, system, idle, wait, hard, soft, stolen] = cpu.try_into().ok()?;
        let busy = user + nice + system + hard + soft;
        let own = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name, in brackets, may hold spaces; fields 14 and 15 are user and system time, 16 and 17 those of
        // processes of ours that have ended.
        let own = own.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
        let mine = own.map(|word| word.parse::<u64>().ok()).sum::<Option<u64>>()?;
        Some(Self { all: busy + idle + wait + stolen, busy, stolen, mine })
    }
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(unknown, |(_, name)| name.to_owned())
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().map_or_else(unknown, str::to_owned)
}

fn output(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().ok();
    let text = output.filter(|output| output.status.success());
    text.map_or_else(unknown, |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}
