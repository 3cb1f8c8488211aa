//! Input nobody means well by: random and mutated text, huge files, every limit.

use proptest::prelude::*;
use skewless_catalog::{SourceFile, check, limit};

use crate::shelf::Shelf;
use crate::{example, refused};

/// Checks a text; every finding must point into it.
fn survive(text: &str) {
    let file = SourceFile { path: "a.yaml".into(), text: text.into() };
    let Err(found) = check(std::slice::from_ref(&file), &Shelf) else { return };
    assert!(!found.is_empty());
    for finding in found {
        assert!(text.get(finding.offset..finding.offset + finding.len).is_some(), "{finding:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        survive(&text);
    }

    #[test]
    fn random_yaml_shapes_never_panic(text in "([a-z]{0,3}|[-:{}\\[\\],.\"'&*!#|>%@` \n\té]|- |: |\n  ){0,80}") {
        survive(&text);
    }

    /// Pieces of a good file taken out, doubled or moved.
    #[test]
    fn mutated_definitions_never_panic(cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, 0u8..4, any::<char>()), 1..6)) {
        let mut text: Vec<char> = example().chars().collect();
        for (at, len, what, other) in cuts {
            if text.is_empty() {
                break; // An index needs something to point into.
            }
            let from = at.index(text.len());
            let to = (from + len).min(text.len());
            let piece: Vec<char> = text[from..to].to_vec();
            match what {
                0 => _ = text.drain(from..to),
                1 => _ = text.splice(from..from, piece),
                2 => text.insert(from, other),
                _ => text.truncate(from.max(1)),
            }
        }
        survive(&text.iter().collect::<String>());
    }

    /// Lines of a good file left out, doubled, indented or swapped.
    #[test]
    fn mutated_lines_never_panic(cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0u8..4), 1..8)) {
        let mut lines: Vec<String> = example().lines().map(str::to_owned).collect();
        for (at, other, what) in cuts {
            let (at, other) = (at.index(lines.len()), other.index(lines.len()));
            match what {
                0 if lines.len() > 1 => _ = lines.remove(at),
                1 => lines.insert(at, lines[other].clone()),
                2 => lines[at].insert(0, ' '),
                _ => lines.swap(at, other),
            }
        }
        survive(&lines.join("\n"));
    }
}

#[test]
fn an_empty_folder_and_empty_files_are_an_empty_catalog() {
    assert!(check(&[], &Shelf).unwrap().services.is_empty());
    for text in ["", "\n", "# nothing", "---\n---\n", "entities:\nviews: []\n", "\u{feff}"] {
        let file = SourceFile { path: "a.yaml".into(), text: text.into() };
        assert!(check(&[file], &Shelf).is_ok(), "{text:?}");
    }
}

#[test]
fn too_many_files_are_refused() {
    let files =
        vec![SourceFile { path: "a.yaml".into(), text: String::new() }; limit::FILES_MAX + 1];
    let found = check(&files, &Shelf).unwrap_err();
    assert!(found[0].message.contains("FILES_MAX"), "{}", found[0]);
}

