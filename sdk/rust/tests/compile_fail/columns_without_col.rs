//! With `columns` an argument is a column.

#[skewless::transform(columns)]
fn wrong(x: f64) -> Vec<f64> {
    vec![x]
}

fn main() {}
