//! The guide of plugin authors, followed word by word: the crate of its first chapter is made of its blocks,
//! built, looked at and run. The other blocks are run as documentation tests of the kit.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/plugins.md");

/// The blocks of a language, in their order.
fn blocks<'a>(guide: &'a str, language: &str) -> Vec<&'a str> {
    let parts = guide.split("```").skip(1).step_by(2);
    parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// Runs one line of the guide's shell block in the crate's folder; gives what it printed.
fn done(line: &str, krate: &Path) -> String {
    let skewless = Path::new(env!("CARGO_BIN_EXE_skewless"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let before = skewless.parent().map(Path::to_path_buf);
    let path =
        std::env::join_paths(before.into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut shell = Command::new("sh");
    // Whoever runs the tests may have settings of their own.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"SKEWLESS") {
            shell.env_remove(name);
        }
    }
    let mut shell = shell
        .args(["-e", "-s"])
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide/target"))
        .current_dir(krate)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    shell.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_guides_first_plugin_is_built_and_prints_what_the_guide_says() {
    let guide = std::fs::read_to_string(GUIDE).unwrap();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    // One folder for all runs, so that a second one builds the crate alone.
    let above = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guide");
    std::fs::create_dir_all(&above).unwrap();
    let lock = std::fs::File::create(above.join("lock")).unwrap();
    lock.lock().unwrap();
    // As the guide has it: a feature repo beside a checkout called `skewless`.
    let beside = above.join("skewless");
    std::fs::remove_file(&beside).ok();
    std::os::unix::fs::symlink(&checkout, &beside).unwrap();
    let krate = above.join("shop/plugins/pace");
    std::fs::remove_dir_all(&krate).ok();
    std::fs::create_dir_all(krate.join("src")).unwrap();
    // A block more would be shown and not followed.
    let counts = ["toml", "json", "sh", "text"].map(|language| blocks(&guide, language).len());
    assert_eq!(counts, [1, 1, 2, 2], "blocks of toml, json, sh and text");
    let files = [
        ("Cargo.toml", blocks(&guide, "toml")[0]),
        ("src/lib.rs", blocks(&guide, "rust")[0]),
        ("golden.jsonl", blocks(&guide, "json")[0]),
    ];
    for (name, text) in files {
        std::fs::write(krate.join(name), text).unwrap();
    }
    // The versions that the workspace has: they are on this machine, so no network is asked.
    std::fs::copy(checkout.join("Cargo.lock"), krate.join("Cargo.lock")).unwrap();
    let said: Vec<String> =
        blocks(&guide, "sh")[0].lines().map(|line| done(line, &krate)).collect();
    let [tested, _, inspected, ran] = said.as_slice() else { panic!("{said:?}") };
    assert!(tested.contains("test golden_rows ... ok"), "{tested}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let shown: Vec<_> = inspected.lines().map(words).collect();
    let [signature, rows] = blocks(&guide, "text")[..] else { panic!("two blocks of output") };
    for line in signature.lines() {
        assert!(shown.contains(&words(line)), "{line}\n{inspected}");
    }
    assert_eq!(ran, rows);
    let said: Vec<String> =
        blocks(&guide, "sh")[1].lines().map(|line| done(line, &krate)).collect();
    let [tested, certified, measured] = said.as_slice() else { panic!("{said:?}") };
    assert!(tested.contains("3 rows of golden.jsonl"), "{tested}");
    assert!(
        certified.contains("passed; the certificate is ")
            && certified.contains("/pace.certificate.json"),
        "{certified}"
    );
    assert!(measured.contains("nanoseconds a row"), "{measured}");
}
