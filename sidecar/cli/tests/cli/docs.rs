//! Every block of code in `docs/` is proven, and says by what in a comment before it, which no reader of the page sees. A
//! block without one fails, and so does one that claims a proof that isn't there. What the blocks say is the pages' matter.
//!
//! | comment, `<!-- block: .. -->` | the block |
//! |---|---|
//! | `run NAME` | is run by a shell, in the scenario NAME of its page; `skewless serve` goes on beside it |
//! | `file NAME PATH` | is written to PATH in the scenario's folder |
//! | `prints NAME` | is what the block before it in the scenario printed; `…` is anything, alone in a line any lines |
//! | `setup NAME`, then lines up to `-->` | no block: lines that a shell runs, which the page takes for granted |
//! | `definitions` | is a feature repo without plugins, which `skewless check` takes |
//! | `config` | is a file of settings, which the sidecar takes |
//! | `test PATH` | is read and proven by that file of tests, which names the page |
//! | `generated PATH` | is written by that file of tests, which names the page |
//! | `interop NAME` | needs more than `cargo test` has: `tests/interop/NAME.sh` proves it, and names the page, itself or in a file beside it that begins with NAME |
//! | `figure` | is a picture or a formula, in no language |
//! | none, for `rust` | is compiled and run with the kit's documentation, `sdk/rust/src/lib.rs` |

use std::path::{Path, PathBuf};
use std::process::Command;

use skewless_server::Config;

use crate::cli::pages::{Block, blocks};
use crate::{Sidecar, done, skewless};

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Every page below `docs/`: its path in the repository, and its blocks.
fn pages() -> Vec<(String, Vec<Block>)> {
    let files = files("docs").into_iter().filter(|path| path.ends_with(".md"));
    let read = |path: String| {
        let text = text(&path);
        let blocks = blocks(&text).unwrap_or_else(|mistake| panic!("{path}:{mistake}"));
        (path, blocks)
    };
    files.map(read).collect()
}

/// The files below a folder of the repository.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(Path::new(CHECKOUT).join(folder)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn text(path: &str) -> String {
    let read = std::fs::read_to_string(Path::new(CHECKOUT).join(path));
    read.unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_block_of_the_docs_says_how_it_is_proven() {
    let mut wrong = Vec::new();
    let pages = pages();
    assert!(pages.iter().any(|(_, blocks)| !blocks.is_empty()), "no page has a block");
    for (page, blocks) in &pages {
        for block in blocks {
            if let Err(why) = proof(page, block) {
                wrong.push(format!("{page}:{}: {why}", block.line));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "blocks of the docs that nothing proves; sidecar/cli/tests/cli/docs.rs says how:\n{}",
        wrong.join("\n")
    );
}

/// Notebooks have no comments: an interop script runs each, whole.
#[test]
fn every_notebook_of_the_docs_is_run_by_a_script() {
    let scripts = files("tests/interop");
    for notebook in files("docs").iter().filter(|path| path.ends_with(".ipynb")) {
        assert!(
            scripts.iter().any(|script| mentions(script, notebook)),
            "{notebook}: expected its path in a file of tests/interop, which runs it; there are {scripts:?}"
        );
    }
}

/// Whether the proof that a block claims is there; scenarios are run by the test below.
fn proof(page: &str, block: &Block) -> Result<(), String> {
    let words: Vec<&str> = block.marker.split_whitespace().collect();
    let wants = |languages: &[&str]| {
        let language = block.language.as_str();
        let wanted = languages.contains(&language);
        let refused = || format!("`{}` is for {languages:?}, came `{language}`", words[0]);
        if wanted { Ok(()) } else { Err(refused()) }
    };
    match words[..] {
        ["run", _] => wants(&["sh"]),
        ["prints", _] => wants(&["text", "json"]),
        ["file", _, path] if !path.starts_with('/') && !path.contains("..") => Ok(()),
        ["setup", _] => Ok(()),
        ["definitions"] => wants(&["yaml"]).map(|()| checked(&block.text)),
        ["config"] => wants(&["toml"]).and_then(|()| {
            let config = Config::parse(&block.text, Path::new("skewless.toml"), &[]);
            config.map(drop).map_err(|error| error.to_string())
        }),
        ["test" | "generated", path] if path.ends_with(".rs") => names(path, page),
        ["interop", name] => interop(name, page),
        ["figure"] => wants(&["", "text"]),
        [] if block.language == "rust" => {
            names("sdk/rust/src/lib.rs", &format!("#[doc = include_str!(\"../../../{page}\")]"))
        }
        [] => Err(format!("a block of `{}` without a comment that says its proof", block.language)),
        _ => Err(format!("no such proof: `{}`", block.marker)),
    }
}

/// Whether a file that is to prove a page has its path in it.
fn names(file: &str, page: &str) -> Result<(), String> {
    let read = std::fs::read_to_string(Path::new(CHECKOUT).join(file));
    let read = read.map_err(|error| format!("{file}: {error}"))?;
    let named = read.contains(page);
    if named { Ok(()) } else { Err(format!("expected `{page}` to be named in {file}")) }
}

/// Whether there is such a script, and it or a file of its own names the page.
fn interop(name: &str, page: &str) -> Result<(), String> {
    let script = format!("tests/interop/{name}.sh");
    let found = files("tests/interop");
    if !found.contains(&script) {
        return Err(format!("expected the script {script}; there are {found:?}"));
    }
    let own = format!("tests/interop/{name}");
    let named = found.iter().any(|file| file.starts_with(&own) && mentions(file, page));
    if named { Ok(()) } else { Err(format!("expected `{page}` to be named in {script}")) }
}

/// Whether a file of text has these words in it.
fn mentions(file: &str, words: &str) -> bool {
    let read = std::fs::read_to_string(Path::new(CHECKOUT).join(file));
    read.is_ok_and(|text| text.contains(words))
}

fn checked(definitions: &str) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("features.yaml"), definitions).unwrap();
    done(&skewless(folder.path(), &["check"]));
}

