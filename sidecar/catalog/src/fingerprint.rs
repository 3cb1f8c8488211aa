//! Identities by content: plugin digests and definition fingerprints; not where things are stored.
//!
//! A [`Digest`] is the SHA-256 of a plugin's file. A [`Fingerprint`] is a SHA-256 over the canonical
//! content of a definition and all it depends on. Both print and parse as 64 lowercase hex digits.
//!
//! Canonical content is written by [`Canon`]: every fingerprint starts with a domain and version,
//! every string and list is length-prefixed, every integer little-endian 64 bits, so that no two
//! different contents give the same bytes. What is in it: names, types, units, keys, the visibility
//! rule, bindings, plugin digests, order of outputs. What is not: comments, docs, formatting, the
//! order of definitions, and *where* things are (paths of data and of plugins).

pub(crate) mod content;

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// SHA-256 of a plugin's bytes: the plugin's identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

/// SHA-256 over the canonical content of a definition with all it depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is not 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected 64 hex digits of a SHA-256, came {came} bytes{}", if *.came == 64 { " that are not all hex" } else { "" })]
pub struct NotHex {
    /// How many bytes the text had.
    pub came: usize,
}

impl Digest {
    /// The digest of a plugin's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

macro_rules! hex_identity {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = NotHex;

            fn from_str(text: &str) -> Result<Self, NotHex> {
                parse_hex(text).map(Self)
            }
        }
    };
}

hex_identity!(Digest);
hex_identity!(Fingerprint);

/// Writes canonical content into a hash; see the module's documentation for the form.
pub(crate) struct Canon(Sha256);

impl Canon {
    /// Starts the content of one kind of definition, such as `view.v1`.
    #[must_use]
    pub(crate) fn new(domain: &str) -> Self {
        let mut canon = Self(Sha256::new());
        canon.text("skewless").text(domain);
        canon
    }

    /// Adds a string, length first.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Adds bytes, length first.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds an integer as 64 bits little-endian.
    pub(crate) fn int(&mut self, value: i64) -> &mut Self {
        self.0.update(value.to_le_bytes());
        self
    }

    /// Adds the length of a list whose elements follow.
    pub(crate) fn count(&mut self, len: usize) -> &mut Self {
        self.0.update((len as u64).to_le_bytes());
        self
    }

    /// Adds an optional integer, absence told apart from any value.
    pub(crate) fn option(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            None => self.int(0),
            Some(value) => self.int(1).int(value),
        }
    }

    /// Adds another definition's fingerprint.
    pub(crate) fn fingerprint(&mut self, fingerprint: &Fingerprint) -> &mut Self {
        self.0.update(fingerprint.0);
        self
    }

    /// Adds a plugin's digest.
    pub(crate) fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.0.update(digest.0);
        self
    }

    /// The fingerprint of all that was added.
    #[must_use]
    pub(crate) fn finish(&self) -> Fingerprint {
        Fingerprint(self.0.clone().finalize().into())
    }
}

fn parse_hex(text: &str) -> Result<[u8; 32], NotHex> {
    let wrong = NotHex { came: text.len() };
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return Err(wrong);
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16).ok_or(wrong)?;
        let low = char::from(pair[1]).to_digit(16).ok_or(wrong)?;
        *byte = (high * 16 + low) as u8;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_there_and_back_and_bad_hex_is_refused() {
        let digest = Digest::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!("e3b0".parse::<Digest>(), Err(NotHex { came: 4 }));
        assert_eq!("x".repeat(64).parse::<Fingerprint>(), Err(NotHex { came: 64 }));
    }

    #[test]
    fn canonical_content_has_no_ambiguous_joins() {
        let ab_c = Canon::new("test.v1").text("ab").text("c").finish();
        let a_bc = Canon::new("test.v1").text("a").text("bc").finish();
        let other_domain = Canon::new("test.v2").text("ab").text("c").finish();
        assert_ne!(ab_c, a_bc);
        assert_ne!(ab_c, other_domain);
        let none = Canon::new("test.v1").option(None).finish();
        let zero = Canon::new("test.v1").option(Some(0)).finish();
        assert_ne!(none, zero);
    }
}
