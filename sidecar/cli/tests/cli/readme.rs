//! What the READMEs say of a change, run as it stands there: each block pasted whole.

use std::path::Path;
use std::process::Command;

use crate::done;

const READMES: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/template/README.md"),
];

/// The change is seen, also by who follows the steps again; and then everything is as it was.
pub(crate) fn says_how_a_change_is_seen(repo: &Path) {
    let definitions = || std::fs::read_to_string(repo.join("features.yaml")).unwrap();
    let before = definitions();
    for readme in READMES {
        let readme = std::fs::read_to_string(readme).unwrap();
        let back = block(&readme, "cp ../before/features.yaml .");
        let back = back.lines().filter(|line| !line.contains("pkill")).collect::<Vec<_>>();
        for _ in 0..2 {
            let (said, complaint) = pasted(&block(&readme, "skewless diff ../before ."), repo);
            assert_eq!(
                said,
                "backfill anew: order_risk\n  view customer_orders: ttl 36500d -> 30d\n"
            );
            assert_eq!(complaint, "");
            pasted(&back.join("\n"), repo);
            assert_eq!(definitions(), before);
        }
    }
}

/// The first indented block that has this in it.
fn block(text: &str, part: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let blocks = lines.split(|line| !line.starts_with("    "));
    let mut with = blocks.map(|lines| lines.join("\n")).filter(|block| block.contains(part));
    with.next().unwrap_or_else(|| panic!("no block has `{part}`"))
}

/// What a block prints and complains of when a shell runs it in the repo.
fn pasted(block: &str, repo: &Path) -> (String, String) {
    let before = Path::new(env!("CARGO_BIN_EXE_skewless")).parent().map(Path::to_path_buf);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(before.into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", block]).current_dir(repo).env("PATH", path).env("NO_COLOR", "1");
    // Whoever runs the tests may have settings of their own.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"SKEWLESS") {
            shell.env_remove(name);
        }
    }
    let output = shell.output().unwrap();
    (done(&output), String::from_utf8_lossy(&output.stderr).into_owned())
}
