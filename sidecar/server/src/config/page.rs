//! `docs/configuration.md` says of every key what the code says: unit, default, range and reason. The page's
//! tables are written from here (`SKEWLESS_BLESS=1`); ranges are found by asking the parser, as a user would.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::path::Path;

use super::field::Target;
use super::{Config, Override, Reach};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
const BEGIN: &str =
    "<!-- begin: written from the code, see sidecar/server/src/config/page.rs -->\n";
const END: &str = "<!-- end -->\n";

/// Where the reasons are: the doc comments of the fields.
const SOURCES: [&str; 3] = [
    include_str!("../config.rs"),
    include_str!("../../../store/src/config.rs"),
    include_str!("../../../engine/src/config.rs"),
];

/// What a first deployment should decide, with when to set it; all else may wait until something asks for it.
const FIRST: [(&str, &str); 6] = [
    (
        "store_dir",
        "always: on a disk that outlives the process, as a new store has to be loaded first",
    ),
    (
        "listen.unix",
        "the model server is on the same machine: nearer than TCP, and no other machine reaches it; else `listen.tcp`",
    ),
    (
        "listen.http",
        "probes and metrics are asked for from elsewhere, as in Kubernetes: `0.0.0.0:7668`",
    ),
    (
        "listen.ingest",
        "rows are sent from another machine: `everywhere`, on a network that you trust",
    ),
    ("store.cache_bytes", "there is more memory, or less: views that fit are read from memory"),
    (
        "store.sync",
        "acknowledged rows must survive a loss of power, as their source can't send them again: `true`",
    ),
];

#[test]
fn the_page_of_settings_is_that_of_the_code() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("SKEWLESS_BLESS").is_some() {
        std::fs::write(PAGE, &expected).unwrap();
    } else if let Some((came, expected)) =
        page.lines().zip(expected.lines()).find(|(came, expected)| came != expected)
    {
        panic!(
            "docs/configuration.md is not that of the code; write it anew with\n  SKEWLESS_BLESS=1 cargo test -p \
             skewless-server --lib config::page\nexpected: {expected}\ncame:     {came}"
        );
    }
    assert!(std::env::var_os("SKEWLESS_BLESS").is_some() || page == expected, "lines at the end");
}

#[test]
fn the_example_of_the_page_is_a_good_file() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let here = [Override::new("--repo", "repo_dir", ".")];
    let config = Config::parse(example, Path::new("skewless.toml"), &here).unwrap();
    assert_eq!(config.listen.unix, Some("/run/skewless/skewless.sock".into()));
    assert_ne!(config.limits, super::Limits::default());
}

