//! Real builds by the installed toolchain: both lanes, reproducibility, and what is refused. The crate that
//! is built is made here, so that no other crate's changes show.

use std::path::{Path, PathBuf};

use skewless_build::{BuildError, BuildRequest, Built, Lane, build};

/// A plugin crate as an author outside this repository has it.
fn plugin(dir: &Path, source: &str) -> PathBuf {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rust");
    let manifest = format!(
        "[package]\nname = \"halves\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\nskewless = {{ package = \"skewless-sdk\", path = {:?} }}\n",
        sdk.canonicalize().expect("the kit")
    );
    let krate = dir.join("halves");
    std::fs::create_dir_all(krate.join("src")).expect("a folder");
    std::fs::write(krate.join("Cargo.toml"), manifest).expect("a manifest");
    std::fs::write(krate.join("src/lib.rs"), source).expect("a source");
    krate
}

const HALVES: &str = "//! Halves.\n\n/// Half of it.\n#[skewless::transform]\npub fn halves(x: f64) -> f64 {\n    x / 2.0\n}\n";

fn run(krate: &Path, target: &Path, lane: Lane) -> Result<Built, BuildError> {
    let request = BuildRequest {
        crate_dir: krate.to_owned(),
        lane,
        out_dir: krate.join("out"),
        target_dir: target.to_owned(),
    };
    build(&request, &mut |_| {})
}

#[test]
fn the_same_source_in_two_folders_gives_the_same_digest_in_both_lanes() {
    let (here, there) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let (one, other) =
        (plugin(here.path(), HALVES), plugin(&there.path().join("deeper/still"), HALVES));
    for lane in [Lane::Core, Lane::Component] {
        let a = run(&one, &here.path().join("target"), lane).expect("built");
        let b = run(&other, &there.path().join("target"), lane).expect("built");
        assert_eq!(a.digest_hex(), b.digest_hex(), "{lane:?}");
        let wasm = std::fs::read(&a.path).expect("the file");
        assert_eq!(wasm.len(), a.bytes);
        let is_component = wasm[4..8] != [1, 0, 0, 0];
        assert_eq!(is_component, lane == Lane::Component);
    }
}

#[test]
fn what_is_no_plugin_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a folder");
    let target = dir.path().join("target");
    let nowhere = run(&dir.path().join("nowhere"), &target, Lane::Core).expect_err("no crate");
    assert!(matches!(nowhere, BuildError::NoCrate { .. }), "{nowhere}");

    let krate = plugin(dir.path(), "//! No transform.\n");
    let without = run(&krate, &target, Lane::Core).expect_err("no signature");
    assert!(matches!(without, BuildError::Signature { found: 0 }), "{without}");
    assert!(!krate.join("out/halves.wasm").exists());

    let krate = plugin(dir.path(), "//! A mistake.\npub fn halves() -> u8 { \"a\" }\n");
    let wrong = run(&krate, &target, Lane::Core).expect_err("a mistake");
    assert!(
        matches!(&wrong, BuildError::Cargo { output } if output.contains("mismatched types")),
        "{wrong}"
    );
}
