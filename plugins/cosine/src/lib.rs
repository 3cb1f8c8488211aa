//! Cosine similarity of two float32 embeddings of 8 numbers.
//!
//! Sums are float64, in the order of the elements, so that the result is one well-defined number. A vector of
//! length 0 has no direction: null. To use another length, change `DIM`: it is part of the signature.

use skewless::math::sqrt;

/// Numbers of an embedding.
pub const DIM: usize = 8;

/// Similarity and distance.
#[derive(skewless::Outputs)]
pub struct Similarity {
    /// Cosine of the angle between the two, -1 to 1; null if one is all zeros.
    pub cosine: Option<f64>,
    /// Sum of the products.
    pub dot: f64,
    /// Euclidean distance.
    pub distance: f64,
}

/// Cosine similarity of two embeddings.
#[skewless::transform]
pub fn cosine(
    /// One embedding.
    a: [f32; DIM],
    /// The other.
    b: [f32; DIM],
) -> Similarity {
    let (mut dot, mut aa, mut bb, mut dd) = (0.0, 0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(&b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        dot += a * b;
        aa += a * a;
        bb += b * b;
        dd += (a - b) * (a - b);
    }
    let lengths = sqrt(aa) * sqrt(bb);
    Similarity {
        cosine: if lengths == 0.0 { None } else { Some((dot / lengths).clamp(-1.0, 1.0)) },
        dot,
        distance: sqrt(dd),
    }
}

#[cfg(test)]
skewless::golden!("../golden.jsonl");