/// The scenarios one by one, each block in the order of its page.
#[test]
fn every_scenario_of_the_docs_does_what_its_page_says() {
    let mut ran = 0;
    for (page, blocks) in pages() {
        let mut names: Vec<&str> = blocks.iter().filter_map(Block::scenario).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let mut scenario = Scenario::new();
            for block in blocks.iter().filter(|block| block.scenario() == Some(name)) {
                scenario.follow(block, &format!("{page}:{}", block.line));
                ran += 1;
            }
        }
    }
    assert!(ran > 0, "no page has a scenario");
}

/// Where a page's reader would be: a home, a folder in it, what was printed last, and a sidecar in another terminal.
struct Scenario {
    home: tempfile::TempDir,
    folder: PathBuf,
    printed: Option<String>,
    sidecar: Option<Sidecar>,
    /// The socket of `sidecar`.
    address: String,
}

impl Scenario {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().canonicalize().unwrap();
        Self { home, folder, printed: None, sidecar: None, address: String::new() }
    }

    fn follow(&mut self, block: &Block, place: &str) {
        match block.marker.split_whitespace().collect::<Vec<_>>()[..] {
            ["run" | "setup", _] => self.run(&block.text, place),
            ["file", _, path] => {
                let path = self.folder.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, &block.text).unwrap();
            }
            ["prints", _] => {
                let printed = self.printed.take().unwrap_or_else(|| panic!("{place}: of what?"));
                let lines = |text: &str| text.lines().map(squeezed).collect::<Vec<_>>();
                let (shown, came) = (lines(&block.text), lines(printed.trim()));
                assert!(shows(&shown, &came), "{place}: shown:\n{}\ncame:\n{printed}", block.text);
            }
            _ => unreachable!("Block::scenario"),
        }
    }

    /// Runs lines as a shell would, but for `skewless serve`, which a reader has in another terminal.
    fn run(&mut self, lines: &str, place: &str) {
        let mut here = String::new();
        self.printed = Some(String::new());
        for line in lines.lines() {
            if let Some(more) = line.strip_prefix("skewless serve") {
                self.shell(&std::mem::take(&mut here), place);
                let words: Vec<&str> = more.split_whitespace().collect();
                let words = [&["--http", ""][..], words.as_slice()].concat();
                self.sidecar = Some(Sidecar::start_with(&self.folder, &words));
                self.address = format!("unix:{}", self.folder.join("sidecar.sock").display());
            } else {
                here.push_str(line);
                here.push('\n');
            }
        }
        self.shell(&here, place);
    }

    fn shell(&mut self, lines: &str, place: &str) {
        if lines.trim().is_empty() {
            return;
        }
        let beside = Path::new(env!("CARGO_BIN_EXE_skewless")).parent().map(Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths(beside.into_iter().chain(std::env::split_paths(&path))).unwrap();
        // Where the shell ends is where the next block begins.
        let ended = self.home.path().join(".ended");
        // The default port may be another's on this machine.
        let lines = lines.replace("127.0.0.1:7667", &self.address);
        let script = format!("{lines}\npwd >\"$SCENARIO_ENDED\"\n");
        let mut shell = Command::new("sh");
        // Whoever runs the tests may have settings of their own.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"SKEWLESS") {
                shell.env_remove(name);
            }
        }
        // With another home, cargo and rustup would be new to this machine.
        let home = std::env::home_dir().unwrap();
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            if std::env::var_os(name).is_none() && home.join(folder).is_dir() {
                shell.env(name, home.join(folder));
            }
        }
        if self.sidecar.is_some() {
            shell.env("SKEWLESS_AT", &self.address);
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs/target");
        let output = shell
            .args(["-e", "-c", &script])
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("HOME", self.home.path())
            .env("CARGO_TARGET_DIR", target)
            .env("SCENARIO_ENDED", &ended)
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: {lines}\n{complaint}");
        let printed = String::from_utf8(output.stdout).unwrap();
        self.printed.get_or_insert_default().push_str(&printed);
        self.folder = PathBuf::from(std::fs::read_to_string(ended).unwrap().trim_end());
    }
}

