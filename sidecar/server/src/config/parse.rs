//! From TOML text and overrides to a valid [`Config`], with every mistake at once; not the keys, which
//! are in `field.rs`.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use skewless_catalog::names;
use toml::de::{DeTable, DeValue};

use super::field::Target;
use super::{Config, Reach};

/// Bytes of a Unix socket's path: the system's address holds 108 with its end mark, less on other systems.
const UNIX_PATH_BYTES_MAX: usize = 100;

/// Characters of a wrong value that a message shows: enough to find it, and a file given as a value fills no screen.
const SHOWN_CHARS_MAX: usize = 64;

/// How the names of all our environment variables begin.
const VARIABLE: &str = "SKEWLESS_";
/// Those that aren't settings, by what follows: where a client asks (`skewless get`), the file of settings, the log.
const OTHERS: [&str; 3] = ["AT", "CONFIG", "LOG"];
/// Of those that somebody else reads, the one whose name is also a setting's: the folder that `./dev` keeps what it builds
/// in.
const DEV_FOLDER: &str = "SKEWLESS_CACHE_DIR";

/// A value given beside the file: `--set key=value` or an environment variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Override {
    /// Where it was given, as a message shall show it: `--set`, or the variable's name.
    pub origin: String,
    /// The key with its section, e.g. `limits.rows_max`.
    pub key: String,
    /// The value as TOML; what is no TOML is taken as a string.
    pub value: String,
}

/// One mistake and where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The file, with the line if it is known; or where the override was given. Empty if it is about settings together
    /// and there is no file.
    pub place: String,
    /// What was expected and what came.
    pub message: String,
}

/// Every mistake of a configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{} in the configuration:{}", count(.mistakes), list(.mistakes))]
pub struct ConfigError {
    /// In the order of the file, then the overrides, then contradictions.
    pub mistakes: Vec<Mistake>,
}

impl Config {
    /// The configuration of a file's text with overrides on top. Relative paths in the file are relative
    /// to the file's folder, those of overrides to the working folder.
    pub fn parse(text: &str, file: &Path, overrides: &[Override]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut mistakes = Vec::new();
        let base = file.parent().unwrap_or(Path::new(""));
        if !text.is_empty() {
            config.base(base);
        }
        let place = |offset: usize| format!("{}:{}", file.display(), line_of(text, offset));
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = place(error.span().map_or(0, |span| span.start));
            mistakes.push(Mistake { place: at, message: error.message().to_owned() });
        }
        let mut leaves = Vec::new();
        flatten("", table.get_ref(), &mut leaves);
        leaves.sort_by_key(|leaf| leaf.offset);
        for leaf in &leaves {
            if let Err(message) = config.set(&leaf.key, leaf.value, base) {
                mistakes.push(Mistake { place: place(leaf.offset), message });
            }
        }
        for given in overrides {
            if let Err(message) = config.set_text(&given.key, &given.value) {
                mistakes.push(Mistake { place: given.origin.clone(), message });
            }
        }
        let whole = |message| Mistake { place: file.display().to_string(), message };
        mistakes.extend(config.contradictions().into_iter().map(whole));
        if mistakes.is_empty() { Ok(config) } else { Err(ConfigError { mistakes }) }
    }

    /// What can't be together or can't work, though each value alone is possible.
    #[must_use]
    pub fn contradictions(&self) -> Vec<String> {
        let mut found: Vec<String> =
            self.store.mistakes().into_iter().map(|mistake| format!("store: {mistake}")).collect();
        let engine = self.engine.mistakes().into_iter();
        found.extend(engine.map(|(key, expected)| format!("engine.{key}: expected {expected}")));
        let limits = &self.limits;
        if self.listen.tcp.is_none() && self.listen.unix.is_none() {
            found.push("listen: expected an address in tcp or unix, came none".to_owned());
        }
        if limits.deadline_ms > limits.deadline_ms_max {
            let (came, max) = (limits.deadline_ms, limits.deadline_ms_max);
            found.push(format!(
                "limits.deadline_ms: expected at most limits.deadline_ms_max ({max}), came {came}"
            ));
        }
        if limits.ingest_rows_max > self.store.batch_rows_max {
            let (came, max) = (limits.ingest_rows_max, self.store.batch_rows_max);
            found.push(format!(
                "limits.ingest_rows_max: expected at most store.batch_rows_max ({max}), came {came}"
            ));
        }
        if let Some(path) = &self.listen.unix
            && path.as_os_str().len() > UNIX_PATH_BYTES_MAX
        {
            let came = path.as_os_str().len();
            found.push(format!(
                "listen.unix: expected a path of at most {UNIX_PATH_BYTES_MAX} bytes, came {came}"
            ));
        }
        let dirs = [
            ("repo_dir", &self.repo_dir),
            ("store_dir", &self.store_dir),
            ("cache_dir", &self.cache_dir),
        ];
        for (name, dir) in dirs {
            if dir.as_os_str().is_empty() {
                found.push(format!("{name}: expected a folder, came an empty path"));
            }
        }
        if !self.repo_dir.as_os_str().is_empty() && !self.repo_dir.is_dir() {
            let came = self.repo_dir.display();
            let which =
                if self.repo_dir.is_file() { "a file: give the folder it is in" } else { "none" };
            found.push(format!(
                "repo_dir: expected a folder with definitions, came {came}, which is {which}"
            ));
        }
        found
    }

    /// Makes the default paths relative to the file's folder as well.
    fn base(&mut self, base: &Path) {
        for dir in [&mut self.repo_dir, &mut self.store_dir, &mut self.cache_dir] {
            *dir = base.join(&*dir);
        }
    }

    fn set_text(&mut self, key: &str, value: &str) -> Result<(), String> {
        let here = Path::new("");
        match DeValue::parse(value) {
            Ok(parsed) => self.set(key, parsed.get_ref(), here),
            Err(_) => self.set(key, &DeValue::String(value.into()), here),
        }
    }

    fn set(&mut self, key: &str, value: &DeValue<'_>, base: &Path) -> Result<(), String> {
        let fields = self.fields();
        let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let Some((_, target)) = fields.into_iter().find(|(name, _)| *name == key) else {
            return Err(match key.strip_prefix(VARIABLE) {
                Some(name) => misspelt_variable(name, &known),
                None => unknown_key(key, &known),
            });
        };
        assign(target, value, base).map_err(|message| format!("{key}: {message}"))
    }
}

