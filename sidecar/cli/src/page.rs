//! `docs/cli.md` says of every subcommand what its `--help` says. The page is written from here
//! (`SKEWLESS_BLESS=1`), from what clap is told by the structures of the subcommands.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
const BEGIN: &str = "<!-- begin: written from the code, see sidecar/cli/src/page.rs -->\n";
const END: &str = "<!-- end -->\n";

/// Columns of a text: what `--help` has where there is no terminal, whatever this test's has.
const COLUMNS: usize = 100;

#[test]
fn the_page_of_the_command_is_that_of_the_code() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}{}{END}{after}", sections());
    if std::env::var_os("SKEWLESS_BLESS").is_some() {
        std::fs::write(PAGE, &expected).unwrap();
        return;
    }
    let mut lines = page.lines().zip(expected.lines());
    if let Some((came, expected)) = lines.find(|(came, expected)| came != expected) {
        panic!(
            "docs/cli.md is not what the command says; write it anew with\n  SKEWLESS_BLESS=1 cargo test --workspace \
             --bin skewless page\nexpected: {expected}\ncame:     {came}"
        );
    }
    assert_eq!(page, expected, "lines at the end");
}

/// A section for the command and each of its subcommands, in the order of `skewless --help`.
fn sections() -> String {
    let cli = plain(super::Cli::command());
    let mut text = String::new();
    section(&cli, &cli, &["skewless"], &mut text);
    text.push('\n');
    text
}

/// Without what depends on the machine: a terminal's width and the environment's values.
fn plain(command: Command) -> Command {
    let command = command.term_width(COLUMNS).mut_args(|arg| arg.hide_env_values(true));
    command.mut_subcommands(plain)
}

fn section(cli: &Command, command: &Command, words: &[&str], text: &mut String) {
    // The way of whoever types it: what clap would print then is its error.
    let asked = cli.clone().try_get_matches_from(words.iter().chain(&["--help"]));
    let help = asked.unwrap_err().to_string();
    let (about, rest) = help.split_once("\n\nUsage: ").unwrap();
    let rest: Vec<&str> = rest.trim_end().lines().map(str::trim_end).collect();
    let (name, rest) = (words.join(" "), rest.join("\n"));
    let block = "<!-- block: generated sidecar/cli/src/page.rs -->\n```text";
    write!(text, "\n## {name}\n\n{}\n\n{block}\nUsage: {rest}\n```\n", about.trim_end()).unwrap();
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        section(cli, below, &[words, &[below.get_name()]].concat(), text);
    }
}