#[test]
fn the_reasons_name_the_defaults_of_the_code() {
    let mut wrong = Vec::new();
    for setting in settings() {
        let doc = &setting.reason;
        let said = setting.forms().iter().any(|form| {
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == ',');
            let after = |(at, start): (usize, &str)| ends(&doc[at + start.len()..]);
            let named = ["Default ", "Default: "].map(|start| format!("{start}{form}"));
            named.iter().any(|start| doc.match_indices(start.as_str()).any(after))
                || doc.contains(&format!("{form} (default)"))
        });
        // "4,096, ..." ends with a comma that belongs to the sentence.
        let comma = setting.forms().iter().any(|form| doc.contains(&format!("Default {form}, ")));
        if !said && !comma {
            wrong.push(format!("{}: expected one of {:?} in: {doc}", setting.key, setting.forms()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One key as the page shows it.
struct Setting {
    key: &'static str,
    kind: Kind,
    /// As one writes it in the file.
    default: String,
    number: Option<i128>,
    range: String,
    reason: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bytes,
    Us,
    Ms,
    Ticks,
    Count,
    Word(&'static str),
}

fn settings() -> Vec<Setting> {
    let mut config = Config::default();
    let keys: Vec<&str> = config.fields().iter().map(|(key, _)| *key).collect();
    let setting = |(key, target)| {
        let (kind, default, bounds) = shape(key, target);
        let number = bounds.map(|(default, ..)| default);
        let range = bounds.map(|bounds| range(key, kind, bounds, &keys)).unwrap_or_default();
        Setting { key, kind, default, number, range, reason: reason(key) }
    };
    config.fields().into_iter().map(setting).collect()
}

/// Kind, default as one writes it, and for numbers default, least and most of the table of keys.
fn shape(key: &str, target: Target<'_>) -> (Kind, String, Option<(i128, i128, i128)>) {
    let name = key.rsplit('.').next().unwrap_or_default().trim_end_matches("_max");
    let unit = match name {
        _ if name.ends_with("_bytes") => Kind::Bytes,
        _ if name.ends_with("_us") => Kind::Us,
        _ if name.trim_end_matches("_max").ends_with("_ms") => Kind::Ms,
        _ if name.ends_with("_ticks") => Kind::Ticks,
        _ => Kind::Count,
    };
    let number = |now, least, most| (unit, grouped(now, '_'), Some((now, least, most)));
    let word = |kind, text: String| (Kind::Word(kind), text, None);
    let quoted = |text: &dyn std::fmt::Display| format!("\"{text}\"");
    match target {
        Target::Usize(now, least, most) => number(*now as i128, least as i128, most as i128),
        Target::U32(now, least, most) => number((*now).into(), least.into(), most.into()),
        Target::U64(now, least, most) => number((*now).into(), least.into(), most.into()),
        Target::I64(now, least, most) => number((*now).into(), least.into(), most.into()),
        Target::I32(now, least, most) => number((*now).into(), least.into(), most.into()),
        Target::Bool(now) => word("`true` or `false`", now.to_string()),
        Target::Path(now) => word("path", quoted(&now.display())),
        Target::OptionalPath(now) => {
            word("path, or empty", quoted(&now.clone().unwrap_or_default().display()))
        }
        Target::Address(now) => word(
            "address and port, or empty",
            quoted(&now.map_or(String::new(), |a| a.to_string())),
        ),
        Target::Reach(now) => {
            let now = match now {
                Reach::Off => "off",
                Reach::Local => "local",
                Reach::Everywhere => "everywhere",
            };
            word("`off`, `local` or `everywhere`", quoted(&now))
        }
    }
}

/// The numbers that the parser takes, the other keys at their defaults. A bound that another key sets is
/// shown by that key's name.
fn range(key: &str, kind: Kind, (now, least, most): (i128, i128, i128), keys: &[&str]) -> String {
    let fits = |number: i128| (least..=most).contains(&number) && refusal(key, number).is_none();
    assert!(fits(now), "{key}: the default is refused: {:?}", refusal(key, now));
    let step = (0..40).map(|bit| 1_i128 << bit).find(|step| fits(now + step) || fits(now - step));
    let step = step.unwrap_or(1);
    let end = |sign: i128, room: i128| {
        // The most steps that still fit: every step before them does, too.
        let (mut good, mut bad) = (0, room / step + 1);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            *(if fits(now + sign * middle * step) { &mut good } else { &mut bad }) = middle;
        }
        now + sign * good * step
    };
    let (low, high) = (end(-1, now - least), end(1, most - now));
    let bound = |at: i128, beyond: i128| {
        let why = refusal(key, beyond).unwrap_or_default();
        let mut words = why.split(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c)));
        let other = words.find(|word| *word != key && word.contains('.') && keys.contains(word));
        other.map_or_else(|| shown(kind, at), |other| format!("`{other}`"))
    };
    let (from, to) = (bound(low, low - step), bound(high, high + step));
    let by = if step > 1 { format!(", multiples of {}", shown(kind, step)) } else { String::new() };
    // What 0 switches off may have a least size otherwise.
    let off = if low > 0 && fits(0) { "0, or " } else { "" };
    if high == i128::from(i64::MAX) {
        format!("{off}{from} or more{by}")
    } else {
        format!("{off}{from} to {to}{by}")
    }
}

/// What the parser says against a number, if anything.
fn refusal(key: &str, number: i128) -> Option<String> {
    let given = Override { origin: "--set".into(), key: key.into(), value: number.to_string() };
    Config::parse("", Path::new(""), &[given]).err().map(|error| error.to_string())
}

/// The doc comment of a key's field.
fn reason(key: &str) -> String {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let owner = if section.is_empty() { "Config".to_owned() } else { field("Config", section).0 };
    let doc = field(&owner, name).1;
    doc.replace("[`", "`").replace("`]", "`").replace("`crate::", "`").replace('|', "\\|")
}

/// Type and doc comment of a field of a structure in one of the sources.
fn field(owner: &str, name: &str) -> (String, String) {
    let (head, start) = (format!("pub struct {owner} {{\n"), format!("pub {name}: "));
    let body = SOURCES.iter().find_map(|source| source.split_once(&head)).unwrap().1;
    let mut doc = Vec::new();
    for line in body.lines().take_while(|line| *line != "}").map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push(text.trim());
        } else if let Some(ty) = line.strip_prefix(&start) {
            return (ty.trim_end_matches(',').to_owned(), doc.join(" "));
        } else if line.starts_with("pub ") {
            doc.clear();
        }
    }
    panic!("{owner} has no field {name} with a doc comment");
}

