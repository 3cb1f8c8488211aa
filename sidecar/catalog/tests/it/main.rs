//! The catalog from outside: mistakes, hostile input, plans, fingerprints, differences, documents.

#![expect(clippy::unwrap_used, reason = "tests")]

mod differences;
mod hostile;
mod mistakes;
mod plans;
mod shelf;

/// The full example of the documentation, which every test may rely on being accepted.
pub(crate) fn example() -> String {
    let page = include_str!("../../../../docs/definitions.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Checks one file that must be accepted.
pub(crate) fn catalog(text: &str) -> skewless_catalog::Catalog {
    let file = skewless_catalog::SourceFile { path: "a.yaml".into(), text: text.into() };
    skewless_catalog::check(&[file], &shelf::Shelf).unwrap_or_else(|found| {
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        panic!("expected no mistakes, came\n{}", found.join("\n"))
    })
}

/// Checks files that must be refused; each finding as it is printed.
pub(crate) fn refused(files: &[(&str, &str)]) -> Vec<String> {
    let file = |(path, text): &(&str, &str)| skewless_catalog::SourceFile {
        path: (*path).to_owned(),
        text: (*text).to_owned(),
    };
    let files: Vec<_> = files.iter().map(file).collect();
    let found = skewless_catalog::check(&files, &shelf::Shelf).unwrap_err();
    found.iter().map(ToString::to_string).collect()
}
