//! What is a plugin's source, what is kept of an earlier build, and what is refused before any tool runs. Real builds by the
//! tools: `tests/interop/guests.sh`.

use super::*;

/// A folder with these files, each of which holds its own name.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for file in files {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, file).expect("a file");
    }
    dir
}

fn names(files: &[Source]) -> Vec<&str> {
    files.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn the_source_is_the_languages_files_without_packages_tests_and_hidden_ones() {
    let dir = folder(&[
        "plugin.py",
        "skewless_guest.py",
        "near/by.py",
        "golden.jsonl",
        "tests/test_plugin.py",
        ".venv/lib/a.py",
        "__pycache__/b.py",
        "plugin.js",
        "skewless.js",
        "near/by.mjs",
        "node_modules/a/a.js",
        "package.json",
    ]);
    let python = sources(dir.path(), &PYTHON).expect("files");
    assert_eq!(names(&python), ["near/by.py", "plugin.py", "skewless_guest.py"]);
    let javascript = sources(dir.path(), &JAVASCRIPT).expect("files");
    assert_eq!(names(&javascript), ["near/by.mjs", "plugin.js", "skewless.js"]);
    assert_eq!(python[1].1, b"plugin.py");
}

#[test]
fn a_folder_without_the_kit_or_with_a_name_of_the_build_or_with_too_much_is_refused() {
    let refused = |files: &[&str], script| {
        sources(folder(files).path(), script).expect_err("refused").to_string()
    };
    let said = refused(&["plugin.py"], &PYTHON);
    assert!(said.starts_with("expected the kit skewless_guest.py in "), "{said}");
    let said = refused(&["plugin.js"], &JAVASCRIPT);
    assert!(said.starts_with("expected the kit skewless.js in "), "{said}");
    let said = refused(&["skewless.js", "skewless_entry.js"], &JAVASCRIPT);
    assert!(said.starts_with("expected no file skewless_entry.js"), "{said}");
    let many: Vec<String> = (0..=FILES_MAX).map(|at| format!("{at}.py")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let said = refused(&many, &PYTHON);
    assert!(said.starts_with("expected at most 1000 files"), "{said}");
}

#[test]
fn every_file_and_its_place_count_for_the_digest() {
    let file = |name: &str, content: &str| (name.to_owned(), content.as_bytes().to_vec());
    let of = |files: &[Source]| digest(&PYTHON, files);
    let one = of(&[file("a.py", "x"), file("b.py", "y")]);
    assert_eq!(one, of(&[file("a.py", "x"), file("b.py", "y")]));
    assert_eq!(one.len(), 32);
    for other in [
        of(&[file("a.py", "x"), file("b.py", "z")]),
        of(&[file("a.py", "x"), file("c.py", "y")]),
        of(&[file("a.py", "xb.pyy")]),
        digest(&JAVASCRIPT, &[file("a.py", "x"), file("b.py", "y")]),
    ] {
        assert_ne!(one, other);
    }
}

#[test]
fn a_file_built_of_the_same_source_is_kept_and_another_is_not() {
    let dir = folder(&[]);
    let there = dir.path().join("a.wasm");
    let any = |_: &[u8]| Ok(());
    assert_eq!(unchanged(&there, b"source", any), None, "there is none");
    let write = |sections: &[(&str, &[u8])]| {
        let mut wasm = b"\0asm\x01\0\0\0".to_vec();
        sections.iter().for_each(|(name, content)| module::append(&mut wasm, name, content));
        std::fs::write(&there, &wasm).expect("written");
        wasm
    };
    let signature = (SIGNATURE_SECTION, b"{}".as_slice());
    let wasm = write(&[signature, (SOURCE_SECTION, b"source")]);
    assert_eq!(unchanged(&there, b"source", any), Some(wasm));
    assert_eq!(unchanged(&there, b"another", any), None);
    write(&[(SOURCE_SECTION, b"source")]);
    assert_eq!(unchanged(&there, b"source", any), None, "it is no plugin");
    write(&[signature]);
    assert_eq!(unchanged(&there, b"source", any), None, "it says no source");
    write(&[signature, (SOURCE_SECTION, b"source")]);
    let refuses = |_: &[u8]| Err("no name".to_owned());
    assert_eq!(unchanged(&there, b"source", refuses), None, "nothing reads its signature");
}

#[test]
fn a_tool_that_is_not_there_or_another_version_is_told_with_what_installs_it() {
    let install = "npm install @bytecodealliance/componentize-js@0.23.0";
    let package = "node_modules/@bytecodealliance/componentize-js/package.json";
    let dir = folder(&["plugin.js"]);
    let said = |dir: &Path| match Tool::find(Language::JavaScript, &JAVASCRIPT, dir) {
        Ok(_) => panic!("found"),
        Err(error) => error.to_string(),
    };
    let absent = said(dir.path());
    assert!(absent.contains("there is no node_modules/@bytecodealliance"), "{absent}");
    assert!(absent.contains(install), "{absent}");
    let dir = folder(&[package]);
    std::fs::write(dir.path().join(package), r#"{"version": "0.19.3"}"#).expect("written");
    let other = said(&dir.path().join("plugins/a"));
    assert!(other.contains("has version 0.19.3") && other.contains(install), "{other}");
    std::fs::write(dir.path().join(package), r#"{"version": "0.23.0"}"#).expect("written");
    let half = said(dir.path());
    assert!(half.contains("imports @bytecodealliance/preview2-shim, which isn't there"), "{half}");
    assert!(half.contains(install) && half.contains(JAVASCRIPT_SHIM), "{half}");
}

#[test]
fn an_old_node_is_told_from_a_new_one() {
    for (said, new) in [("v20.20.2", true), ("v24.19.0", true), ("v18.20.4", false), ("", false)] {
        assert_eq!(new_enough(said), new, "{said}");
    }
    let told = BuildError::OldNode { min: NODE_MIN, came: "v18.20.4".to_owned() }.to_string();
    assert!(told.contains("expected Node.js 20 or later") && told.contains("v18.20.4"), "{told}");
}

/// The tool, which isn't even here, would take its time.
#[test]
fn a_signature_that_nothing_could_read_is_refused_before_the_tool_runs() {
    let file = |name: &str, content: &str| (name.to_owned(), content.as_bytes().to_vec());
    let plugin = "from skewless_guest import transform\n\n@transform\ndef halves(x: float) -> float:\n    return x / 2\n";
    let files = [
        file("plugin.py", plugin),
        file("skewless_guest.py", include_str!("../../../python/skewless_guest.py")),
    ];
    let work = tempfile::tempdir().expect("a folder");
    let tool = Tool::Python { python: "python3".into() };
    let said = |check| {
        let made = componentise(&PYTHON, &tool, &files, work.path(), check, &mut |_| {});
        made.map(|_| ()).expect_err("no tool")
    };
    let refused = said(|json| Err(String::from_utf8_lossy(json).into_owned()));
    let BuildError::Declared { reason } = &refused else { panic!("{refused}") };
    assert!(reason.contains(r#""name":"halves""#), "{reason}");
    let readable = said(|_| Ok(()));
    assert!(matches!(readable, BuildError::Tool { .. }), "{readable}");
}