/// The page's tables: what to look at first, then one a section.
fn tables() -> String {
    let settings = settings();
    let mut text = first(&settings);
    let mut section = None;
    for setting in &settings {
        let of = setting.key.split_once('.').map_or("", |(section, _)| section);
        if section.replace(of) != Some(of) {
            let (title, doc) = if of.is_empty() {
                ("Folders".into(), String::new())
            } else {
                (format!("`[{of}]`"), field("Config", of).1)
            };
            let doc = if doc.is_empty() { String::new() } else { format!("{doc}\n\n") };
            let head = "| key | unit or kind | default | range | what it is, and why this default |\n|---|---|---|---|---|\n";
            write!(text, "\n## {title}\n\n{doc}{head}").unwrap();
        }
        let Setting { key, kind, range, reason, .. } = setting;
        let unit = match kind {
            Kind::Bytes => "bytes",
            Kind::Us => "us",
            Kind::Ms => "ms",
            Kind::Ticks => "ticks",
            Kind::Count => "count",
            Kind::Word(word) => word,
        };
        let default = setting.shown_default();
        writeln!(text, "| `{key}` | {unit} | {default} | {range} | {reason} |").unwrap();
    }
    text.push('\n');
    text
}

/// The table of [`FIRST`].
fn first(settings: &[Setting]) -> String {
    let mut text = "\n## Start here\n\nThese few a first deployment should decide. All others have defaults that hold until something asks for them: \
                    a refusal, a metric or a warning names its setting.\n\n| key | default | set it when |\n|---|---|---|\n"
        .to_owned();
    for (key, when) in FIRST {
        let setting = settings.iter().find(|setting| setting.key == key).unwrap();
        writeln!(text, "| `{key}` | {} | {when} |", setting.shown_default()).unwrap();
    }
    text
}

impl Setting {
    /// The default as one writes it, and as one says it.
    fn shown_default(&self) -> String {
        let human = self.number.and_then(|number| human(self.kind, number));
        let human = human.map(|human| format!(" ({human})")).unwrap_or_default();
        format!("`{}`{human}", self.default)
    }

    /// How a doc comment may name the default.
    fn forms(&self) -> Vec<String> {
        let Some(number) = self.number else {
            let plain = self.default.trim_matches('"');
            let special = match plain {
                "" => "none",
                "." => "the working folder",
                _ => plain,
            };
            return vec![special.to_owned(), format!("`{plain}`")];
        };
        let mut forms = vec![grouped(number, ',')];
        forms.extend(humans(self.kind, number));
        forms
    }
}

/// A bound in the range's column.
fn shown(kind: Kind, number: i128) -> String {
    human(kind, number).unwrap_or_else(|| grouped(number, ','))
}

/// A size or time in its largest whole unit; none if that is the unit it is given in.
fn human(kind: Kind, number: i128) -> Option<String> {
    humans(kind, number).into_iter().next()
}

/// A size or time in every larger unit of which it is a whole number, the largest first.
fn humans(kind: Kind, number: i128) -> Vec<String> {
    let units: &[(&str, i128)] = match kind {
        Kind::Bytes => &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)],
        Kind::Us => &[
            ("d", DAY_US),
            ("h", DAY_US / 24),
            ("min", 60_000_000),
            ("s", 1_000_000),
            ("ms", 1_000),
        ],
        Kind::Ms => &[("d", DAY_US / 1_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)],
        _ => &[],
    };
    let whole = units.iter().filter(|(_, size)| number >= *size && number % size == 0);
    whole.map(|(unit, size)| format!("{} {unit}", grouped(number / size, ','))).collect()
}

const DAY_US: i128 = 86_400_000_000;

/// A number with its thousands apart.
fn grouped(number: i128, mark: char) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(mark);
        }
        text.push(digit);
    }
    text
}
