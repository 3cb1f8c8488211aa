//! A transform is a function.

#[skewless::transform]
struct Wrong;

fn main() {}
