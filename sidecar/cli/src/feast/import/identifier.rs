//! Feast's names to ones that are valid here: `[a-z][a-z0-9_]*`, at most [`NAME_BYTES_MAX`] bytes, each given once.

use std::collections::BTreeSet;

use skewless_catalog::limit::NAME_BYTES_MAX;

/// Names of one namespace that are given.
#[derive(Default, Debug)]
pub(super) struct Given(BTreeSet<String>);

impl Given {
    /// A namespace in which these can't be given.
    pub(super) fn without<'n>(reserved: impl IntoIterator<Item = &'n str>) -> Self {
        Self(reserved.into_iter().map(str::to_owned).collect())
    }

    /// Gives a name like `wanted`: itself if it is valid and free, else one with a number at its end.
    pub(super) fn give(&mut self, wanted: &str) -> String {
        let base = identifier(wanted);
        let mut name = base.clone();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            let end = format!("_{number}");
            name = format!("{}{end}", &base[..base.len().min(NAME_BYTES_MAX - end.len())]);
            number += 1;
        }
        name
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
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
        let long = "x".repeat(200);
        let (first, second) = (given.give(&long), given.give(&long));
        assert_eq!((first.len(), second.len()), (NAME_BYTES_MAX, NAME_BYTES_MAX));
        assert!(second.ends_with("_2") && given.has(&second));
    }
}
