//! `#[derive(Outputs)]`: a struct's fields as the columns of a transform's result.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Fields};

use crate::text::text;

pub(crate) fn expand(item: TokenStream) -> TokenStream {
    syn::parse2(item).and_then(|item| derive(&item)).unwrap_or_else(Error::into_compile_error)
}

fn derive(item: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new_spanned(&item.ident, "expected a struct: a row of outputs is one"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(
            &item.ident,
            "expected named fields: their names are the names of the outputs",
        ));
    };
    if fields.named.is_empty() {
        return Err(Error::new_spanned(&item.ident, "expected at least one field"));
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "expected no generics: outputs own their values and have one type",
        ));
    }
    let (mut specs, mut writes) = (Vec::new(), Vec::new());
    for (index, field) in fields.named.iter().enumerate() {
        let (ty, text) = (&field.ty, text(&field.attrs)?);
        let Some(ident) = &field.ident else { continue };
        let (name, doc, unit) = (ident.unraw().to_string(), text.doc, text.unit);
        specs.push(quote_spanned! {ty.span()=>
            ::skewless::glue::FieldSpec {
                name: #name,
                ty: <#ty as ::skewless::glue::Output>::TYPE,
                nullable: <#ty as ::skewless::glue::Output>::NULLABLE,
                doc: #doc,
                unit: #unit,
            }
        });
        writes.push(quote_spanned! {ty.span()=>
            ::skewless::glue::Output::write(self.#ident, &mut columns[#index]);
        });
    }
    let name = &item.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::skewless::glue::Outputs for #name {
            const FIELDS: &'static [::skewless::glue::FieldSpec] = &[#(#specs),*];

            #[inline]
            fn write(self, columns: &mut [::skewless::Column]) {
                #(#writes)*
            }
        }
    })
}
