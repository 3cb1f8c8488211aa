//! The crate of a plugin that is still to be written: its signature is Feast's, its function fails every row and says so.
//! Compiled as it is, it makes the definitions whole; what it answers is TRANSFORM_FAILED, never a value.

use std::path::Path;

use skewless_batch::Type;

use super::definitions::{Column, Transform};

/// Where the author's guides are, from the root of Skewless's sources.
const GUIDE: &str = "docs/plugins.md";
const LANGUAGES: &str = "docs/languages.md";

/// Words of Rust that are names only as `r#word`; all words that it keeps, of any edition.
const KEYWORDS: [&str; 49] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
    "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield", "union",
];

/// The files of a transform's plugin, by their paths in the feature repo. `sdk` is the folder of the plugin SDK's crate.
pub(super) fn files(transform: &Transform, sdk: &Path) -> Vec<(String, String)> {
    let folder = format!("plugins/{}", transform.name);
    let mut files = vec![
        (format!("{folder}/Cargo.toml"), manifest(transform, sdk)),
        (format!("{folder}/src/lib.rs"), code(transform)),
        (format!("{folder}/README.md"), readme(transform)),
    ];
    if let Some(source) = &transform.source {
        files.push((format!("{folder}/feast.py"), source.clone()));
    }
    files
}

fn manifest(transform: &Transform, sdk: &Path) -> String {
    let sdk = serde_json::Value::from(sdk.display().to_string());
    format!(
        "[package]\nname = \"feast-{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [lib]\nname = \"{}\"\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
         [dependencies]\n\
         # The path is that of this machine. Shared with others, name the repository instead, for all the same commit:\n\
         # skewless = {{ package = \"skewless-sdk\", git = \"https://git.example.com/skewless.git\", rev = \"...\" }}\n\
         skewless = {{ package = \"skewless-sdk\", path = {sdk} }}\n\n\
         # A feature repo inside another cargo workspace stays on its own.\n[workspace]\n",
        transform.name, transform.name
    )
}

fn code(transform: &Transform) -> String {
    let Transform { name, inputs, outputs, .. } = transform;
    let mut code = format!(
        "//! `{name}`, as Feast had it; still to be written. README.md beside it says how.\n\n"
    );
    code.push_str(
        "/// What is computed of a row.\n#[derive(skewless::Outputs)]\npub struct Row {\n",
    );
    for output in outputs {
        documented(&mut code, output);
        code.push_str(&format!(
            "    pub {}: Option<{}>,\n",
            rust_name(&output.name),
            given(output.ty)
        ));
    }
    code.push_str("}\n\n");
    let doc =
        if transform.doc.is_empty() { "Still to be written." } else { transform.doc.as_str() };
    code.push_str(&format!("/// {}\n", comment(doc)));
    code.push_str("#[expect(unused_variables, reason = \"still to be written\")]\n");
    if inputs.len() > ARGUMENTS_MAX {
        code.push_str("#[expect(clippy::too_many_arguments, reason = \"as many as in Feast\")]\n");
    }
    code.push_str(&format!("#[skewless::transform(name = \"{name}\")]\npub fn compute(\n"));
    for input in inputs {
        documented(&mut code, &input.column);
        code.push_str(&format!(
            "    {}: Option<{}>,\n",
            rust_name(&input.column.name),
            taken(input.column.ty)
        ));
    }
    code.push_str(&format!(
        ") -> Result<Row, &'static str> {{\n    Err(\"plugin {name} isn't written yet: see plugins/{name}/README.md\")\n}}\n"
    ));
    code
}

/// More arguments than this and clippy would mind.
const ARGUMENTS_MAX: usize = 7;

fn documented(code: &mut String, column: &Column) {
    if !column.doc.is_empty() {
        code.push_str(&format!("    /// {}\n", comment(&column.doc)));
    }
}

/// A text in a comment of one line: what isn't printable would end it, or turn it around.
fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) { ' ' } else { c })
        .collect()
}

fn rust_name(name: &str) -> String {
    if KEYWORDS.contains(&name) { format!("r#{name}") } else { name.to_owned() }
}

/// The type of an argument.
fn taken(ty: Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::Int32 => "i32".to_owned(),
        Type::Int64 => "i64".to_owned(),
        Type::Float32 => "f32".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Utf8 => "&str".to_owned(),
        Type::Binary => "&[u8]".to_owned(),
        Type::Timestamp => "skewless::Timestamp".to_owned(),
        Type::Embedding(dim) => format!("[f32; {dim}]"),
        Type::ListInt64 => "skewless::Ints<'_>".to_owned(),
        Type::ListFloat64 => "skewless::Doubles<'_>".to_owned(),
        Type::ListUtf8 => "skewless::Strings<'_>".to_owned(),
    }
}

