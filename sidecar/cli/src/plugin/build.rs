//! `skewless plugin build`: a plugin crate to one `.wasm` file; how that is done is `skewless-build`'s.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use skewless_build::{BuildRequest, Built, Lane, build, default_target_dir};

use crate::exit::{Next, Outcome};
use crate::show;

/// Build a plugin crate into one .wasm file
///
/// Reproducible: the same source and toolchain give the same bytes, and so the same digest. The file is named
/// after the crate and put beside its folder, where definitions look for it: plugins/basket becomes
/// plugins/basket.wasm.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skewless plugin build plugins/basket")]
pub(crate) struct Args {
    /// Folder of the plugin's crate
    #[arg(value_name = "CRATE", default_value = ".")]
    crate_dir: PathBuf,
    /// Folder to put the .wasm file into; the one above the crate's when not given
    #[arg(long, value_name = "DIR")]
    out_dir: Option<PathBuf>,
    /// Build a component instead of a core module: slower, for hosts that take nothing else
    #[arg(long)]
    component: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let crate_dir = std::path::absolute(&args.crate_dir)?;
    let above = || crate_dir.parent().unwrap_or(&crate_dir).to_owned();
    let out_dir = args.out_dir.clone().unwrap_or_else(above);
    let lane = if args.component { Lane::Component } else { Lane::Core };
    let built = into(&crate_dir, &out_dir, lane)?;
    println!("{} ({} bytes)", built.path.display(), show::thousands(built.bytes as u64));
    println!("sha256:{}", built.digest_hex());
    Ok(())
}

/// Builds a crate into `out_dir`, with cargo's last line as progress.
pub(crate) fn into(crate_dir: &Path, out_dir: &Path, lane: Lane) -> Outcome<Built> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| crate_dir.join("target"), PathBuf::from);
    let request = BuildRequest {
        crate_dir: crate_dir.to_owned(),
        lane,
        out_dir: out_dir.to_owned(),
        target_dir: default_target_dir(&target),
    };
    let bar = ProgressBar::new_spinner();
    let built = build(&request, &mut |line| bar.set_message(line.trim().to_owned()));
    bar.finish_and_clear();
    built.or_next(|| format!("try `cargo check` in {}", crate_dir.display()))
}
