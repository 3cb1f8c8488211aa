//! `#[transform]`: a function of one row, or of whole columns, as a plugin.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{
    Error, FnArg, GenericArgument, Ident, ItemFn, LitStr, Pat, PathArguments, ReturnType, Type,
};

use crate::text::{Text, doc, is_ours, text};

pub(crate) fn expand(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(_) => {
            let found = Error::new_spanned(item, "expected a function: a transform is one");
            return found.into_compile_error();
        }
    };
    let mut stripped = function.clone();
    for argument in &mut stripped.sig.inputs {
        if let FnArg::Typed(argument) = argument {
            argument.attrs.retain(|attribute| !is_ours(attribute));
        }
    }
    // With a mistake the function is still there, so that the compiler doesn't report it missing as well.
    let plugin = Options::parse(attribute)
        .and_then(|options| plugin(&options, &function))
        .unwrap_or_else(Error::into_compile_error);
    quote! { #stripped #plugin }
}

/// What stands in the attribute's parentheses.
#[derive(Default)]
struct Options {
    name: Option<String>,
    output: Option<String>,
    unit: Option<String>,
    columns: bool,
}

impl Options {
    fn parse(attribute: TokenStream) -> syn::Result<Options> {
        let mut options = Options::default();
        let parser = syn::meta::parser(|meta| {
            let text = |into: &mut Option<String>| -> syn::Result<()> {
                *into = Some(meta.value()?.parse::<LitStr>()?.value());
                Ok(())
            };
            if meta.path.is_ident("name") {
                text(&mut options.name)
            } else if meta.path.is_ident("output") {
                text(&mut options.output)
            } else if meta.path.is_ident("unit") {
                text(&mut options.unit)
            } else if meta.path.is_ident("columns") {
                options.columns = true;
                Ok(())
            } else {
                Err(meta.error("expected `name`, `output`, `unit` or `columns`"))
            }
        });
        syn::parse::Parser::parse2(parser, attribute)?;
        Ok(options)
    }
}

struct Argument {
    name: String,
    /// The type of one row's value.
    ty: Type,
    text: Text,
}

/// A result without its wrappings.
struct Returned {
    ty: Type,
    fails: bool,
    may_be_null: bool,
}

