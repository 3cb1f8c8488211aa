//! Definition files with mistakes and what the checker says of them; `cases/*.yaml` beside
//! `cases/*.expected`.
//!
//! A case of several files separates them by `# ==> name`. `UPDATE_EXPECTED=1 cargo test` writes
//! the expected files anew: read the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use skewless_catalog::{SourceFile, check};

use crate::shelf::Shelf;

#[test]
fn every_mistake_is_told_with_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    cases.sort();
    assert!(cases.len() >= 40, "the folder of cases was found");
    let mut wrong = Vec::new();
    for case in &cases {
        let said = said(&fs::read_to_string(case).unwrap());
        let expected_at = case.with_extension("expected");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected_at, &said).unwrap();
        }
        let expected = fs::read_to_string(&expected_at).unwrap_or_default();
        if said != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- came\n{said}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What the checker says of a case, one finding a line; each must point at text that is there.
fn said(text: &str) -> String {
    let mut files = vec![SourceFile { path: "a.yaml".to_owned(), text: String::new() }];
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("# ==> ") {
            Some(name) => {
                files.push(SourceFile { path: name.trim().to_owned(), text: String::new() })
            }
            None => files.last_mut().unwrap().text.push_str(line),
        }
    }
    files.retain(|file| !file.text.is_empty());
    let found = match check(&files, &Shelf) {
        Ok(catalog) => return format!("no errors, {} warnings\n", catalog.warnings.len()),
        Err(found) => found,
    };
    assert!(!found.is_empty(), "a refusal says why");
    let mut said = String::new();
    for finding in &found {
        let file = files.iter().find(|file| file.path == finding.file).unwrap();
        let culprit = file.text.get(finding.offset..finding.offset + finding.len).unwrap();
        let before = &file.text[..finding.offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        assert_eq!(finding.line, before.matches('\n').count() + 1, "{finding}");
        assert_eq!(finding.column, before[line_start..].chars().count() + 1, "{finding}");
        let culprit: String = culprit.lines().next().unwrap_or_default().chars().take(40).collect();
        said.push_str(&format!("{finding}\n    at `{culprit}`\n"));
    }
    said
}
