//! `#[derive(Outputs)]`: a struct's fields as the columns of a transform's result.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Fields, Lifetime};

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
    // One token wherever it stands, so that it is one name even if the types come from elsewhere.
    let of = Lifetime::new("'o", Span::mixed_site());
    let (mut specs, mut gathered, mut opened) = (Vec::new(), Vec::new(), Vec::new());
    let (mut writes, mut nulls) = (Vec::new(), Vec::new());
    let (mut in_place, mut closes) = (Vec::new(), Vec::new());
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
        // Every mention has the type's place, so that a mistake is reported there.
        let (at, place) = (ty.span(), syn::Index::from(index));
        let output = quote_spanned! {at=> <#ty as ::skewless::glue::Output> };
        gathered.push(quote_spanned! {at=> #output::Gathered<#of> });
        opened.push(quote_spanned! {at=> #output::open(places) });
        writes.push(quote_spanned! {at=> #output::write(self.#ident, &mut columns.#place, row); });
        nulls.push(quote_spanned! {at=> #output::null(&mut columns.#place, row); });
        in_place.push(quote_spanned! {at=> #output::in_place(&columns.#place) });
        closes.push(quote_spanned! {at=> #output::close(columns.#place, into); });
    }
    let name = &item.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::skewless::glue::Outputs for #name {
            const FIELDS: &'static [::skewless::glue::FieldSpec] = &[#(#specs),*];

            type Gathered<#of> = (#(#gathered,)*);

            #[inline]
            fn open<#of>(places: &mut ::skewless::glue::Places<#of>) -> Self::Gathered<#of> {
                (#(#opened,)*)
            }

            #[inline]
            fn write(self, columns: &mut Self::Gathered<'_>, row: usize) {
                #(#writes)*
            }

            #[inline]
            fn null(columns: &mut Self::Gathered<'_>, row: usize) {
                #(#nulls)*
            }

            #[inline]
            fn in_place(columns: &Self::Gathered<'_>) -> bool {
                #(#in_place)&&*
            }

            fn close<#of>(columns: Self::Gathered<#of>, into: &mut ::skewless::glue::Answer<#of>) {
                #(#closes)*
            }
        }
    })
}