impl Returned {
    /// The type as outputs. Every mention has the type's place, so that a mistake is reported there, once.
    fn of(&self) -> TokenStream {
        let ty = &self.ty;
        quote_spanned! {ty.span()=> <#ty as ::skewless::glue::Outputs> }
    }

    /// The variable in which they gather.
    fn outputs(&self) -> Ident {
        ours("outputs", &self.ty)
    }
}

fn plugin(options: &Options, function: &ItemFn) -> syn::Result<TokenStream> {
    check(function)?;
    let arguments: Vec<Argument> = function
        .sig
        .inputs
        .iter()
        .map(|argument| read_argument(argument, options.columns))
        .collect::<syn::Result<_>>()?;
    let returned = returned(function, options.columns)?;
    let spec = signature(options, function, &arguments, &returned);
    let body = if options.columns {
        columns_body(function, &arguments, &returned)
    } else {
        rows_body(function, &arguments, &returned)
    };
    Ok(quote! {
        /// The transform as a plugin: its signature, and how to run it natively.
        pub const PLUGIN: ::skewless::Plugin = {
            #spec
            fn run(
                batch: ::skewless::glue::BatchView<'_>,
                answer: &mut ::skewless::glue::Answer<'_>,
            ) -> ::core::result::Result<(), ::skewless::glue::CallStatus> {
                #body
                ::core::result::Result::Ok(())
            }
            ::skewless::Plugin { spec: SPEC, run }
        };
        ::skewless::export!(PLUGIN);
    })
}

fn check(function: &ItemFn) -> syn::Result<()> {
    let signature = &function.sig;
    if let Some(word) = &signature.asyncness {
        return Err(Error::new_spanned(
            word,
            "expected a plain function: a plugin has nothing to wait for",
        ));
    }
    if let Some(word) = &signature.unsafety {
        return Err(Error::new_spanned(word, "expected a safe function"));
    }
    if let Some(generic) = signature.generics.type_params().next() {
        return Err(Error::new_spanned(
            generic,
            "expected no generic types: a feature has one type",
        ));
    }
    if signature.inputs.is_empty() {
        let at = signature.paren_token.span.join();
        return Err(Error::new(at, "expected at least one argument: a transform has inputs"));
    }
    Ok(())
}

fn read_argument(argument: &FnArg, columns: bool) -> syn::Result<Argument> {
    let FnArg::Typed(argument) = argument else {
        return Err(Error::new_spanned(argument, "expected a plain function, not a method"));
    };
    let Pat::Ident(pattern) = argument.pat.as_ref() else {
        return Err(Error::new_spanned(
            &argument.pat,
            "expected a name: the argument's name is the input's name",
        ));
    };
    let ty = match columns {
        false => (*argument.ty).clone(),
        true => inner(&argument.ty, "Col").ok_or_else(|| {
            Error::new_spanned(
                &argument.ty,
                "expected `skewless::Col<'_, T>`: the attribute says `columns`",
            )
        })?,
    };
    Ok(Argument { name: pattern.ident.unraw().to_string(), ty, text: text(&argument.attrs)? })
}

/// The last type argument of `Name<.., T>`, if that is what the type looks like.
fn inner(ty: &Type, name: &str) -> Option<Type> {
    let path = match ty {
        Type::Path(path) => path,
        // A type that came through a `macro_rules!` of the author's.
        Type::Group(group) => return inner(&group.elem, name),
        Type::Paren(paren) => return inner(&paren.elem, name),
        _ => return None,
    };
    let last = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty.clone()),
        _ => None,
    });
    match name {
        "Result" => types.into_iter().next(),
        _ => types.last(),
    }
}

fn returned(function: &ItemFn, columns: bool) -> syn::Result<Returned> {
    let ReturnType::Type(_, ty) = &function.sig.output else {
        let at = &function.sig.ident;
        return Err(Error::new_spanned(
            at,
            "expected a result: a transform gives at least one value",
        ));
    };
    let mut ty = (**ty).clone();
    if columns {
        ty = inner(&ty, "Vec").ok_or_else(|| {
            Error::new_spanned(
                &ty,
                "expected a `Vec` with an entry per row: the attribute says `columns`",
            )
        })?;
    }
    let mut returned = Returned { ty, fails: false, may_be_null: false };
    if let Some(ok) = inner(&returned.ty, "Result") {
        (returned.ty, returned.fails) = (ok, true);
    }
    if let Some(some) = inner(&returned.ty, "Option") {
        (returned.ty, returned.may_be_null) = (some, true);
    }
    Ok(returned)
}

