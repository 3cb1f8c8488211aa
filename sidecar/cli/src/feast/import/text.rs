//! Definitions as the YAML of a definition file. Texts are written as JSON strings, which YAML reads as they are.

use std::fmt::Write as _;

use skewless_batch::Type;
use skewless_catalog::duration;

use super::definitions::{Column, Definitions, Entity, Service, Transform, View};

/// Words that YAML reads as something else than the text they are.
const NO_TEXTS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];

/// The whole definition file; `head` is its first comment.
pub(super) fn yaml(definitions: &Definitions, head: &str) -> String {
    let mut out = format!("# {head}\n");
    section(&mut out, "entities", &definitions.entities, entity);
    section(&mut out, "views", &definitions.views, view);
    section(&mut out, "requests", &definitions.requests, |out, column| {
        // Any of Feast's may be null, and its functions cope with that.
        line(out, &format!("  - {{{}, nullable: true}}", fields(column)));
    });
    section(&mut out, "transforms", &definitions.transforms, transform);
    section(&mut out, "services", &definitions.services, service);
    out
}

fn section<T>(out: &mut String, name: &str, all: &[T], write: impl Fn(&mut String, &T)) {
    if all.is_empty() {
        return;
    }
    line(out, &format!("\n{name}:"));
    all.iter().for_each(|one| write(out, one));
}

fn entity(out: &mut String, entity: &Entity) {
    begin(out, &entity.name, &entity.doc);
    let keys: Vec<String> = entity
        .keys
        .iter()
        .map(|key| format!("{{name: {}, type: {}}}", word(&key.column), ty(key.ty)))
        .collect();
    line(out, &format!("    keys: [{}]", keys.join(", ")));
    if entity.keys.iter().any(|key| key.column != key.join_key) {
        line(out, &format!("    as: [{}]", words(entity.keys.iter().map(|key| &key.join_key))));
    }
    if !entity.roles.is_empty() {
        line(out, "    roles:");
    }
    for role in &entity.roles {
        let keys = words(&role.join_keys);
        line(out, &format!("      - {{name: {}, keys: [{keys}]}}", word(&role.name)));
    }
}

fn view(out: &mut String, view: &View) {
    begin(out, &view.name, &view.doc);
    line(out, &format!("    entity: {}", word(&view.entity)));
    if let Some(ttl_us) = view.ttl_us {
        line(out, &format!("    ttl: {}", duration::format(ttl_us)));
    }
    line(out, "    features:");
    for feature in &view.features {
        line(out, &format!("      - {{{}}}", fields(feature)));
    }
    if let Some(source) = &view.source {
        line(out, "    source:");
        line(out, &format!("      path: {}", text(&source.path)));
        line(out, &format!("      event_timestamp: {}", text(&source.event_timestamp)));
        if let Some(created) = &source.created_timestamp {
            line(out, &format!("      created_timestamp: {}", text(created)));
        }
    }
}

fn transform(out: &mut String, transform: &Transform) {
    begin(out, &transform.name, &transform.doc);
    line(out, &format!("    plugin: {}", transform.plugin()));
    line(out, "    inputs:");
    for input in &transform.inputs {
        line(out, &format!("      {}: {}", word(&input.column.name), text(&input.reference)));
    }
}

fn service(out: &mut String, service: &Service) {
    begin(out, &service.name, &service.doc);
    line(out, "    features:");
    for (reference, called) in &service.features {
        match called {
            Some(called) => {
                line(
                    out,
                    &format!("      - {{feature: {}, as: {}}}", text(reference), word(called)),
                );
            }
            None => line(out, &format!("      - {}", text(reference))),
        }
    }
}

fn begin(out: &mut String, name: &str, doc: &str) {
    line(out, &format!("  - name: {}", word(name)));
    if !doc.is_empty() {
        line(out, &format!("    doc: {}", text(doc)));
    }
}

fn fields(column: &Column) -> String {
    let mut fields = format!("name: {}, type: {}", word(&column.name), ty(column.ty));
    if !column.doc.is_empty() {
        fields.push_str(&format!(", doc: {}", text(&column.doc)));
    }
    fields
}

