//! Feast's JSON bodies: what they ask for, and their columns straight into ours; not what is done with them.
//!
//! A number is 2 bytes in JSON and 32 as a value of any type, so values are never held: the first pass checks the whole
//! text and counts each column's values, the second, when the types are known, appends each to its column.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::cell::Cell;
use super::request::{Ask, Columns, Target};
use crate::status::ServeError;

/// Names in one body, and values in one row's list, at most: as in a batch; and as many elements as a value of ours has at
/// its largest.
const NAMES_MAX: usize = skewless_batch::COLUMNS_MAX;
const LIST_MAX: usize = 1 << 18;

/// A body that asks for features.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskBody {
    entities: Outline,
    request_context: Option<Outline>,
    feature_service: Option<String>,
    features: Option<Names>,
    #[serde(default)]
    full_feature_names: bool,
    #[serde(default)]
    include_feature_view_version_metadata: bool,
}

/// A body that writes rows of a view. Like those of a push, its last two members mean nothing here: what is declared is
/// what is served, and transforms run when they are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WriteBody {
    feature_view_name: String,
    df: Outline,
    #[serde(rename = "allow_registry_cache")]
    _allow_registry_cache: Option<bool>,
    #[serde(rename = "transform_on_write")]
    _transform_on_write: Option<bool>,
}

/// A body that pushes rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PushBody {
    push_source_name: String,
    df: Outline,
    to: Option<String>,
    #[serde(rename = "allow_registry_cache")]
    _allow_registry_cache: Option<bool>,
    #[serde(rename = "transform_on_write")]
    _transform_on_write: Option<bool>,
}

/// Columns of a body whose text is at hand.
pub(super) struct JsonColumns<'a> {
    body: &'a [u8],
    /// Names of the members that hold columns.
    members: &'static [&'static str],
    lengths: Vec<(String, usize)>,
}

/// Reads a body that asks for features.
pub(super) fn ask(body: &[u8]) -> Result<(Ask, JsonColumns<'_>), ServeError> {
    let Object(came): Object<AskBody> = read(body)?;
    let context = came.request_context.into_iter().flat_map(|outline| outline.0);
    let lengths: Vec<(String, usize)> = came.entities.0.into_iter().chain(context).collect();
    if let Some(name) = twice(&lengths) {
        return Err(ServeError::Field(format!(
            "expected column `{name}` in entities or in request_context, came in both"
        )));
    }
    let ask = Ask {
        service: came.feature_service,
        features: came.features.map(|names| names.0).unwrap_or_default(),
        full_feature_names: came.full_feature_names,
        view_metadata: came.include_feature_view_version_metadata,
    };
    Ok((ask, JsonColumns { body, members: &["entities", "request_context"], lengths }))
}

/// Reads a body that writes rows; gives the view.
pub(super) fn write(body: &[u8]) -> Result<(String, JsonColumns<'_>), ServeError> {
    let Object(came): Object<WriteBody> = read(body)?;
    Ok((came.feature_view_name, JsonColumns { body, members: &["df"], lengths: came.df.0 }))
}

/// Reads a body that pushes rows; gives the source that is pushed to.
pub(super) fn push(body: &[u8]) -> Result<(String, JsonColumns<'_>), ServeError> {
    let Object(came): Object<PushBody> = read(body)?;
    super::refuse_target(came.to.as_deref().unwrap_or(super::ONLINE))?;
    Ok((came.push_source_name, JsonColumns { body, members: &["df"], lengths: came.df.0 }))
}

/// A name that is there twice.
fn twice(lengths: &[(String, usize)]) -> Option<&str> {
    let mut names: Vec<&str> = lengths.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn read<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, ServeError> {
    serde_json::from_slice(body).map_err(|error| wrong(&error))
}

fn wrong(error: &serde_json::Error) -> ServeError {
    ServeError::Field(format!("expected the JSON of this call, came: {error}"))
}

impl Columns for JsonColumns<'_> {
    fn lengths(&self) -> &[(String, usize)] {
        &self.lengths
    }

    fn fill(&self, wanted: &mut [Target]) -> Result<(), ServeError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut text = serde_json::Deserializer::from_slice(self.body);
        let body = Body { members: self.members, wanted };
        text.deserialize_map(body).map_err(|error| wrong(&error))
    }
}

