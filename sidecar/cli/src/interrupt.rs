//! Ctrl-C and SIGTERM to a cancel flag; the jobs look at the flag and clean up after themselves.

use std::sync::OnceLock;

use skewless_offline::CancelFlag;

use crate::exit::Outcome;
use crate::output::complain;

/// The flag that the first Ctrl-C sets. A second one ends the process at once: every job survives
/// that, as nothing is put in place before it is whole.
pub(crate) fn flag() -> Outcome<CancelFlag> {
    static FLAG: OnceLock<CancelFlag> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(flag.clone());
    }
    let flag = FLAG.get_or_init(CancelFlag::new).clone();
    let seen = flag.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            wait().await;
            complain!("stopping (Ctrl-C again to stop at once)");
            seen.cancel();
            wait().await;
            std::process::exit(130);
        });
    })?;
    Ok(flag)
}

/// Returns at the next Ctrl-C or SIGTERM; never, if signals can't be watched.
pub(crate) async fn wait() {
    let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}
