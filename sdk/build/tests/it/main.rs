//! Real builds by the installed toolchain: both lanes, reproducibility, and what is refused. The crate that
//! is built is made here, so that no other crate's changes show.

use std::path::{Path, PathBuf};

use skewless_build::{BuildError, BuildRequest, Built, Lane, SignatureCheck, build};

/// A folder of one test, kept for the next run with what its builds can use again; until the test ends no
/// other process uses it.
struct Place {
    dir: PathBuf,
    _lock: std::fs::File,
}

impl Place {
    fn of(test: &str) -> Self {
        std::fs::create_dir_all(kept()).expect("a folder");
        let lock = std::fs::File::create(kept().join(format!("{test}.lock"))).expect("a lock");
        lock.lock().expect("locked");
        let dir = kept().join(test);
        // The sources are made anew; only what cargo built stays.
        std::fs::remove_dir_all(&dir).ok();
        std::fs::create_dir_all(&dir).expect("a folder");
        Self { dir, _lock: lock }
    }

    /// A folder that cargo builds in: no other test's, as the flags name the crate's workspace, and one that is
    /// elsewhere makes cargo build the kit anew.
    fn target(&self, name: &str) -> PathBuf {
        self.dir.with_extension("target").join(name)
    }
}

fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("builds")
}

/// A plugin crate as an author outside this repository has it.
fn plugin(dir: &Path, source: &str) -> PathBuf {
    let sdk =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../rust").canonicalize().expect("the kit");
    let manifest = format!(
        "[package]\nname = \"halves\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n\
         [dependencies]\nskewless = {{ package = \"skewless-sdk\", path = {sdk:?} }}\n"
    );
    let krate = dir.join("halves");
    std::fs::create_dir_all(krate.join("src")).expect("a folder");
    std::fs::write(krate.join("Cargo.toml"), manifest).expect("a manifest");
    std::fs::write(krate.join("src/lib.rs"), source).expect("a source");
    // The versions that the workspace has: they are on this machine, so no network is asked.
    std::fs::copy(sdk.join("../../Cargo.lock"), krate.join("Cargo.lock")).expect("a lock file");
    krate
}

const HALVES: &str = "//! Halves.\n\n/// Half of it.\n#[skewless::transform]\npub fn halves(x: f64) -> f64 {\n    x / 2.0\n}\n";

fn run(krate: &Path, target: &Path, lane: Lane) -> Result<Built, BuildError> {
    run_if(krate, target, lane, |_| Ok(()))
}

fn run_if(
    krate: &Path,
    target: &Path,
    lane: Lane,
    signature: SignatureCheck,
) -> Result<Built, BuildError> {
    let request = BuildRequest {
        crate_dir: krate.to_owned(),
        lane,
        out_dir: krate.join("out"),
        target_dir: target.to_owned(),
        signature,
    };
    build(&request, &mut |_| {})
}

#[test]
fn the_same_source_in_two_folders_gives_the_same_digest_in_both_lanes() {
    let place = Place::of("two_folders");
    let one = plugin(&place.dir.join("here"), HALVES);
    let other = plugin(&place.dir.join("there/deeper/still"), HALVES);
    for lane in [Lane::Core, Lane::Component] {
        let a = run(&one, &place.target("here"), lane).expect("built");
        let b = run(&other, &place.target("there"), lane).expect("built");
        assert_eq!(a.digest_hex(), b.digest_hex(), "{lane:?}");
        let wasm = std::fs::read(&a.path).expect("the file");
        assert_eq!(wasm.len(), a.bytes);
        let is_component = wasm[4..8] != [1, 0, 0, 0];
        assert_eq!(is_component, lane == Lane::Component);
    }
}

/// A transform with every kind of place that a panic would name: an index, a division, an unwrapped nothing.
const PANICS: &str = "
/// A share.
#[skewless::transform]
pub fn halves(x: i64) -> i64 {
    let parts = [x, x / 2, 7];
    let share = parts.get(x as usize % 5).expect(\"a part\");
    parts[*share as usize] / (x - 1)
}
";

#[test]
fn comments_and_line_numbers_are_not_in_the_digest_but_code_is() {
    let place = Place::of("comments");
    let digest = |source: &str, lane| {
        let krate = plugin(&place.dir, source);
        run(&krate, &place.target("here"), lane).expect("built").digest_hex()
    };
    let commented = PANICS
        .replace("    let share", "    // A comment,\n\n    // in two lines.\n    let   share");
    let moved = format!("//! A line above.\n\n// And one more.\n{commented}");
    for lane in [Lane::Core, Lane::Component] {
        let before = digest(PANICS, lane);
        assert_eq!(before, digest(&moved, lane), "{lane:?}");
        assert_ne!(before, digest(&PANICS.replace("x / 2", "x / 3"), lane), "{lane:?}");
    }
}

#[test]
fn what_is_no_plugin_is_refused_with_a_reason() {
    let place = Place::of("refusals");
    let (dir, target) = (&place.dir, place.target("here"));
    let nowhere = run(&dir.join("nowhere"), &target, Lane::Core).expect_err("no crate");
    assert!(matches!(nowhere, BuildError::NoCrate { .. }), "{nowhere}");

    let krate = plugin(dir, "//! No transform.\n");
    let without = run(&krate, &target, Lane::Core).expect_err("no signature");
    assert!(matches!(without, BuildError::Signature { found: 0 }), "{without}");
    assert!(!krate.join("out/halves.wasm").exists());

    let krate = plugin(dir, HALVES);
    for lane in [Lane::Core, Lane::Component] {
        let says = |json: &[u8]| Err(String::from_utf8_lossy(json).into_owned());
        let unreadable = run_if(&krate, &target, lane, says).expect_err("a bad signature");
        let BuildError::Declared { reason } = &unreadable else { panic!("{unreadable}") };
        assert!(reason.contains(r#""name":"halves""#), "{reason}");
        assert!(!krate.join("out/halves.wasm").exists(), "{lane:?}");
    }

    let krate = plugin(dir, "//! A mistake.\npub fn halves() -> u8 { \"a\" }\n");
    let wrong = run(&krate, &target, Lane::Core).expect_err("a mistake");
    assert!(
        matches!(&wrong, BuildError::Cargo { output } if output.contains("mismatched types")),
        "{wrong}"
    );
}
