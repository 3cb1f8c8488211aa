//! Mistakes in definitions as a person reads them: the line, the place, what was meant.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use skewless_catalog::{Diagnostic, Severity, SourceFile};
use skewless_server::repo::{outdated_plugins, source};

use crate::exit::Failure;
use crate::output::complain;
use crate::show;

/// Prints every finding in the definitions in `dir` to standard error, each with the line it is about.
pub(crate) fn print(findings: &[Diagnostic], files: &[SourceFile], dir: &Path) {
    let texts: HashMap<&str, &str> =
        files.iter().map(|file| (file.path.as_str(), file.text.as_str())).collect();
    for finding in findings {
        let text = texts.get(finding.file.as_str()).copied();
        // With its folder, so that it can be opened, and be told from another version's.
        let file = if finding.file == "." { dir.to_owned() } else { dir.join(&finding.file) };
        let shown = show::path(&file);
        complain!("{}", render(finding, &shown, text, color()));
    }
}

/// Prints the mistakes of the definitions in `dir`, and says how the command ends for them.
pub(crate) fn failure(mistakes: &[Diagnostic], files: &[SourceFile], dir: &Path) -> Failure {
    print(mistakes, files, dir);
    let next = missing_plugins(mistakes, files, dir).or_else(|| outdated_plugins(mistakes, dir));
    Failure::Definitions { mistakes: mistakes.len(), dir: dir.to_owned(), next }
}

/// Prints what is wrong with a file of definitions as a whole, and says how the command ends for it.
pub(crate) fn no_definitions(file: &Path, detail: String, dir: &Path) -> Failure {
    let mistake = Diagnostic {
        severity: Severity::Error,
        file: file.strip_prefix(dir).unwrap_or(file).display().to_string(),
        line: 0,
        column: 0,
        offset: 0,
        len: 0,
        message: detail,
        suggestion: None,
        plugin: None,
    };
    failure(&[mistake], &[], dir)
}

/// How to get the plugins that the definitions name and that aren't there: a plugin that wasn't built yet is
/// the commonest mistake in a new feature repo, and none of the definitions.
fn missing_plugins(mistakes: &[Diagnostic], files: &[SourceFile], dir: &Path) -> Option<String> {
    // If another one is meant, the name is to be mended.
    let unknown = mistakes.iter().filter(|mistake| mistake.suggestion.is_none());
    let named = unknown.filter_map(|mistake| {
        let file = files.iter().find(|file| file.path == mistake.file)?;
        let text = file.text.get(mistake.offset..mistake.offset + mistake.len)?;
        let plugin = Path::new(text.trim_matches(['"', '\'']));
        (plugin.extension()? == "wasm" && plugin.is_relative()).then(|| dir.join(plugin))
    });
    let missing: BTreeSet<_> = named.filter(|path| !path.exists()).collect();
    let sources = missing.iter().filter_map(|path| source::of(path));
    let builds: Vec<String> = sources.map(|krate| build(&krate)).collect();
    match (missing.first(), builds.is_empty()) {
        (None, _) => None,
        (Some(_), false) => Some(builds.join(" && ")),
        (Some(path), true) => Some(format!(
            "put the plugin at {}: `skewless plugin build CRATE` makes one of a crate in that folder",
            show::path(path)
        )),
    }
}

/// The command that builds a plugin of the crate in a folder.
fn build(krate: &Path) -> String {
    format!("skewless plugin build {}", show::path(krate))
}

fn color() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// `file` is how the finding's file is called.
fn render(finding: &Diagnostic, file: &str, text: Option<&str>, color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100);
    let mut shown = String::new();
    let drawn = handler.render_report(&mut shown, &Drawn::new(finding, file, text));
    match drawn {
        Ok(()) => shown,
        Err(_) => finding.to_string(),
    }
}

/// A finding in the shape `miette` draws.
#[derive(Debug)]
struct Drawn<'a> {
    finding: &'a Diagnostic,
    file: &'a str,
    source: Option<NamedSource<String>>,
}

impl<'a> Drawn<'a> {
    fn new(finding: &'a Diagnostic, file: &'a str, text: Option<&str>) -> Self {
        let inside = |text: &&str| finding.line > 0 && finding.offset + finding.len <= text.len();
        let source = text
            .filter(inside)
            .map(|text| NamedSource::new(file, text.to_owned()).with_language("yaml"));
        Self { finding, file, source }
    }
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source.is_none() {
            write!(f, "{}: ", self.file)?;
        }
        f.write_str(&self.finding.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.finding.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        let meant = self.finding.suggestion.as_ref()?;
        Some(Box::new(format!("did you mean `{meant}`?")))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        let place = LabeledSpan::new(None, self.finding.offset, self.finding.len);
        Some(Box::new(std::iter::once(place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_its_line_its_place_and_what_was_meant() {
        let text = "entities:\n  - name: plane\n    keyz: []\n";
        let finding = Diagnostic {
            severity: Severity::Error,
            file: "a.yaml".to_owned(),
            line: 3,
            column: 5,
            offset: text.find("keyz").unwrap_or(0),
            len: 4,
            message: "expected a field of an entity, came `keyz`".to_owned(),
            suggestion: Some("keys".to_owned()),
            plugin: None,
        };
        let shown = render(&finding, "old/a.yaml", Some(text), false);
        for part in ["came `keyz`", "old/a.yaml:3:5", "keyz: []", "did you mean `keys`?"] {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
    }

    #[test]
    fn a_finding_about_the_folder_names_it() {
        let finding = Diagnostic {
            severity: Severity::Error,
            file: ".".to_owned(),
            line: 0,
            column: 0,
            offset: 0,
            len: 0,
            message: "expected at least one file".to_owned(),
            suggestion: None,
            plugin: None,
        };
        let shown = render(&finding, "old", None, false);
        assert!(shown.contains("old: expected at least one file"), "{shown}");
    }
}
