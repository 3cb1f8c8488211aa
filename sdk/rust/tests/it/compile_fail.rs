//! Mistakes of authors, and that the compiler points at the author's own words: `compile_fail/*.stderr`. To
//! write them anew after a change of words or of the compiler: `TRYBUILD=overwrite cargo test`.

#[test]
fn mistakes_are_reported_at_the_authors_words() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
