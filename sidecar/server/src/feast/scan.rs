//! Looking through Feast's messages before they are decoded: how much they hold, and whether a kind of value is in them
//! that no column holds; not the values.
//!
//! A value is 2 bytes on the wire and some 40 in memory, more in a map: so values are counted (`limits.text_elements_max`),
//! and kinds whose memory would have to be guessed are refused here, by name.

use crate::status::ServeError;
use crate::wire::{ScanLimits, WireError, for_each_field};

/// What a message's top-level field holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// `FeatureList`.
    Names,
    /// `map<string, RepeatedValue>`: an entry a column.
    Columns,
    /// `map<string, Value>`: an entry a column of one row.
    Values,
    /// `map<string, string>`: the same as text.
    Texts,
}

/// Counts while a message is looked through.
struct Count {
    limits: ScanLimits,
    columns: usize,
    elements: usize,
}

/// Looks through an encoded message; `fields` says which top-level fields hold what.
pub(super) fn scan(
    bytes: &[u8],
    fields: &[(u32, Holds)],
    limits: ScanLimits,
) -> Result<(), ServeError> {
    let mut count = Count { limits, columns: 0, elements: 0 };
    let mut refused = None;
    for_each_field(bytes, &mut |number, payload| {
        let holds = fields.iter().find(|(field, _)| *field == number);
        let (Some((_, holds)), Some(payload)) = (holds, payload) else { return Ok(()) };
        match holds {
            Holds::Names => for_each_field(payload, &mut |_, _| count.element()),
            Holds::Columns | Holds::Values | Holds::Texts => {
                let kind = count.entry(payload, *holds)?;
                refused = refused.take().or(kind);
                Ok(())
            }
        }
    })?;
    match refused {
        None => Ok(()),
        Some((column, kind)) => Err(ServeError::Field(format!(
            "column `{column}`: expected a kind of value that a column can hold, came {kind}"
        ))),
    }
}

impl Count {
    fn element(&mut self) -> Result<(), WireError> {
        self.elements += 1;
        if self.elements > self.limits.text_elements_max {
            let max = self.limits.text_elements_max;
            return Err(WireError::Over { what: "values", limit: "limits.text_elements_max", max });
        }
        Ok(())
    }

    /// Counts one entry of a map; gives its name with the first kind in it that no column holds.
    fn entry(&mut self, bytes: &[u8], holds: Holds) -> Result<Option<(String, String)>, WireError> {
        self.columns += 1;
        if self.columns > self.limits.columns_max {
            let (what, max) = ("columns", self.limits.columns_max);
            return Err(WireError::Over { what, limit: "limits.columns_max", max });
        }
        let (mut name, mut kind) = (String::new(), None);
        for_each_field(bytes, &mut |number, payload| {
            match (number, payload) {
                (1, Some(text)) => name = String::from_utf8_lossy(text).into_owned(),
                (2, Some(value)) if holds == Holds::Values => self.value(value, &mut kind)?,
                (2, Some(values)) if holds == Holds::Columns => {
                    for_each_field(values, &mut |_, value| match value {
                        Some(value) => self.value(value, &mut kind),
                        None => Ok(()),
                    })?;
                }
                _ => self.element()?,
            }
            Ok(())
        })?;
        Ok(kind.map(|kind| (name, kind)))
    }

    fn value(&mut self, bytes: &[u8], refused: &mut Option<String>) -> Result<(), WireError> {
        self.element()?;
        for_each_field(bytes, &mut |number, payload| {
            if let Some(kind) = refused_kind(number) {
                refused.get_or_insert(kind);
                return Ok(());
            }
            match payload {
                Some(list) if TEXT_LISTS.contains(&number) => {
                    for_each_field(list, &mut |_, _| self.element())
                }
                _ => Ok(()),
            }
        })
    }
}

/// Kinds that are lists of text.
const TEXT_LISTS: [u32; 5] = [12, 33, 38, 39, 45];

/// The name of a kind that no column holds.
fn refused_kind(number: u32) -> Option<String> {
    let name = match number {
        // bytes, string, int32, int64, double, float, bool, unix_timestamp; null; json, uuid, time_uuid, decimal.
        1..=8 | 19 | 32 | 36 | 37 | 44 => return None,
        // Lists of int32, int64, double, float, bool and unix_timestamp; of text.
        13..=18 | 12 | 33 | 38 | 39 | 45 => return None,
        11 => "bytes_list_val",
        20 => "map_val",
        21 => "map_list_val",
        22 => "bytes_set_val",
        23 => "string_set_val",
        24 => "int32_set_val",
        25 => "int64_set_val",
        26 => "double_set_val",
        27 => "float_set_val",
        28 => "bool_set_val",
        29 => "unix_timestamp_set_val",
        34 => "struct_val",
        35 => "struct_list_val",
        40 => "uuid_set_val",
        41 => "time_uuid_set_val",
        42 => "list_val",
        43 => "set_val",
        46 => "decimal_set_val",
        47 => "scalar_map_val",
        48 => "zoned_timestamp_val",
        _ => return Some(format!("number {number}, which is no kind of Feast 0.67")),
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use prost::Message;
    use skewless_proto::feast::serving::GetOnlineFeaturesRequest;
    use skewless_proto::feast::types::value::Val;
    use skewless_proto::feast::types::{RepeatedValue, StringList, Value};

    use super::*;

    const FIELDS: &[(u32, Holds)] = &[(2, Holds::Names), (3, Holds::Columns), (5, Holds::Columns)];

    fn request(columns: &[(&str, Vec<Value>)]) -> Vec<u8> {
        let entities = columns
            .iter()
            .map(|(name, val)| ((*name).to_owned(), RepeatedValue { val: val.clone() }));
        GetOnlineFeaturesRequest { entities: entities.collect(), ..Default::default() }
            .encode_to_vec()
    }

    fn scanned(bytes: &[u8], columns_max: usize, text_elements_max: usize) -> Result<(), String> {
        let limits = ScanLimits { columns_max, text_elements_max };
        scan(bytes, FIELDS, limits).map_err(|error| error.to_string())
    }

    fn texts(count: usize) -> Value {
        let list = StringList { val: vec![String::new(); count] };
        Value { val: Some(Val::StringListVal(list)) }
    }

    #[test]
    fn values_and_the_text_in_them_are_counted() {
        let bytes = request(&[("a", vec![Value::default(); 3]), ("b", vec![texts(4)])]);
        assert_eq!(scanned(&bytes, 2, 8), Ok(()));
        let over = scanned(&bytes, 2, 7).unwrap_err();
        assert_eq!(over, "expected at most 7 values (limits.text_elements_max), came more");
        let over = scanned(&bytes, 1, 8).unwrap_err();
        assert_eq!(over, "expected at most 1 columns (limits.columns_max), came more");
    }

    /// Each of the 44 kinds is either one that a column holds or refused by its name in the contract.
    #[test]
    fn every_kind_is_known() {
        let contract = skewless_proto::DESCRIPTORS;
        let files = prost_types::FileDescriptorSet::decode(contract).unwrap().file;
        let file = files.iter().find(|file| file.name() == "feast/types/Value.proto").unwrap();
        let value = file.message_type.iter().find(|message| message.name() == "Value").unwrap();
        assert_eq!(value.field.len(), 44);
        let mut refused = 0;
        for field in &value.field {
            if let Some(name) = refused_kind(field.number() as u32) {
                assert_eq!(name, field.name());
                refused += 1;
            }
        }
        assert_eq!(refused, 20, "the others are kept");
        assert!(refused_kind(49).unwrap().contains("number 49"));
    }
}