#[test]
fn too_large_a_file_is_refused_and_the_others_are_checked() {
    let huge = "#".repeat(limit::FILE_BYTES_MAX + 1);
    let found = refused(&[("huge.yaml", &huge), ("b.yaml", "views: 5\n")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("FILE_BYTES_MAX"), "{}", found[0]);
}

#[test]
fn too_large_a_folder_is_refused() {
    let large = "#".repeat(limit::FILE_BYTES_MAX);
    let files = vec![SourceFile { path: "a.yaml".into(), text: large }; 9];
    let found = check(&files, &Shelf).unwrap_err();
    assert!(found[0].message.contains("REPO_BYTES_MAX"), "{}", found[0]);
}

#[test]
fn too_many_definitions_features_and_outputs_are_refused() {
    let many = |line: fn(usize) -> String, count| (0..count).map(line).collect::<String>();
    let requests =
        many(|i| format!("  - {{name: r{i}, type: bool}}\n"), limit::DEFINITIONS_MAX + 1);
    let found = refused(&[("a.yaml", &format!("requests:\n{requests}"))]);
    assert!(found[0].contains("DEFINITIONS_MAX"), "{}", found[0]);

    let entity = "entities:\n  - {name: e, keys: [{name: k, type: int64}]}\n";
    let features =
        many(|i| format!("      - {{name: f{i}, type: bool}}\n"), limit::VIEW_FEATURES_MAX + 1);
    let view = format!("{entity}views:\n  - name: v\n    entity: e\n    features:\n{features}");
    let found = refused(&[("a.yaml", &view)]);
    assert!(found[0].contains("VIEW_FEATURES_MAX"), "{}", found[0]);

    let outputs =
        many(|i| format!("      - {{feature: v.f, as: f{i}}}\n"), limit::SERVICE_FEATURES_MAX + 1);
    let service = format!(
        "{entity}views:\n  - {{name: v, entity: e, features: [{{name: f, type: bool}}]}}\nservices:\n  - name: s\n    features:\n{outputs}"
    );
    let found = refused(&[("a.yaml", &service)]);
    assert!(found[0].contains("SERVICE_FEATURES_MAX"), "{}", found[0]);
}

#[test]
fn a_plan_of_too_many_columns_is_refused() {
    let mut text = String::from("requests:\n  - {name: r, type: float64}\ntransforms:\n");
    let transforms = limit::PLAN_SLOTS_MAX / 2 + 1;
    for i in 0..transforms {
        let numerator = if i == 0 { "request.r".to_owned() } else { format!("t{}.ratio", i - 1) };
        text.push_str(&format!(
            "  - {{name: t{i}, plugin: plugins/ratio.wasm, inputs: {{numerator: {numerator}, denominator: 2}}}}\n"
        ));
    }
    text.push_str(&format!("services:\n  - {{name: s, features: [t{}.ratio]}}\n", transforms - 1));
    let found = refused(&[("a.yaml", &text)]);
    assert!(found[0].contains("PLAN_SLOTS_MAX"), "{}", found[0]);
}

#[test]
fn more_mistakes_than_can_be_shown_end_with_a_count() {
    let lines: String = (0..5_000).map(|i| format!("  - {{name: r{i}, type: x}}\n")).collect();
    let found = refused(&[("a.yaml", &format!("requests:\n{lines}"))]);
    assert_eq!(found.len(), limit::DIAGNOSTICS_MAX + 1);
    assert!(
        found[limit::DIAGNOSTICS_MAX].contains("4000 more"),
        "{}",
        found[limit::DIAGNOSTICS_MAX]
    );
}

#[test]
fn deep_nesting_and_long_chains_need_no_stack() {
    survive(&"[".repeat(500_000));
    survive(&"{a: ".repeat(200_000));
    survive(&"- ".repeat(200_000));
    survive(&format!("entities: {}", "\"".repeat(10_001)));
}

/// Found by the property tests: a place must not cut a character in half.
#[test]
fn a_tab_before_a_wide_character_is_pointed_at() {
    survive("- - \n  \té");
    survive("\t");
}

/// A large repo of good definitions: every limit is wide enough for it, and time grows with its size.
#[test]
fn a_large_repo_is_checked_whole() {
    let mut text =
        String::from("entities:\n  - {name: e, keys: [{name: k, type: int64}]}\nviews:\n");
    for view in 0..300 {
        text.push_str(&format!("  - name: v{view}\n    entity: e\n    features:\n"));
        for feature in 0..100 {
            text.push_str(&format!("      - {{name: f{feature}, type: float64}}\n"));
        }
    }
    text.push_str("services:\n");
    for service in 0..50 {
        text.push_str(&format!("  - name: s{service}\n    features:\n"));
        for feature in 0..1_000 {
            text.push_str(&format!("      - v{}.f{}\n", (service + feature) % 300, feature / 10));
        }
    }
    let catalog = crate::catalog(&text);
    let plan = catalog.plan("s49").unwrap();
    assert_eq!((plan.outputs.len(), plan.slots.len(), plan.keys.len()), (1_000, 1_000, 1));
    assert_eq!(plan.lookups.len(), 300);
}
