//! Identifiers and the nearest known name to a mistaken one; not what names refer to.

/// The known name nearest to a mistaken one, if it is near enough to be meant.
///
/// For every room that answers a mistyped name. Near enough: at most a third of its letters wrong (at least one, transpositions count once).
pub fn nearest<'a>(mistaken: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let letters = mistaken.chars().count();
    if letters < 2 {
        return None;
    }
    let most_wrong = (letters / 3).max(1);
    known
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(letters) <= most_wrong)
        .map(|name| (strsim::osa_distance(mistaken, name), name))
        .filter(|(wrong, _)| *wrong <= most_wrong)
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Whether a text is `[a-z][a-z0-9_]*`.
#[must_use]
pub fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The names by which others may refer to what is declared under a name: that one and, if it can't stand, the one that
/// was probably meant, which it gets when the mistake is mended.
pub(crate) fn known_as(name: &str) -> Vec<String> {
    let meant = identifier_like(name).filter(|_| !is_identifier(name));
    std::iter::once(name.to_owned()).chain(meant).collect()
}

/// An identifier that looks like the text, if there is one.
#[must_use]
pub fn identifier_like(text: &str) -> Option<String> {
    let replaced = text.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
        _ => '_',
    });
    let replaced: String = replaced.collect();
    let trimmed =
        replaced.trim_matches('_').trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    is_identifier(trimmed).then(|| trimmed.to_owned())
}