/// Columns of a table are as wide as what is in them, so spaces count as one.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a page shows what was printed, all of it but for what its `…` stand for.
fn shows(shown: &[String], came: &[String]) -> bool {
    match shown {
        [] => came.is_empty(),
        [any, rest @ ..] if any == "…" => (0..=came.len()).any(|skip| shows(rest, &came[skip..])),
        [first, rest @ ..] => {
            came.first().is_some_and(|line| alike(first, line)) && shows(rest, &came[1..])
        }
    }
}

fn alike(shown: &str, came: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return shown == came };
    let Some(mut rest) = came.strip_prefix(*first) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(*part) else { return false };
        rest = after;
    }
    rest.ends_with(*last)
}

#[test]
fn what_a_page_shows_is_held_against_what_came() {
    let lines = |text: &str| text.lines().map(squeezed).collect::<Vec<_>>();
    let came = lines("a  1\nb 2 of 9\nc");
    for shown in ["a 1\nb 2 of 9\nc", "a 1\nb … of 9\nc", "…\nc", "a 1\n…", "a 1\n…\nb 2…9\n…\nc"]
    {
        assert!(shows(&lines(shown), &came), "{shown}");
    }
    for shown in ["a 1\nc", "a 1\nb 2 of 9", "b … of 9\nc", "…\nd", "a 1\nb … of 8\nc", ""] {
        assert!(!shows(&lines(shown), &came), "{shown}");
    }
}

#[test]
fn a_block_without_a_proof_is_refused() {
    let refused = |page: &str, text: &str, part: &str| {
        let blocks = blocks(text).unwrap();
        let why = proof(page, &blocks[0]).unwrap_err();
        assert!(why.contains(part), "{why}");
    };
    let page = "docs/plugins.md";
    refused(page, "```sh\nls\n```\n", "without a comment");
    refused(page, "Text.\n\n    ls\n", "without a comment");
    refused("docs/serving.md", "```rust\nfn f() {}\n```\n", "to be named in sdk/rust");
    refused(page, "```rust,ignore\nfn f() {}\n```\n", "without a comment");
    refused(page, "<!-- block: figure -->\n\n```sh\nls\n```\n", "`figure` is for");
    refused(
        page,
        "<!-- block: test sidecar/cli/tests/cli/pipes.rs -->\n```sh\n```\n",
        "to be named",
    );
    refused(page, "<!-- block: interop nowhere -->\n```sh\nls\n```\n", "nowhere.sh");
    refused(page, "<!-- block: guess -->\n```sh\nls\n```\n", "no such proof");
    refused(page, "<!-- block: config -->\n```toml\nrow_max = 1\n```\n", "row_max");
}