fn unknown_key(key: &str, known: &[&str]) -> String {
    let meant = names::nearest(key, known.iter().copied());
    let meant = meant.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    format!("expected a known key, came `{}`{meant}", shown(key))
}

/// What is wrong with a variable that is no setting's; `name` is what follows [`VARIABLE`].
fn misspelt_variable(name: &str, known: &[&str]) -> String {
    let meant = meant_by(name, known);
    if !begins_like_a_setting(name, known) {
        let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
        return format!("expected a variable that is read, came one that isn't{meant}");
    }
    let meant = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("`limits.rows_max` is `{}`", variable_of("limits.rows_max")),
    };
    format!("expected two underscores before each part of a setting's variable, came one ({meant})")
}

/// The variable that one is nearly called like; `name` is what follows [`VARIABLE`]. The beginning that all share counts
/// for nothing: with it, every short name would be near to every other.
fn meant_by(name: &str, known: &[&str]) -> Option<String> {
    let settings = known.iter().map(|key| (key.replace('.', "_"), variable_of(key)));
    let others = OTHERS.map(|other| (other.to_lowercase(), format!("{VARIABLE}{other}")));
    let all: Vec<(String, String)> = settings.chain(others).collect();
    let plain = plain_name(name);
    let meant = names::nearest(&plain, all.iter().map(|(plain, _)| plain.as_str()))?;
    all.into_iter().find(|(plain, _)| *plain == meant).map(|(_, variable)| variable)
}

fn assign(target: Target<'_>, value: &DeValue<'_>, base: &Path) -> Result<(), String> {
    match target {
        Target::Usize(to, least, most) => *to = number(value, least, most)?,
        Target::U32(to, least, most) => *to = number(value, least, most)?,
        Target::U64(to, least, most) => *to = number(value, least, most)?,
        Target::I64(to, least, most) => *to = number(value, least, most)?,
        Target::I32(to, least, most) => *to = number(value, least, most)?,
        Target::Bool(to) => {
            *to = value.as_bool().ok_or_else(|| unexpected("true or false", value))?;
        }
        Target::Path(to) => *to = base.join(text(value, "a path")?),
        Target::OptionalPath(to) => {
            let path = text(value, "a path")?;
            *to = (!path.is_empty()).then(|| base.join(path));
        }
        Target::Address(to) => *to = address(text(value, "an address and port")?)?,
        Target::Reach(to) => *to = reach(text(value, "off, local or everywhere")?)?,
    }
    Ok(())
}

fn number<T>(value: &DeValue<'_>, least: T, most: T) -> Result<T, String>
where
    T: TryFrom<i128> + Into<i128Wide> + Copy + Display,
{
    let expected = || format!("a whole number from {least} to {most}");
    let integer = value.as_integer().ok_or_else(|| unexpected(&expected(), value))?;
    let digits = integer.as_str().replace('_', "");
    let parsed = i128::from_str_radix(&digits, integer.radix()).ok();
    let in_range = parsed.filter(|number| (least.into().0..=most.into().0).contains(number));
    let number = in_range.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("expected {}, came {digits}", expected()))
}

/// Any of our number types, widened for comparison; usize has no `Into<i128>` of its own.
#[expect(non_camel_case_types, reason = "reads as the number type it is")]
struct i128Wide(i128);

macro_rules! widen {
    ($($ty:ty),*) => { $(impl From<$ty> for i128Wide {
        fn from(number: $ty) -> Self { Self(number as i128) }
    })* };
}
widen!(usize, u32, u64, i64, i32);

fn text<'a>(value: &'a DeValue<'_>, expected: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| unexpected(expected, value))
}

fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.parse();
    parsed.map(Some).map_err(|_| {
        let came = shown(text);
        format!("expected an address and port such as 127.0.0.1:7667 or [::1]:7667, came `{came}`")
    })
}

