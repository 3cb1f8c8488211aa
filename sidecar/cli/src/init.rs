//! `skewless init`: a feature repo that works, to change into one's own. The files are in `template/`.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::exit::{Failure, Next, Outcome};
use crate::output::say;

/// Where the template's plugin finds the SDK in this source tree, unless --sdk says otherwise.
const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/rust");

/// What a feature repo keeps out of version control.
pub(crate) const GITIGNORE: &str = include_str!("../template/gitignore");

/// The template: path in the new folder, content.
const FILES: [(&str, &[u8]); 8] = [
    ("features.yaml", include_bytes!("../template/features.yaml")),
    ("README.md", include_bytes!("../template/README.md")),
    (".gitignore", GITIGNORE.as_bytes()),
    ("data/sample.py", include_bytes!("../template/data/sample.py")),
    ("data/orders.parquet", include_bytes!("../template/data/orders.parquet")),
    ("data/customer_orders.parquet", include_bytes!("../template/data/customer_orders.parquet")),
    ("plugins/basket/Cargo.toml", include_bytes!("../template/plugins/basket/Cargo.toml.in")),
    ("plugins/basket/src/lib.rs", include_bytes!("../template/plugins/basket/src/lib.rs")),
];

/// Make a working feature repo to start from
///
/// Writes definitions with an entity, a view, a transform and a service, the source of its plugin, and
/// sample data. The README in it says what to do next.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example:\n  skewless init my-features && cd my-features && skewless plugin build plugins/basket && skewless check"
)]
pub(crate) struct Args {
    /// Folder to make; it must not exist or be empty
    folder: PathBuf,
    /// Folder of the plugin SDK's crate, for the plugin's Cargo.toml
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let folder = &args.folder;
    check_new(folder)?;
    let sdk = sdk(args.sdk.as_deref())?;
    for (path, content) in FILES {
        let path = folder.join(path);
        match std::str::from_utf8(content) {
            Ok(text) if path.ends_with("Cargo.toml") => {
                write(&path, text.replace("{sdk}", &sdk.display().to_string()).as_bytes())?;
            }
            _ => write(&path, content)?,
        }
    }
    let shown = folder.display();
    say!("made {shown}; next:\n")?;
    say!("  cd {shown}")?;
    say!("  skewless plugin build plugins/basket")?;
    say!("  skewless check")?;
    say!("  skewless load")?;
    say!("  skewless serve")?;
    say!("\nfrom another terminal in that folder:\n")?;
    say!("  skewless get order_risk customer_id=7 --request amount=120")?;
    say!("  skewless backfill order_risk --spine data/orders.parquet --out training.parquet")?;
    say!("\nand read {shown}/README.md")
}

/// Refuses a folder that can't be made, or that has something in it.
pub(crate) fn check_new(folder: &Path) -> Outcome {
    if folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let message = format!("{} is not empty", folder.display());
        return Err(Failure::new(message, "give a folder that doesn't exist yet"));
    }
    if let Some(file) = folder.ancestors().find(|path| path.is_file()) {
        let message = format!(
            "expected a folder to make, came {}: {} is a file",
            folder.display(),
            file.display()
        );
        return Err(Failure::new(message, "give a folder that doesn't exist yet"));
    }
    Ok(())
}

/// The whole path of the plugin SDK's crate: the given one, or that of the source tree this was built in.
pub(crate) fn sdk(given: Option<&Path>) -> Outcome<PathBuf> {
    let sdk = given.unwrap_or(Path::new(SDK));
    sdk.canonicalize()
        .with_context(|| format!("no plugin SDK at {}", sdk.display()))
        .or_next(|| "give the folder sdk/rust of a Skewless source tree with --sdk")
}

pub(crate) fn write(path: &Path, content: &[u8]) -> Outcome {
    let name = || format!("can't write {}", path.display());
    let next = || "give a folder where you may write, on a disk with room";
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(name).or_next(next)?;
    }
    std::fs::write(path, content).with_context(name).or_next(next)
}