fn signature(
    options: &Options,
    function: &ItemFn,
    arguments: &[Argument],
    returned: &Returned,
) -> TokenStream {
    let inputs = arguments.iter().map(|Argument { name, ty, text: Text { doc, unit } }| {
        quote_spanned! {ty.span()=>
            ::skewless::glue::FieldSpec {
                name: #name,
                ty: <#ty as ::skewless::glue::Input>::TYPE,
                nullable: <#ty as ::skewless::glue::Input>::NULLABLE,
                doc: #doc,
                unit: #unit,
            }
        }
    });
    let ty = &returned.ty;
    let fields = quote_spanned! {ty.span()=> <#ty as ::skewless::glue::Outputs>::FIELDS };
    let named = options.output.is_some() || options.unit.is_some();
    let output = options.output.as_deref().unwrap_or("value");
    let unit = options.unit.as_deref().unwrap_or("");
    let name = options.name.clone().unwrap_or_else(|| function.sig.ident.unraw().to_string());
    let (doc, may_be_null) = (doc(&function.attrs), returned.may_be_null);
    quote! {
        const FIELDS: &[::skewless::glue::FieldSpec] = ::skewless::glue::outputs(#fields, #named);
        const SPEC: ::skewless::glue::SignatureSpec = ::skewless::glue::SignatureSpec {
            name: #name,
            version: ::core::env!("CARGO_PKG_VERSION"),
            doc: #doc,
            inputs: &[#(#inputs),*],
            outputs: if FIELDS[0].name.is_empty() {
                &[::skewless::glue::FieldSpec { name: #output, unit: #unit, ..FIELDS[0] }]
            } else {
                FIELDS
            },
            outputs_nullable: #may_be_null,
        };
    }
}

/// A name of ours in the place of an author's type.
fn ours(name: &str, ty: &Type) -> Ident {
    Ident::new(name, Span::mixed_site().located_at(ty.span()))
}

/// One name an argument.
fn names(prefix: &str, arguments: &[Argument]) -> Vec<Ident> {
    let name =
        |(index, argument): (usize, &Argument)| ours(&format!("{prefix}{index}"), &argument.ty);
    arguments.iter().enumerate().map(name).collect()
}

/// The loop of a function of one row.
fn rows_body(function: &ItemFn, arguments: &[Argument], returned: &Returned) -> TokenStream {
    let (columns, values) = (names("column", arguments), names("value", arguments));
    let (of, outputs) = (returned.of(), returned.outputs());
    let reads =
        arguments.iter().zip(columns.iter().zip(&values)).map(|(argument, (column, value))| {
            let ty = &argument.ty;
            quote_spanned! {ty.span()=>
                let ::core::option::Option::Some(#value) =
                    <#ty as ::skewless::glue::Input>::read(&#column, row)
                else {
                    #of::null(&mut #outputs, row);
                    continue;
                };
            }
        });
    let readers = arguments.iter().zip(0usize..).map(|(Argument { ty, .. }, index)| {
        quote_spanned! {ty.span()=>
            <#ty as ::skewless::glue::Input>::open(&batch, #index)
        }
    });
    let (call, give) = (&function.sig.ident, give(returned));
    quote! {
        #(let #columns = #readers;)*
        let mut #outputs = #of::open(answer.places());
        for row in 0..batch.rows() {
            #(#reads)*
            let returned = #call(#(#values),*);
            #give
        }
        #of::give(#outputs, answer);
    }
}

/// The one call of a function of whole columns.
fn columns_body(function: &ItemFn, arguments: &[Argument], returned: &Returned) -> TokenStream {
    let columns = names("column", arguments);
    let (index, of) = (0..arguments.len(), returned.of());
    let outputs = returned.outputs();
    let types: Vec<&Type> = arguments.iter().map(|argument| &argument.ty).collect();
    let (call, give) = (&function.sig.ident, give(returned));
    quote! {
        #(let #columns = batch.column(#index);)*
        let returned = #call(#(::skewless::glue::Col::<#types>::new(#columns)),*);
        if returned.len() != batch.rows() {
            return ::core::result::Result::Err(::skewless::glue::CallStatus::Failed);
        }
        let mut #outputs = #of::open(answer.places());
        for (row, returned) in returned.into_iter().enumerate() {
            let skipped = false
                #(|| (!<#types as ::skewless::glue::Input>::NULLABLE && #columns.is_null(row)))*;
            if skipped {
                #of::null(&mut #outputs, row);
                continue;
            }
            #give
        }
        #of::give(#outputs, answer);
    }
}

/// Unwraps what the function returned and writes it.
fn give(returned: &Returned) -> TokenStream {
    let (of, outputs) = (returned.of(), returned.outputs());
    let fails = returned.fails.then(|| {
        quote! {
            let returned = match returned {
                ::core::result::Result::Ok(returned) => returned,
                ::core::result::Result::Err(error) => {
                    answer.failed(row, error);
                    #of::null(&mut #outputs, row);
                    continue;
                }
            };
        }
    });
    let may_be_null = returned.may_be_null.then(|| {
        quote! {
            let ::core::option::Option::Some(returned) = returned else {
                #of::null(&mut #outputs, row);
                continue;
            };
        }
    });
    quote! { #fails #may_be_null #of::write(returned, &mut #outputs, row); }
}