/// What is an object, and not the list of its members that the derived reader would take for one as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members of this call")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// The names of an object's members, each once, with the number of values in each.
struct Outline(Vec<(String, usize)>);

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(OutlineVisitor).map(Self)
    }
}

struct OutlineVisitor;

impl<'de> Visitor<'de> for OutlineVisitor {
    type Value = Vec<(String, usize)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns, each a list of values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut outline: Vec<(String, usize)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if outline.len() == NAMES_MAX {
                return Err(A::Error::custom(format!("more than {NAMES_MAX} columns")));
            }
            let len = map.next_value_seed(Length)?;
            outline.push((name, len));
        }
        if let Some(name) = twice(&outline) {
            return Err(A::Error::custom(format!("column `{name}` twice")));
        }
        Ok(outline)
    }
}

/// Counts the values of a list.
struct Length;

impl<'de> DeserializeSeed<'de> for Length {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<usize, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Length {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column, which is a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
        let mut len = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            len += 1;
        }
        Ok(len)
    }
}

/// A list of names.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(NamesVisitor).map(Self)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of features such as \"view:feature\"")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = seq.next_element()? {
            if names.len() == NAMES_MAX {
                return Err(A::Error::custom(format!("more than {NAMES_MAX} features")));
            }
            names.push(name);
        }
        Ok(names)
    }
}

/// A whole body, of which some members hold columns that are wanted.
struct Body<'a> {
    members: &'static [&'static str],
    wanted: &'a mut [Target],
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the members of this call")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key::<Cow<'de, str>>()? {
            if self.members.contains(&&*member) {
                map.next_value_seed(Wanted(&mut *self.wanted))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// An object of columns.
struct Wanted<'a>(&'a mut [Target]);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        // A request_context of null is none.
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of columns, each a list of values")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match self.0.iter_mut().find(|target| target.name == name) {
                Some(target) => map.next_value_seed(Values(target))?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The values of one column.
struct Values<'a>(&'a mut Target);

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut row = 0;
        while let Some(cell) = seq.next_element::<Cell<'de>>()? {
            self.0.append(row, &cell).map_err(A::Error::custom)?;
            row += 1;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(CellVisitor { in_list: false })
    }
}

/// A value within a list. Lists in it are skipped, not held: no column holds them, and they cost 16 times what they are.
struct Item;

impl<'de> DeserializeSeed<'de> for Item {
    type Value = Cell<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Cell<'de>, D::Error> {
        from.deserialize_any(CellVisitor { in_list: true })
    }
}

