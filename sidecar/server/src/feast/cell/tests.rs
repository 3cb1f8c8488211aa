//! Which value each type takes, and what is said of the others.

use super::*;

fn taken(ty: Type, cell: &Cell<'_>) -> Result<String, String> {
    let mut column = Column::new(ty);
    append(cell, &mut column)?;
    assert_eq!(column.len(), 1);
    Ok(format!("{:?}", column.value(0)))
}

fn refused(ty: Type, cell: &Cell<'_>) -> String {
    let mut column = Column::new(ty);
    let came = append(cell, &mut column).expect_err("a value that doesn't fit");
    assert!(column.is_empty(), "nothing was appended");
    came
}

fn quoted(text: &str) -> Cell<'_> {
    Cell::Quoted(Cow::Borrowed(text))
}

#[test]
fn a_value_is_taken_if_the_type_holds_it_exactly() {
    let nan = Cell::Quoted(Cow::Borrowed("NaN"));
    let list = |cells: &[Cell<'static>]| Cell::List(cells.to_vec());
    let noon = "2026-01-31 12:00:00.250";
    let cases: Vec<(Type, Cell<'_>, &str)> = vec![
        (Type::Bool, Cell::Bool(true), "Bool(true)"),
        (Type::Bool, Cell::Written("False"), "Bool(false)"),
        (Type::Int32, Cell::Int(-7), "Int32(-7)"),
        (Type::Int32, Cell::Float(2_147_483_647.0), "Int32(2147483647)"),
        (Type::Int64, Cell::Written("9223372036854775807"), "Int64(9223372036854775807)"),
        (Type::Int64, Cell::Float(-9_223_372_036_854_775_808.0), "Int64(-9223372036854775808)"),
        (Type::Float64, Cell::Int(1 << 53), "Float64(9007199254740992.0)"),
        (Type::Float64, nan, "Float64(NaN)"),
        (Type::Float64, quoted("-Infinity"), "Float64(-inf)"),
        (Type::Float64, Cell::Written("-inf"), "Float64(-inf)"),
        (Type::Float32, Cell::Written("Infinity"), "Float32(inf)"),
        (Type::Float32, Cell::Float(0.1), "Float32(0.1)"),
        (Type::Float32, Cell::Written("1e2"), "Float32(100.0)"),
        (Type::Utf8, Cell::Text("NaN"), "Utf8(\"NaN\")"),
        (Type::Utf8, Cell::Written("7"), "Utf8(\"7\")"),
        (Type::Binary, Cell::Bytes(&[0, 255]), "Binary([0, 255])"),
        (Type::Binary, quoted("AP8="), "Binary([0, 255])"),
        (Type::Timestamp, Cell::Seconds(5), "Timestamp(5000000)"),
        (Type::Timestamp, Cell::Int(-1), "Timestamp(-1000000)"),
        (Type::Timestamp, Cell::Text(noon), "Timestamp(1769860800250000)"),
        (Type::Timestamp, quoted("2026-01-31T13:00:00+01:00"), "Timestamp(1769860800000000)"),
        (Type::Timestamp, Cell::Written("1769860800"), "Timestamp(1769860800000000)"),
        (Type::Timestamp, Cell::Seconds(i64::MIN), "Null"),
        (Type::Timestamp, Cell::Int(i64::MIN), "Null"),
        (Type::Timestamp, Cell::Float(i64::MIN as f64), "Null"),
        (Type::Timestamp, quoted("NaT"), "Null"),
        (Type::Timestamp, Cell::Written("NaT"), "Null"),
        (Type::Utf8, quoted("NaT"), "Utf8(\"NaT\")"),
        (Type::Timestamp, Cell::Written("-9223372036854775808"), "Null"),
        (Type::Int64, Cell::Int(i64::MIN), "Int64(-9223372036854775808)"),
        (Type::Embedding(2), Cell::Doubles(&[1.0, 0.5]), "Embedding([1.0, 0.5])"),
        (Type::ListInt64, Cell::Int32s(&[1, -2]), "ListInt64([1, -2])"),
        (Type::ListInt64, Cell::Bools(&[true, false]), "ListInt64([1, 0])"),
        (Type::ListInt64, list(&[Cell::Bool(true)]), "ListInt64([1])"),
        (Type::ListFloat64, list(&[Cell::Int(1), Cell::Float(0.5)]), "ListFloat64([1.0, 0.5])"),
        (Type::ListFloat64, list(&[]), "ListFloat64([])"),
        (Type::ListUtf8, list(&[quoted("a"), quoted("b")]), "ListUtf8([\"a\", \"b\"])"),
        (Type::ListUtf8, Cell::Null, "Null"),
    ];
    for (ty, cell, expected) in cases {
        assert_eq!(taken(ty, &cell).as_deref(), Ok(expected), "{ty} from {cell:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_by_what_it_is() {
    let cases: Vec<(Type, Cell<'_>, &str)> = vec![
        (Type::Bool, Cell::Int(1), "an integer"),
        (Type::Int32, Cell::Int(1 << 31), "2147483648, which it can't hold"),
        (Type::Int64, Cell::Float(0.5), "0.5"),
        (Type::Int64, Cell::Float(9_223_372_036_854_775_808.0), "9223372036854776000"),
        (Type::Int64, Cell::Float(f64::NAN), "NaN"),
        (Type::Int64, quoted("7"), "a string"),
        (Type::Int64, Cell::Huge(u64::MAX), "18446744073709551615, which no integer type holds"),
        (Type::Int64, Cell::Written("7.5"), "the text \"7.5\""),
        (Type::Float64, Cell::Int((1 << 53) + 1), "which float64 doesn't hold exactly"),
        (Type::Float64, Cell::Bool(true), "a bool"),
        (Type::Float64, quoted("nan"), "a string"),
        (Type::Float32, Cell::Float(1e39), "beyond float32"),
        (Type::Float64, Cell::Written("1e400"), "the text \"1e400\", which is beyond float64"),
        (Type::Float32, Cell::Written("-1e400"), "the text \"-1e400\", which is beyond float64"),
        (Type::Float32, Cell::Written("1e39"), "beyond float32"),
        (Type::Float64, quoted("1e400"), "a string"),
        (Type::Timestamp, Cell::Int(i64::MIN + 1), "seconds since 1970"),
        (Type::Utf8, Cell::Bytes(b"a"), "bytes"),
        (Type::Utf8, Cell::Other("an object"), "an object"),
        (Type::Binary, Cell::Text("AP8="), "a string"),
        (Type::Binary, quoted("AP8"), "no base64"),
        (Type::Timestamp, quoted("yesterday"), "no time such as 2026"),
        (Type::Timestamp, Cell::Seconds(i64::MAX), "seconds since 1970"),
        (Type::Timestamp, Cell::Seconds(1 << 43), "year"),
        (Type::Embedding(3), Cell::Floats(&[1.0]), "1 elements"),
        (Type::ListInt64, Cell::Doubles(&[1.0]), "a list of floats"),
        (Type::ListFloat64, Cell::Bools(&[true]), "a list of bools"),
        (Type::ListInt64, Cell::List(vec![Cell::Null]), "a list with null in it"),
        (Type::ListUtf8, Cell::Written("[]"), "the text \"[]\""),
    ];
    for (ty, cell, expected) in cases {
        let came = refused(ty, &cell);
        assert!(came.contains(expected), "{ty} from {cell:?}: expected `{expected}` in `{came}`");
    }
}

#[test]
fn a_key_is_also_taken_from_a_string_that_is_exactly_its_integer() {
    let came = |ty, cell: &Cell<'_>| {
        let mut column = Column::new(ty);
        append_key(cell, &mut column).map(|()| format!("{:?}", column.value(0)))
    };
    assert_eq!(came(Type::Int64, &quoted("-5")).as_deref(), Ok("Int64(-5)"));
    assert_eq!(came(Type::Int32, &quoted("2147483647")).as_deref(), Ok("Int32(2147483647)"));
    assert_eq!(came(Type::Int64, &Cell::Int(5)).as_deref(), Ok("Int64(5)"));
    assert_eq!(came(Type::Utf8, &quoted("5")).as_deref(), Ok("Utf8(\"5\")"));
    for other in ["05", "+5", " 5", "5.0", "", "9223372036854775808", "x"] {
        let refused = came(Type::Int64, &quoted(other)).expect_err(other);
        assert_eq!(refused, format!("the text {other:?}"));
    }
    assert!(
        came(Type::Int32, &quoted("2147483648")).is_err_and(|came| came.contains("can't hold"))
    );
    assert!(came(Type::Int64, &Cell::Text("5")).is_err(), "a string of protobuf is one");
}