/// The type of a result.
fn given(ty: Type) -> String {
    match ty {
        Type::Utf8 => "String".to_owned(),
        Type::Binary => "Vec<u8>".to_owned(),
        Type::ListInt64 => "Vec<i64>".to_owned(),
        Type::ListFloat64 => "Vec<f64>".to_owned(),
        Type::ListUtf8 => "Vec<String>".to_owned(),
        ty => taken(ty),
    }
}

fn readme(transform: &Transform) -> String {
    let name = &transform.name;
    let source = match &transform.source {
        Some(_) => format!(
            "What Feast ran is in `feast.py` (mode: {}); nothing here runs it.",
            transform.mode
        ),
        None => format!("The registry didn't have its source (mode: {}).", transform.mode),
    };
    let mut text = format!(
        "# {name}\n\nThis was an on-demand feature view in Feast. {source} Until `src/lib.rs` is written, every row of it is \
         TRANSFORM_FAILED and says so.\n\n\
         1. Write `compute` in `src/lib.rs`: values of one row to values of the same row. The guide is `{GUIDE}` in the sources \
         of Skewless.\n\
         2. Remove the arguments that it doesn't use, and their lines under `inputs` in `features.yaml`: Feast gives a function \
         all columns of its sources. Take `Option` away where a missing value makes all results missing.\n\
         3. Put rows that Feast computed into `golden.jsonl`, so that `cargo test` compares with them.\n\
         4. Build it, in the feature repo: `skewless plugin build plugins/{name}`, then `skewless check`.\n\n\
         **In another language** than Rust (C, Zig, Python, JavaScript; `{LANGUAGES}`): elsewhere, `skewless plugin new {name} --lang python` \
         begins a plugin of this name. Remove `Cargo.toml` and `src` here, put the files of its `plugins/{name}` in their place, and let it \
         take and give what the tables below say. A plugin in Python is a function of one row, too, and pandas and numpy don't work in it.\n\n\
         | input | type | bound to |\n|---|---|---|\n"
    );
    for input in &transform.inputs {
        text.push_str(&format!(
            "| `{}` | `{}` | `{}` |\n",
            input.column.name, input.column.ty, input.reference
        ));
    }
    text.push_str("\n| output | type |\n|---|---|\n");
    for output in &transform.outputs {
        text.push_str(&format!("| `{}` | `{}` |\n", output.name, output.ty));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::definitions::Input;
    use super::*;

    fn column(name: &str, ty: Type, doc: &str) -> Column {
        Column { name: name.to_owned(), ty, doc: doc.to_owned() }
    }

    #[test]
    fn a_stub_has_the_signature_and_fails_every_row() {
        let input =
            |name, ty| Input { column: column(name, ty, ""), reference: format!("v.{name}") };
        let transform = Transform {
            name: "trips".to_owned(),
            doc: "Trips.".to_owned(),
            inputs: vec![input("type", Type::Utf8), input("near", Type::Embedding(3))],
            outputs: vec![column("ref", Type::ListUtf8, "One\u{2028}line.")],
            source: None,
            mode: "substrait".to_owned(),
        };
        let code = code(&transform);
        for part in [
            "    /// One line.\n    pub r#ref: Option<Vec<String>>,\n",
            "#[skewless::transform(name = \"trips\")]\npub fn compute(\n    r#type: Option<&str>,\n    near: Option<[f32; 3]>,\n",
            ") -> Result<Row, &'static str> {\n    Err(\"plugin trips isn't written yet: see plugins/trips/README.md\")",
        ] {
            assert!(code.contains(part), "{part}\n{code}");
        }
        assert!(!code.contains("too_many_arguments"), "{code}");
        let files = files(&transform, Path::new("/a \"b\"/sdk"));
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["plugins/trips/Cargo.toml", "plugins/trips/src/lib.rs", "plugins/trips/README.md"]
        );
        // The file is named after the library, and definitions name it after the transform.
        assert!(files[0].1.contains("[lib]\nname = \"trips\"\n"), "{}", files[0].1);
        assert!(files[0].1.contains("path = \"/a \\\"b\\\"/sdk\""), "{}", files[0].1);
        for part in [
            "| `type` | `utf8` | `v.type` |",
            "`skewless plugin new trips --lang python`",
            "`docs/languages.md`",
        ] {
            assert!(files[2].1.contains(part), "{part}\n{}", files[2].1);
        }
    }
}
