//! Waiting for a moment to within microseconds. tokio's own timers are right to the millisecond only, which
//! is longer than most of the calls that are measured here. Shared by source with `tests/bench`.

use std::io;

#[cfg(target_os = "linux")]
pub(crate) use linux::Alarm;

#[cfg(not(target_os = "linux"))]
pub(crate) use other::Alarm;

/// Lets all other tasks of this thread and its sockets have their turn.
async fn give_way() -> io::Result<()> {
    tokio::task::yield_now().await;
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{self, Read};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::time::Instant;

    use tokio::io::unix::AsyncFd;

    /// A timer of the kernel that wakes the reactor like a socket does.
    #[derive(Debug)]
    pub(crate) struct Alarm {
        timer: AsyncFd<File>,
    }

    impl Alarm {
        /// Of the runtime that this is called on.
        pub(crate) fn new() -> io::Result<Self> {
            #[expect(unsafe_code, reason = "the standard library has no timer that can be polled")]
            // SAFETY: no memory is handed over; the result is checked before it is used.
            let fd = unsafe {
                libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
            };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            #[expect(unsafe_code, reason = "the standard library has no timer that can be polled")]
            // SAFETY: the descriptor was just opened and nobody else knows it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            #[expect(
                unsafe_code,
                reason = "the reactor must be promised that the descriptor stays"
            )]
            // SAFETY: the file owns its descriptor, and isn't replaced or closed while it is registered.
            let timer = unsafe { AsyncFd::register(File::from(fd))? };
            Ok(Self { timer })
        }

        /// Returns at `at`; at once, but after other tasks had their turn, if that has passed.
        pub(crate) async fn wait(&mut self, at: Instant) -> io::Result<()> {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return super::give_way().await;
            }
            let spec = libc::itimerspec {
                it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: libc::timespec {
                    tv_sec: left.as_secs().try_into().unwrap_or(libc::time_t::MAX),
                    tv_nsec: left.subsec_nanos().into(),
                },
            };
            let fd = self.timer.get_ref().as_raw_fd();
            #[expect(unsafe_code, reason = "the standard library has no timer that can be polled")]
            // SAFETY: `spec` is valid for the call, the old value isn't asked for, the descriptor is ours.
            let failed =
                unsafe { libc::timerfd_settime(fd, 0, &raw const spec, std::ptr::null_mut()) };
            if failed != 0 {
                return Err(io::Error::last_os_error());
            }
            loop {
                let mut ready = self.timer.readable_mut().await?;
                // Eight bytes: how often it went off.
                match ready.try_io(|timer| timer.get_mut().read_exact(&mut [0; 8])) {
                    Ok(read) => return read,
                    Err(_would_block) => {}
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::time::Instant;

    /// tokio's own timer: right to a millisecond, which the figures will show as the generator's lateness.
    #[derive(Debug)]
    pub(crate) struct Alarm;

    impl Alarm {
        /// Of the runtime that this is called on.
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// Returns at `at`; at once, but after other tasks had their turn, if that has passed.
        pub(crate) async fn wait(&mut self, at: Instant) -> io::Result<()> {
            if at <= Instant::now() {
                return super::give_way().await;
            }
            tokio::time::sleep_until(at.into()).await;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn an_alarm_never_rings_early_and_can_be_set_again() -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut alarm = Alarm::new()?;
            for us in [0, 1, 300, 1_500, 20] {
                let at = Instant::now() + Duration::from_micros(us);
                alarm.wait(at).await?;
                assert!(Instant::now() >= at, "{us} us");
            }
            Ok(())
        })
    }
}
