//! Gives back what it was given, every type of a feature among it: whatever differs between two paths
//! differs in the paths, not in a computation. A program for tests, not a plugin to copy.

use skewless::{Doubles, Ints, Strings, Timestamp};

/// Everything that came.
#[derive(skewless::Outputs)]
pub struct Echo {
    /// As it came.
    pub flag: Option<bool>,
    /// As it came.
    pub small: Option<i32>,
    /// As it came.
    pub whole: Option<i64>,
    /// As it came.
    pub single: Option<f32>,
    /// As it came.
    pub double: Option<f64>,
    /// As it came.
    pub text: Option<String>,
    /// As they came.
    pub bytes: Option<Vec<u8>>,
    /// As it came.
    pub at: Option<Timestamp>,
    /// As it came.
    pub embedding: Option<[f32; 3]>,
    /// As they came.
    pub wholes: Option<Vec<i64>>,
    /// As they came, through the other form of the argument.
    pub more_wholes: Option<Vec<i64>>,
    /// As they came.
    pub doubles: Option<Vec<f64>>,
    /// As they came.
    pub texts: Option<Vec<String>>,
    /// As it came; null: so is the row.
    pub plain_whole: Option<i64>,
    /// As it came; null: so is the row.
    pub plain_text: Option<String>,
}

/// Gives back what it is given.
#[skewless::transform]
#[expect(clippy::too_many_arguments, reason = "one of every type")]
pub fn echo(
    /// A bool.
    flag: Option<bool>,
    /// An int32.
    small: Option<i32>,
    /// An int64.
    whole: Option<i64>,
    /// A float32.
    single: Option<f32>,
    /// A float64.
    #[unit("m")]
    double: Option<f64>,
    /// A utf8.
    text: Option<&str>,
    /// A binary.
    bytes: Option<&[u8]>,
    /// A timestamp.
    at: Option<Timestamp>,
    /// An embedding.
    embedding: Option<[f32; 3]>,
    /// A list of int64, borrowed.
    wholes: Option<Ints<'_>>,
    /// A list of int64, owned.
    more_wholes: Option<Vec<i64>>,
    /// A list of float64.
    doubles: Option<Doubles<'_>>,
    /// A list of utf8.
    texts: Option<Strings<'_>>,
    /// An int64 that is there.
    plain_whole: i64,
    /// A utf8 that is there.
    plain_text: &str,
) -> Echo {
    Echo {
        flag,
        small,
        whole,
        single,
        double,
        text: text.map(str::to_owned),
        bytes: bytes.map(<[u8]>::to_vec),
        at,
        embedding,
        wholes: wholes.map(|list| list.iter().collect()),
        more_wholes,
        doubles: doubles.map(|list| list.iter().collect()),
        texts: texts.map(|list| list.iter().map(str::to_owned).collect()),
        plain_whole: Some(plain_whole),
        plain_text: Some(plain_text.to_owned()),
    }
}

#[cfg(test)]
skewless::golden!("../golden.jsonl");
