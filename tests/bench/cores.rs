//! Which core each side of a measurement has: the sidecar's process one, the generator's threads another, so that
//! neither waits until the other has had its turn. By affinity, which a thread and a process inherit from the thread
//! that starts them. Linux only; elsewhere, and where there is one core, nothing is pinned and the report says so.

use anyhow::Result;

/// One core for each side, if there are two.
#[derive(Clone, Debug)]
pub(crate) struct Cores {
    allowed: Vec<usize>,
    pair: Option<Pair>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    sidecar: usize,
    generator: usize,
    /// Two threads of one physical core: what one does slows the other.
    siblings: bool,
}

/// The calling thread stays on the generator's core until this is dropped.
pub(crate) struct Kept {
    before: Vec<usize>,
}

impl Cores {
    /// Of those that the calling thread may run on.
    pub(crate) fn choose() -> Self {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = allowed.and_then(numbers).unwrap_or_default();
        let pair = allowed.first().and_then(|first| Pair::of(*first, &allowed));
        Self { allowed, pair }
    }

    /// The sidecar's core.
    pub(crate) fn sidecar(&self) -> Option<usize> {
        self.pair.map(|pair| pair.sidecar)
    }

    /// Keeps the calling thread, and all threads that it starts from then on, on the generator's core.
    pub(crate) fn keep_generator(&self) -> Result<Kept> {
        let Some(pair) = self.pair else { return Ok(Kept { before: Vec::new() }) };
        pin(&[pair.generator])?;
        Ok(Kept { before: self.allowed.clone() })
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        match self.pair {
            None => "There is only one core to be had, so nothing is pinned: sidecar and generator take it from each other, \
                     and the figures say little"
                .to_owned(),
            Some(Pair { sidecar, generator, siblings }) => {
                let more = if siblings { ", two threads of one physical core" } else { "" };
                format!(
                    "The sidecar is a process of its own on core {sidecar}, with as many threads as for a machine of one core; the \
                     generator's threads are on core {generator}{more}"
                )
            }
        }
    }
}

impl Pair {
    fn of(sidecar: usize, allowed: &[usize]) -> Option<Self> {
        let path = format!("/sys/devices/system/cpu/cpu{sidecar}/topology/thread_siblings_list");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let siblings = numbers(&text).unwrap_or_default();
        let others = allowed.iter().rev().filter(|core| **core != sidecar);
        let apart = others.clone().find(|core| !siblings.contains(core));
        let generator = *apart.or_else(|| others.clone().next())?;
        Some(Self { sidecar, generator, siblings: siblings.contains(&generator) })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.before.is_empty() {
            pin(&self.before).ok();
        }
    }
}

/// A list as the kernel writes it, e.g. `0-3,8`.
fn numbers(list: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        all.extend(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(all)
}

/// Lets the calling thread, and all that it starts from then on, run on these cores only.
#[cfg(target_os = "linux")]
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    const SET_BITS: usize = 8 * size_of::<libc::cpu_set_t>();
    let most = cores.iter().max().copied().unwrap_or(0);
    anyhow::ensure!(most < SET_BITS, "expected cores below {SET_BITS}, came {most}");
    #[expect(unsafe_code, reason = "the standard library can't pin threads")]
    // SAFETY: a set of cores is an array of integers, of which all zeros are valid; every core fits it; it outlives
    // the call, which is given its size.
    let failed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cores.iter().for_each(|core| libc::CPU_SET(*core, &mut set));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    anyhow::ensure!(failed == 0, "cores {cores:?}: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Never called, as there is no list of cores to choose from.
#[cfg(not(target_os = "linux"))]
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    anyhow::bail!("expected Linux to pin threads to cores {cores:?}")
}
