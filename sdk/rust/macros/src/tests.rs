//! What the macros make of typical items, as files to read in `snapshots/`. To write them anew after a
//! change: `INSTA_UPDATE=always cargo test`; without it a difference fails and nothing is written in CI.

use proc_macro2::TokenStream;
use quote::quote;

use crate::{outputs, transform};

fn shown(tokens: TokenStream) -> String {
    let file: syn::File = syn::parse2(tokens).expect("the macro makes items");
    prettyplease::unparse(&file)
}

#[test]
fn a_function_of_one_row() {
    let function = quote! {
        /// Kilometres to miles.
        ///
        /// For people.
        #[inline]
        pub fn miles(
            /// Distance flown.
            #[unit("km")]
            km: f64,
            /// How it is rounded.
            digits: Option<i32>,
        ) -> f64 {
            round(km / 1.609_344, digits)
        }
    };
    let attribute = quote!(name = "to_miles", output = "miles", unit = "mi");
    insta::assert_snapshot!(shown(transform::expand(attribute, function)));
}

#[test]
fn a_function_that_may_fail_or_give_nothing() {
    let function = quote! {
        fn halves(x: i64, label: &str) -> Result<Option<Halves>, String> {
            halve(x, label)
        }
    };
    insta::assert_snapshot!(shown(transform::expand(quote!(), function)));
}

#[test]
fn a_function_of_columns() {
    let function = quote! {
        fn sums(a: skewless::Col<'_, f64>, b: Col<'_, Option<f64>>) -> Vec<Option<f64>> {
            add(a, b)
        }
    };
    insta::assert_snapshot!(shown(transform::expand(quote!(columns), function)));
}

#[test]
fn a_struct_of_outputs() {
    let item = quote! {
        /// Wind.
        #[derive(Clone)]
        pub struct Wind {
            /// Against the course.
            #[unit("kn")]
            pub headwind: f64,
            pub r#type: Option<String>,
        }
    };
    insta::assert_snapshot!(shown(outputs::expand(item)));
}

/// The function stays, so that whoever calls it hears of one mistake and not of two.
#[test]
fn a_mistake_is_an_error_beside_the_function() {
    let function = quote! {
        async fn waits(x: f64) -> f64 {
            x
        }
    };
    insta::assert_snapshot!(shown(transform::expand(quote!(), function)));
}
