//! An `Option` of a type that no feature has.

#[skewless::transform]
fn wrong(wrong: Option<String>) -> bool {
    wrong.is_some()
}

fn main() {}
