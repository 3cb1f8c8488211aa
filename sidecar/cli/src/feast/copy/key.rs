//! Entity keys as Feast writes them into its online stores, serialization version 3: little-endian 32-bit numbers; the number
//! of join keys, each one's name as type, length and bytes, then each one's value as type, length and bytes, names sorted.
//! From `infra/key_encoding_utils.py` of feast-dev/feast 0.67.

use super::refusal::Reason;

/// The types of a value that Feast writes in keys.
const BYTES: u32 = 1;
const STRING: u32 = 2;
const INT32: u32 = 3;
const INT64: u32 = 4;
const UNIX_TIMESTAMP: u32 = 8;

/// A value of a key.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum KeyValue<'a> {
    Bytes(&'a [u8]),
    Text(&'a str),
    Int32(i32),
    Int64(i64),
    /// Seconds since 1970.
    Time(i64),
}

/// A key taken apart.
#[derive(PartialEq, Debug)]
pub(super) struct EntityKey<'a> {
    /// Join keys with their values, sorted by name.
    pub(super) values: Vec<(&'a str, KeyValue<'a>)>,
    /// What follows it: in Redis the project.
    pub(super) rest: &'a [u8],
}

/// Takes a key apart.
pub(super) fn decode(bytes: &[u8]) -> Result<EntityKey<'_>, Reason> {
    let mut rest = bytes;
    let count = number(&mut rest)?;
    // Versions up to 2 began with the type of the first name, and the name without its length.
    let named = rest.get(..4).map(|next| next == STRING.to_le_bytes());
    if count == STRING && named == Some(false) {
        return Err(Reason::KeyVersion);
    }
    // Each takes 16 bytes at least, so a number that lies asks for no memory.
    if u64::from(count) * 16 > bytes.len() as u64 {
        return Err(Reason::KeyDamaged);
    }
    let mut names = Vec::new();
    for _ in 0..count {
        let (ty, name) = part(&mut rest)?;
        let name = std::str::from_utf8(name).ok().filter(|_| ty == STRING);
        names.push(name.ok_or(Reason::KeyDamaged)?);
    }
    let mut values = Vec::new();
    for name in names {
        let (ty, bytes) = part(&mut rest)?;
        values.push((name, value(ty, bytes)?));
    }
    Ok(EntityKey { values, rest })
}

fn value(ty: u32, bytes: &[u8]) -> Result<KeyValue<'_>, Reason> {
    let four = || bytes.try_into().map_err(|_| Reason::KeyDamaged);
    let eight = || bytes.try_into().map_err(|_| Reason::KeyDamaged);
    Ok(match ty {
        BYTES => KeyValue::Bytes(bytes),
        STRING => KeyValue::Text(std::str::from_utf8(bytes).map_err(|_| Reason::KeyDamaged)?),
        INT32 => KeyValue::Int32(i32::from_le_bytes(four()?)),
        INT64 => KeyValue::Int64(i64::from_le_bytes(eight()?)),
        UNIX_TIMESTAMP => KeyValue::Time(i64::from_le_bytes(eight()?)),
        _ => return Err(Reason::KeyDamaged),
    })
}

/// A type, and as many bytes as are said.
fn part<'a>(rest: &mut &'a [u8]) -> Result<(u32, &'a [u8]), Reason> {
    let (ty, length) = (number(rest)?, number(rest)?);
    let length = usize::try_from(length).map_err(|_| Reason::KeyDamaged)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or(Reason::KeyDamaged)?;
    *rest = after;
    Ok((ty, bytes))
}

fn number(rest: &mut &[u8]) -> Result<u32, Reason> {
    let (bytes, after) = rest.split_first_chunk::<4>().ok_or(Reason::KeyDamaged)?;
    *rest = after;
    Ok(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Feast 0.67 made of keys, a line each; see make_fixtures.py beside it.
    const KEYS: &str = include_str!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/interop/feast_import/fixtures/keys.txt"
    ));

    fn fixture(name: &str) -> Vec<u8> {
        let line = KEYS.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let hex = line.unwrap_or_else(|| panic!("no {name} in keys.txt"));
        (0..hex.len() / 2)
            .map(|at| {
                u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap_or_else(|_| panic!("{hex}"))
            })
            .collect()
    }

    #[test]
    fn keys_that_feast_wrote_are_read() {
        for (name, values) in [
            ("int64", vec![("driver_id", KeyValue::Int64(-7))]),
            ("int32", vec![("driver_id", KeyValue::Int32(i32::MIN))]),
            ("text", vec![("city", KeyValue::Text("Zürich"))]),
            ("empty_text", vec![("__dummy_id", KeyValue::Text(""))]),
            ("bytes", vec![("digest", KeyValue::Bytes(&[0, 255, 2]))]),
            ("time", vec![("day", KeyValue::Time(86_400))]),
            ("two", vec![("city", KeyValue::Text("Ulm")), ("driver_id", KeyValue::Int64(1))]),
        ] {
            let bytes = fixture(name);
            assert_eq!(
                decode(&bytes),
                Ok(EntityKey { values: values.clone(), rest: &[] }),
                "{name}"
            );
            let in_redis = [bytes.as_slice(), b"shop"].concat();
            assert_eq!(decode(&in_redis), Ok(EntityKey { values, rest: b"shop" }), "{name}");
        }
    }

    #[test]
    fn keys_of_other_versions_are_named() {
        for name in ["version_2", "version_2_two", "version_1"] {
            assert_eq!(decode(&fixture(name)), Err(Reason::KeyVersion), "{name}");
        }
    }

    #[test]
    fn a_key_cut_anywhere_is_damaged() {
        let whole = fixture("two");
        for cut in 0..whole.len() {
            // Cut behind the number 2, nothing tells it from a key of an older version.
            assert!(decode(&whole[..cut]).is_err(), "{cut}");
        }
        for bytes in [
            &[255; 64][..],
            b"plain text as key",
            &[1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(decode(bytes), Err(Reason::KeyDamaged), "{bytes:?}");
        }
    }
}
