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
    let (mut specs, mut gathered, mut made) = (Vec::new(), Vec::new(), Vec::new());
    let (mut writes, mut nulls, mut columns) = (Vec::new(), Vec::new(), Vec::new());
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
        let gather = quote_spanned! {at=> <#output::Gathered as ::skewless::glue::Gather> };
        gathered.push(quote_spanned! {at=> #output::Gathered });
        made.push(quote_spanned! {at=> #gather::with_rows(#output::TYPE, rows) });
        writes.push(quote_spanned! {at=> #output::write(self.#ident, &mut columns.#place, row); });
        nulls.push(quote_spanned! {at=> #gather::null(&mut columns.#place, row); });
        columns.push(quote_spanned! {at=> #gather::into_column(columns.#place, #output::TYPE) });
    }
    let name = &item.ident;
    Ok(quote! {
        #[automatically_derived]
        impl ::skewless::glue::Outputs for #name {
            const FIELDS: &'static [::skewless::glue::FieldSpec] = &[#(#specs),*];

            type Gathered = (#(#gathered,)*);

            #[inline]
            fn with_rows(rows: usize) -> Self::Gathered {
                (#(#made,)*)
            }

            #[inline]
            fn write(self, columns: &mut Self::Gathered, row: usize) {
                #(#writes)*
            }

            #[inline]
            fn null(columns: &mut Self::Gathered, row: usize) {
                #(#nulls)*
            }

            fn into_columns(columns: Self::Gathered) -> ::std::vec::Vec<::skewless::Column> {
                ::std::vec![#(#columns),*]
            }
        }
    })
}
