//! What authors say in words: doc comments and units, taken off the items they stand on.

use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta};

/// A field's documentation and unit.
#[derive(Default)]
pub(crate) struct Text {
    pub(crate) doc: String,
    pub(crate) unit: String,
}

/// The doc comment of some attributes: its lines without the space in front, joined.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes.iter().filter_map(doc_line).collect();
    lines.join("\n").trim().to_owned()
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else { return None };
    match &meta.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if meta.path.is_ident("doc") => {
            let text = text.value();
            Some(text.strip_prefix(' ').unwrap_or(&text).trim_end().to_owned())
        }
        _ => None,
    }
}

/// The doc comment and unit of a field or argument.
pub(crate) fn text(attributes: &[Attribute]) -> syn::Result<Text> {
    let mut text = Text { doc: doc(attributes), unit: String::new() };
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("unit")) {
        text.unit = attribute.parse_args::<LitStr>()?.value();
    }
    Ok(text)
}

/// Whether an attribute is one of ours, to be taken off before the compiler sees it.
pub(crate) fn is_ours(attribute: &Attribute) -> bool {
    attribute.path().is_ident("doc") || attribute.path().is_ident("unit")
}