struct CellVisitor {
    in_list: bool,
}

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell<'de>, E> {
        Ok(i64::try_from(value).map_or(Cell::Huge(value), Cell::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Quoted(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Quoted(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell<'de>, A::Error> {
        if self.in_list {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Cell::Other("a list"));
        }
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Item)? {
            if items.len() == LIST_MAX {
                return Err(A::Error::custom(format!("a list of more than {LIST_MAX} values")));
            }
            items.push(item);
        }
        Ok(Cell::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use skewless_batch::Type;

    use super::*;

    #[test]
    fn what_is_asked_for_and_the_columns_are_read() {
        let body = br#"{"entities": {"faa": ["JFK", null], "skipped": [{"a": 1}, [2]]}, "features": ["w:x"],
            "full_feature_names": true, "request_context": {"hour": [1, 2.5]}, "feature_service": null}"#;
        let (ask, columns) = ask(body).unwrap();
        let features = vec!["w:x".to_owned()];
        assert_eq!(ask, Ask { features, full_feature_names: true, ..Ask::default() });
        let lengths: Vec<_> = columns.lengths().iter().map(|(name, len)| (&**name, *len)).collect();
        assert_eq!(lengths, [("faa", 2), ("skipped", 2), ("hour", 2)]);
        let mut wanted = [Target::new("hour", Type::Float64), Target::new("faa", Type::Utf8)];
        columns.fill(&mut wanted).unwrap();
        assert_eq!(
            (wanted[0].column.view().f64_at(0), wanted[0].column.view().f64_at(1)),
            (1.0, 2.5)
        );
        assert!(wanted[1].column.view().utf8_at(0) == "JFK" && wanted[1].column.is_null(1));
    }

    #[test]
    fn a_body_that_is_not_the_call_s_says_what_came() {
        let cases: Vec<(&str, &str)> = vec![
            ("", "EOF while parsing"),
            ("{", "EOF while parsing"),
            (
                "[]",
                "came: invalid type: sequence, expected an object with the members of this call",
            ),
            ("7", "came: invalid type: integer `7`, expected an object with the members"),
            (r#"[{}, null, "departure", null, false, false]"#, "invalid type: sequence"),
            (r#"{"features": []}"#, "missing field `entities`"),
            (
                r#"{"entities": {}, "feature": []}"#,
                "unknown field `feature`, expected one of `entities`",
            ),
            (r#"{"entities": {}, "entities": {}}"#, "duplicate field `entities`"),
            (r#"{"entities": {"a": [1], "a": [1]}}"#, "column `a` twice"),
            (r#"{"entities": {"a": 1}}"#, "a column, which is a list of values"),
            (r#"{"entities": [1]}"#, "an object of columns"),
            (r#"{"entities": {"a": [1]}, "request_context": {"a": [1]}}"#, "came in both"),
            (r#"{"entities": {}, "full_feature_names": 1}"#, "expected a boolean"),
            (r#"{"entities": {}} x"#, "trailing characters"),
        ];
        for (body, part) in cases {
            let came =
                ask(body.as_bytes()).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(came.contains(part), "{body}: expected `{part}` in `{came}`");
        }
    }

    #[test]
    fn a_value_of_another_kind_is_told_with_its_column_and_row() {
        let came = |values: &str| {
            let body = format!(r#"{{"feature_view_name": "w", "df": {{"wind": {values}}}}}"#);
            let (view, columns) = write(body.as_bytes()).unwrap();
            assert_eq!(view, "w");
            let mut wanted = [Target::new("wind", Type::Float64)];
            columns.fill(&mut wanted).unwrap_err().to_string()
        };
        let string = came(r#"[1, "strong"]"#);
        assert!(
            string.contains("column `wind`, row 1: expected float64, came a string"),
            "{string}"
        );
        assert!(came("[1e999]").contains("number out of range"));
        let nested = format!("[{}{}]", "[".repeat(1_000), "]".repeat(1_000));
        assert!(came(&nested).contains("came a list"));
    }

    #[test]
    fn a_list_within_a_list_is_not_held() {
        let body = br#"{"feature_view_name": "w", "df": {"many": [[[1, 2, [3]], {"a": [4]}, 5]]}}"#;
        let (_, columns) = write(body).unwrap();
        let mut wanted = [Target::new("many", Type::ListInt64)];
        let came = columns.fill(&mut wanted).unwrap_err().to_string();
        assert!(
            came.contains("row 0: expected list<int64>, came a list with a list in it"),
            "{came}"
        );
        let cell: Cell<'_> = serde_json::from_str("[[1, [2]], {}, 5]").unwrap();
        let items = vec![Cell::Other("a list"), Cell::Other("an object"), Cell::Int(5)];
        assert_eq!(cell, Cell::List(items));
    }

    #[test]
    fn a_push_goes_online_only() {
        let refused = |to: &str| {
            let body = format!(r#"{{"push_source_name": "w", "df": {{}}{to}}}"#);
            push(body.as_bytes()).err().map(|error| error.to_string())
        };
        assert_eq!((refused(""), refused(r#", "to": "online""#)), (None, None));
        for to in ["offline", "online_and_offline", "sideways"] {
            let came = refused(&format!(r#", "to": "{to}""#)).unwrap();
            assert!(came.contains("expected to = \"online\"") && came.contains(to), "{came}");
        }
        let aside = write(br#"{"feature_view_name": "w", "df": {}, "to": "online"}"#);
        assert!(aside.err().unwrap().to_string().contains("unknown field `to`"));
    }
}
