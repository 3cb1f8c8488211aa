//! Feast's names to ones that are valid here: `[a-z][a-z0-9_]*`, at most [`NAME_BYTES_MAX`] bytes, each given once.

use std::collections::BTreeSet;

use skewless_catalog::limit::NAME_BYTES_MAX;

/// Names of one namespace that are given.
#[derive(Default, Debug)]
pub(super) struct Given {
    given: BTreeSet<String>,
    /// Names that are valid as they are, of what is still to come.
    kept: BTreeSet<String>,
}

impl Given {
    /// A namespace in which these can't be given.
    pub(super) fn without<'n>(reserved: impl IntoIterator<Item = &'n str>) -> Self {
        let given = reserved.into_iter().map(str::to_owned).collect();
        Self { given, kept: BTreeSet::new() }
    }

    /// The namespace, with Feast's names that will be given in it: those that are valid stay as they are, whoever
    /// looks like them and comes first.
    pub(super) fn keeping<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.kept.extend(names.into_iter().filter(|name| is_valid(name)).map(str::to_owned));
        self
    }

    /// Gives a name for one of Feast's: itself if it is valid and free, else one that looks like it.
    pub(super) fn give(&mut self, feast: &str) -> String {
        if is_valid(feast) && self.given.insert(feast.to_owned()) {
            return feast.to_owned();
        }
        self.make(feast)
    }

    /// Gives a name that looks like a text that is no name of Feast's, with a number at its end if others have it.
    pub(super) fn make(&mut self, wanted: &str) -> String {
        let base = identifier(wanted);
        let mut name = base.clone();
        let mut number = 2;
        while self.kept.contains(&name) || !self.given.insert(name.clone()) {
            let end = format!("_{number}");
            name = format!("{}{end}", &base[..base.len().min(NAME_BYTES_MAX - end.len())]);
            number += 1;
        }
        name
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains(name)
    }
}

fn is_valid(name: &str) -> bool {
    identifier(name) == name
}

/// A valid name that looks like the text.
pub(super) fn identifier(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let name: String = text.chars().map(letter).collect();
    let name = name.trim_start_matches('_');
    let name = match name.chars().next() {
        None => "unnamed".to_owned(),
        Some(first) if first.is_ascii_digit() => format!("n{name}"),
        Some(_) => name.to_owned(),
    };
    name[..name.len().min(NAME_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_valid_becomes_one_that_looks_like_it() {
        for (text, name) in [
            ("driver_stats", "driver_stats"),
            ("Driver-Stats", "driver_stats"),
            ("__dummy_id", "dummy_id"),
            ("7d_trips", "n7d_trips"),
            ("Größe", "gr__e"),
            ("é", "unnamed"),
            ("", "unnamed"),
            ("a.b c", "a_b_c"),
        ] {
            assert_eq!(identifier(text), name, "{text}");
        }
        assert_eq!(identifier(&"A".repeat(1_000)), "a".repeat(NAME_BYTES_MAX));
    }

    #[test]
    fn a_name_is_given_once() {
        let mut given = Given::without(["request"]);
        let names = ["a", "A", "a_2", "a", "request"].map(|wanted| given.give(wanted));
        assert_eq!(names, ["a", "a_2", "a_2_2", "a_3", "request_2"]);
        assert_eq!(given.make("a_3"), "a_3_2");
        let long = "x".repeat(200);
        let (first, second) = (given.give(&long), given.give(&long));
        assert_eq!((first.len(), second.len()), (NAME_BYTES_MAX, NAME_BYTES_MAX));
        assert!(second.ends_with("_2") && given.has(&second));
    }
    #[test]
    fn a_valid_name_stays_whatever_comes_before_it() {
        let names = ["A-b", "a_b_2", "a_b", "event"];
        let mut given = Given::without(["event"]).keeping(names);
        assert_eq!(names.map(|wanted| given.give(wanted)), ["a_b_3", "a_b_2", "a_b", "event_2"]);
        let mut given = Given::default().keeping(names);
        assert_eq!(given.make("a_b"), "a_b_3", "it belongs to another");
    }
}
