//! The attribute and the derive of the plugin author's kit; what their output calls is in the kit itself.
//! Errors point at the author's own words: types are named with their own spans.

mod outputs;
mod text;
mod transform;

use proc_macro::TokenStream;

/// Makes a plugin of a function of one row: see the documentation of the kit.
///
/// Beside the function it makes `pub const PLUGIN: skewless::Plugin`, and in a guest the exports. One transform
/// per crate. Arguments of the attribute, all optional:
///
/// - `name = "..."`: the transform's name; the function's otherwise.
/// - `output = "..."`, `unit = "..."`: name (default `value`) and unit of a result that is a single value.
/// - `columns`: the arguments are whole columns, the result is a `Vec` with an entry per row.
///
/// Doc comments of the function and of its arguments become the signature's; `#[unit("km")]` on an argument
/// states its unit.
#[proc_macro_attribute]
pub fn transform(attribute: TokenStream, item: TokenStream) -> TokenStream {
    transform::expand(attribute.into(), item.into()).into()
}

/// Makes a struct the result of a transform: one output per field, named after it. Doc comments become the
/// signature's; `#[unit("km")]` on a field states its unit. A field of `Option` may be null.
#[proc_macro_derive(Outputs, attributes(unit))]
pub fn outputs(item: TokenStream) -> TokenStream {
    outputs::expand(item.into()).into()
}

#[cfg(test)]
mod tests;