/// A type; with brackets it would be a list in YAML.
fn ty(ty: Type) -> String {
    match ty {
        Type::Embedding(_) => format!("\"{ty}\""),
        ty => ty.to_string(),
    }
}

fn words<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names.into_iter().map(|name| word(name)).collect::<Vec<_>>().join(", ")
}

/// A name.
fn word(name: &str) -> String {
    if NO_TEXTS.contains(&name) { format!("\"{name}\"") } else { name.to_owned() }
}

/// Any text: bare if it is letters and dots, else as JSON has it.
fn text(text: &str) -> String {
    let bare = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.');
    if bare && !NO_TEXTS.contains(&text) {
        return text.to_owned();
    }
    // JSON leaves these as they are, YAML takes them for ends of lines or refuses them.
    let mut quoted = String::new();
    for c in serde_json::Value::from(text).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use skewless_catalog::{PluginInfo, Plugins, SourceFile};

    use super::super::definitions::{Key, Role, Source};
    use super::*;

    struct NoPlugins;

    impl Plugins for NoPlugins {
        fn lookup(&self, _: &str) -> Result<PluginInfo, String> {
            Err("there is none".to_owned())
        }
    }

    #[test]
    fn every_text_is_read_as_it_was() {
        let texts = [
            "plain",
            "null",
            "true",
            "",
            " a ",
            "a: b # c",
            "\"'\\",
            "- x",
            "{a}",
            "ü\u{85}\u{2028}\u{7f}",
            "tab\tnew\nline",
            "*a &b !c",
            "\u{1f600}",
        ];
        for doc in texts {
            let key = Key {
                feast: String::new(),
                column: "on".to_owned(),
                join_key: "yes".to_owned(),
                ty: Type::Int64,
            };
            let definitions = Definitions {
                entities: vec![Entity {
                    name: "null".to_owned(),
                    doc: doc.to_owned(),
                    keys: vec![key],
                    roles: vec![Role { name: "true".to_owned(), join_keys: vec!["no".to_owned()] }],
                }],
                views: vec![View {
                    name: "off".to_owned(),
                    doc: doc.to_owned(),
                    entity: "null".to_owned(),
                    ttl_us: Some(90_000_001),
                    features: vec![Column {
                        name: "y".to_owned(),
                        ty: Type::Embedding(3),
                        doc: doc.to_owned(),
                    }],
                    source: Some(Source {
                        path: format!("data/{doc}"),
                        event_timestamp: format!("at{doc}"),
                        created_timestamp: Some(format!("made{doc}")),
                    }),
                }],
                services: vec![Service {
                    name: "n".to_owned(),
                    doc: doc.to_owned(),
                    features: vec![("off[true].y".to_owned(), Some("false".to_owned()))],
                }],
                ..Definitions::default()
            };
            let file = SourceFile { path: "a.yaml".to_owned(), text: yaml(&definitions, "made") };
            let read = skewless_catalog::check(std::slice::from_ref(&file), &NoPlugins);
            let catalog = read.unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{}", file.text));
            let (entity, view) = (&catalog.entities[0], &catalog.views[0]);
            let source = view.source.clone().unwrap_or_else(|| panic!("a source\n{}", file.text));
            assert_eq!((entity.doc.as_str(), view.doc.as_str()), (doc, doc), "{}", file.text);
            assert_eq!(
                (view.features[0].doc.as_str(), view.features[0].ty),
                (doc, Type::Embedding(3))
            );
            assert_eq!(
                (source.paths, source.event_timestamp),
                (vec![format!("data/{doc}")], format!("at{doc}"))
            );
            assert_eq!(source.created_timestamp, Some(format!("made{doc}")));
            assert_eq!(view.rule.ttl_us, Some(90_000_001));
            assert_eq!(
                (entity.keys[0].name.as_str(), &entity.join_keys),
                ("on", &vec!["yes".to_owned()])
            );
            assert_eq!(catalog.services[0].features.len(), 1, "{}", file.text);
        }
    }
}
