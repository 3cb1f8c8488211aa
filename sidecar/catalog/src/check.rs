//! Every mistake of a feature repo at once; not the parser of YAML, not the compiler of plans.
//!
//! Read, then check in the order in which definitions depend on each other, then compile if nothing
//! was wrong. Whatever could not be read is passed over by later checks, so that one mistake gives
//! one message. Limits: [`crate::limit`].

mod declarations;
mod services;
mod transforms;

use std::collections::BTreeMap;

use crate::catalog::{Catalog, PluginInfo, Plugins, SourceFile, compile};
use crate::definition::{Definitions, Spanned, read};
use crate::diagnostic::{Diagnostic, Findings, Severity, Span};
use crate::limit::{FILE_BYTES_MAX, FILES_MAX, REPO_BYTES_MAX};
use crate::reference::{Binding, Parts, Reference};
use crate::scope::{Resolved, Scope, Unresolved};
use crate::yaml;

/// Checks the definitions of one feature repo.
///
/// Gives the catalog with its warnings, or every error found, sorted by file, line and column.
pub fn check(files: &[SourceFile], plugins: &dyn Plugins) -> Result<Catalog, Vec<Diagnostic>> {
    let mut findings = Findings::new(files);
    let definitions = read_all(files, &mut findings);
    let mut checker = Checker { definitions: &definitions, scope: Scope::default(), findings };
    checker.scope.incomplete = definitions.incomplete;
    checker.scope.nameless = definitions.nameless;
    if !checker.within_limits() {
        return Err(checker.findings.take(Severity::Error));
    }
    checker.declarations();
    let known = checker.plugins(plugins);
    let bound = checker.transforms(&known);
    let asked = checker.services();
    checker.unused(&bound, &asked);
    checker.nothing(files.len());
    let Checker { scope, mut findings, .. } = checker;
    if !findings.has_errors() {
        let catalog = compile::catalog(&definitions, scope, known, bound, asked, &mut findings);
        if !findings.has_errors() {
            return Ok(Catalog { warnings: findings.take(Severity::Warning), ..catalog });
        }
    }
    Err(findings.take(Severity::Error))
}

const NOTHING: &str =
    "nothing is defined: expected entities, views, requests, transforms or services, came none";

const NO_SERVICE: &str =
    "no feature service is declared: a sidecar answers ad hoc lists of features only";

/// What the checks share.
struct Checker<'a> {
    definitions: &'a Definitions,
    scope: Scope,
    findings: Findings<'a>,
}

/// Plugins by transform name.
pub(crate) type KnownPlugins = BTreeMap<String, PluginInfo>;

/// Bindings by transform name, in the order of the plugin's inputs, and the transform's rank.
pub(crate) type BoundTransforms = BTreeMap<String, (usize, Vec<Binding>)>;

/// Features by service name: (output name, reference).
pub(crate) type AskedServices = BTreeMap<String, Vec<(String, Reference)>>;

impl Checker<'_> {
    /// Warns of files that define nothing, or nothing to serve: an empty answer would look like one.
    fn nothing(&mut self, files: usize) {
        let Definitions { entities, views, requests, transforms, services, .. } = self.definitions;
        let others = entities.len() + views.len() + requests.len() + transforms.len();
        let folder = Span { file: files, ..Span::default() };
        match (others, services.len()) {
            (0, 0) => self.findings.warn(folder, NOTHING),
            (_, 0) => self.findings.warn(folder, NO_SERVICE),
            _ => {}
        }
    }

    /// What a reference means; reports it if it means nothing.
    fn resolve(&mut self, reference: &Spanned<String>) -> Option<Resolved> {
        self.resolve_or(reference, |_| None)
    }

    /// As [`Checker::resolve`]; `hint` may add to what is said of a text that means nothing, and resembles nothing.
    fn resolve_or(
        &mut self,
        reference: &Spanned<String>,
        hint: impl FnOnce(&Unresolved) -> Option<String>,
    ) -> Option<Resolved> {
        if self.findings.is_full() {
            return None;
        }
        match self.scope.resolve(&reference.value) {
            Ok(resolved) => resolved,
            Err(mut wrong) => {
                if wrong.meant.is_none()
                    && let Some(hint) = hint(&wrong)
                {
                    wrong.message = format!("{}; {hint}", wrong.message);
                }
                let at = reference.span.part(&reference.value, wrong.from, wrong.name.len());
                let plugin =
                    if wrong.kind == "output" { self.plugin_of(&reference.value) } else { None };
                self.findings.error_of_plugin(at, wrong.message, wrong.meant, plugin);
                None
            }
        }
    }

    /// The plugin of the transform that a reference names.
    fn plugin_of(&self, reference: &str) -> Option<String> {
        let name = Parts::of(reference)?.head;
        let transforms = &self.definitions.transforms;
        transforms.iter().find(|transform| transform.name.value == name)?.plugin_name()
    }
}

fn read_all(files: &[SourceFile], findings: &mut Findings<'_>) -> Definitions {
    let mut definitions = Definitions::default();
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    let folder = Span { file: files.len(), ..Span::default() };
    if files.len() > FILES_MAX {
        let message = format!(
            "expected at most {FILES_MAX} definition files (FILES_MAX), came {}",
            files.len()
        );
        findings.error(folder, message);
        return definitions;
    }
    if bytes > REPO_BYTES_MAX {
        let message = format!(
            "expected at most {REPO_BYTES_MAX} bytes of definition files (REPO_BYTES_MAX), came {bytes}"
        );
        findings.error(folder, message);
        return definitions;
    }
    for (index, file) in files.iter().enumerate() {
        if file.text.len() > FILE_BYTES_MAX {
            let message = format!(
                "expected a file of at most {FILE_BYTES_MAX} bytes (FILE_BYTES_MAX), came {}",
                file.text.len()
            );
            findings.error(Span { file: index, line: 1, column: 1, ..Span::default() }, message);
            definitions.incomplete = true;
            continue;
        }
        let (documents, broken) = yaml::read(index, &file.text, findings);
        definitions.incomplete |= broken;
        for node in &documents {
            read::document(node, &mut definitions, findings);
        }
    }
    definitions
}