fn reach(text: &str) -> Result<Reach, String> {
    match text {
        "off" => Ok(Reach::Off),
        "local" => Ok(Reach::Local),
        "everywhere" => Ok(Reach::Everywhere),
        _ => Err(format!("expected off, local or everywhere, came `{}`", shown(text))),
    }
}

fn unexpected(expected: &str, came: &DeValue<'_>) -> String {
    let text = match came {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => {
            return format!("expected {expected}, came a value of type {}", came.type_str());
        }
    };
    format!("expected {expected}, came the {} `{}`", came.type_str(), shown(&text))
}

/// The beginning of what came, for a message.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

struct Leaf<'a, 'i> {
    key: String,
    value: &'a DeValue<'i>,
    offset: usize,
}

fn flatten<'a, 'i>(prefix: &str, table: &'a DeTable<'i>, leaves: &mut Vec<Leaf<'a, 'i>>) {
    for (name, value) in table.iter() {
        let key = if prefix.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{prefix}.{}", name.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&key, inner, leaves),
            leaf => leaves.push(Leaf { key, value: leaf, offset: name.span().start }),
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn count(mistakes: &[Mistake]) -> String {
    if mistakes.len() == 1 {
        "1 mistake".to_owned()
    } else {
        format!("{} mistakes", mistakes.len())
    }
}

fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}

impl Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// The variable of a key.
fn variable_of(key: &str) -> String {
    format!("{VARIABLE}_{}", key.to_uppercase().replace('.', "__"))
}

/// A variable's name, [`VARIABLE`] taken off, as a key would be in it if one underscore stood everywhere.
fn plain_name(name: &str) -> String {
    name.to_lowercase().replace("__", "_").trim_start_matches('_').to_owned()
}

/// Whether what follows [`VARIABLE`] begins as a setting's does: its first word is a section, or all of it a key without
/// one.
fn begins_like_a_setting(name: &str, known: &[&str]) -> bool {
    let plain = plain_name(name);
    let first = plain.split('_').next().unwrap_or_default();
    known
        .iter()
        .any(|key| key.split_once('.').map_or(*key == plain, |(section, _)| section == first))
}

/// Whether a variable that is none of ours is meant as one: as a setting, but has only one underscore behind
/// [`VARIABLE`], or as one that has nearly its name.
fn is_slip(variable: &str) -> bool {
    let Some(name) = variable.strip_prefix(VARIABLE).filter(|_| variable != DEV_FOLDER) else {
        return false;
    };
    if OTHERS.contains(&name) || is_of_kubernetes(name) {
        return false;
    }
    let mut defaults = Config::default();
    let known: Vec<&str> = defaults.fields().into_iter().map(|(key, _)| key).collect();
    begins_like_a_setting(name, &known) || meant_by(name, &known).is_some()
}

/// Whether Kubernetes sets such a variable for a service called `skewless-store`, say.
fn is_of_kubernetes(name: &str) -> bool {
    let parts = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"];
    name.ends_with("_PORT") || parts.iter().any(|part| name.contains(part))
}

/// The overrides among environment variables: `SKEWLESS__LIMITS__ROWS_MAX=10` is `limits.rows_max`.
///
/// Two underscores begin a name, as Kubernetes sets `SKEWLESS_PORT` and the like for a service of that name. What is
/// meant as one of ours and isn't keeps its whole name as its key: no setting has such a key, so it is refused with all
/// other mistakes. Whatever else begins like ours is somebody's.
pub(crate) fn of_environment(variables: impl Iterator<Item = (String, String)>) -> Vec<Override> {
    let mut overrides: Vec<_> = variables
        .filter_map(|(origin, value)| {
            let key = match origin.strip_prefix("SKEWLESS__") {
                Some(name) if !OTHERS.contains(&name) => name.to_lowercase().replace("__", "."),
                Some(_) => origin.clone(),
                None => is_slip(&origin).then(|| origin.clone())?,
            };
            Some(Override { origin, key, value })
        })
        .collect();
    overrides.sort_by(|a, b| a.origin.cmp(&b.origin));
    overrides
}

impl Override {
    /// Every `SKEWLESS__SECTION__KEY=value` of this process, sorted by name; and what was meant as one, to be refused.
    #[must_use]
    pub fn from_environment() -> Vec<Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        of_environment(std::env::vars_os().filter_map(text))
    }

    /// `key=value` as given to `--set`.
    pub fn from_flag(text: &str) -> Result<Self, String> {
        let (key, value) =
            text.split_once('=').ok_or("expected key=value, such as limits.rows_max=100")?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        Ok(Self { origin: format!("--set {key}"), key, value })
    }

    /// An override by a flag of its own, such as `--repo`.
    #[must_use]
    pub fn new(origin: &str, key: &str, value: &str) -> Self {
        let quoted = format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        Self { origin: origin.to_owned(), key: key.to_owned(), value: quoted }
    }

    /// An override that is a path.
    #[must_use]
    pub fn path(origin: &str, key: &str, value: &std::path::Path) -> Self {
        Self::new(origin, key, &PathBuf::from(value).display().to_string())
    }
}
