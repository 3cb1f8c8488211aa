//! A function of one row: the null rule, rows that fail, rows without a result, and inputs that are not
//! the signature's.

use skewless::{Column, Plugin, Ran, RunError, Type, Value};

fn int64s(values: &[Option<i64>]) -> Column {
    let mut column = Column::new(Type::Int64);
    for value in values {
        match value {
            Some(value) => column.push_i64(*value),
            None => column.push_null(),
        }
    }
    column
}

fn run(plugin: &Plugin, columns: &[Column]) -> Ran {
    let views: Vec<_> = columns.iter().map(Column::view).collect();
    plugin.run_native(columns[0].len(), &views).expect("a run")
}

fn values(column: &Column) -> Vec<Value<'_>> {
    (0..column.len()).map(|row| column.value(row)).collect()
}

mod null_rule {
    use super::*;

    #[skewless::transform]
    fn checked(a: i64, b: Option<i64>) -> i64 {
        // A null's slot holds zero: this would see a call with it.
        assert!(a != 0, "called with a null");
        a + b.unwrap_or(100)
    }

    #[test]
    fn a_null_in_a_plain_argument_makes_the_row_null_without_a_call() {
        let (a, b) = ([Some(1), None, Some(2), None], [Some(1), Some(1), None, None]);
        let ran = run(&PLUGIN, &[int64s(&a), int64s(&b)]);
        let expected = [Value::Int64(2), Value::Null, Value::Int64(102), Value::Null];
        assert_eq!(values(&ran.columns[0]), expected);
        assert_eq!(ran.errors, [const { None }; 4]);
    }
}

mod failing {
    use super::*;

    /// Two results.
    #[derive(skewless::Outputs)]
    struct Parts {
        half: i64,
        odd: Option<bool>,
    }

    #[skewless::transform]
    fn parts(x: i64) -> Result<Parts, String> {
        match x {
            ..0 => Err(format!("expected 0 or more, came {x}")),
            _ => Ok(Parts { half: x / 2, odd: (x > 0).then_some(x % 2 == 1) }),
        }
    }

    #[test]
    fn a_row_that_fails_has_its_message_and_nulls_and_the_others_are_computed() {
        let ran = run(&PLUGIN, &[int64s(&[Some(5), Some(-1), None, Some(0), Some(-2)])]);
        let expected = [Value::Int64(2), Value::Null, Value::Null, Value::Int64(0), Value::Null];
        assert_eq!(values(&ran.columns[0]), expected);
        let expected = [Value::Bool(true), Value::Null, Value::Null, Value::Null, Value::Null];
        assert_eq!(values(&ran.columns[1]), expected);
        let errors: Vec<_> = ran.errors.iter().map(Option::as_deref).collect();
        let (one, two) = ("expected 0 or more, came -1", "expected 0 or more, came -2");
        assert_eq!(errors, [None, Some(one), None, None, Some(two)]);
    }
}

mod result_of_option {
    use super::*;

    #[skewless::transform(output = "root", unit = "m")]
    fn root(x: Option<i64>) -> Result<Option<i64>, &'static str> {
        match x {
            Some(..0) => Err("negative"),
            Some(0) | None => Ok(None),
            Some(x) => Ok(Some(x.isqrt())),
        }
    }

    #[test]
    fn a_result_of_an_option_may_fail_be_null_or_be_there() {
        let ran = run(&PLUGIN, &[int64s(&[Some(9), Some(0), None, Some(-9)])]);
        let expected = [Value::Int64(3), Value::Null, Value::Null, Value::Null];
        assert_eq!(values(&ran.columns[0]), expected);
        let errors: Vec<_> = ran.errors.iter().map(Option::as_deref).collect();
        assert_eq!(errors, [None, None, None, Some("negative")]);
        let signature = PLUGIN.signature();
        let output = &signature.outputs[0];
        assert_eq!((&*output.name, &*output.unit, output.nullable), ("root", "m", true));
    }
}

mod option_of_struct {
    use super::*;

    /// Two results.
    #[derive(skewless::Outputs)]
    struct Pair {
        one: i64,
        two: bool,
    }

    #[skewless::transform]
    fn pair(x: i64) -> Option<Pair> {
        (x > 0).then_some(Pair { one: x, two: true })
    }

    #[test]
    fn no_struct_is_a_row_of_nulls_and_the_signature_says_that_all_may_be() {
        let ran = run(&PLUGIN, &[int64s(&[Some(1), Some(-1)])]);
        assert_eq!(values(&ran.columns[0]), [Value::Int64(1), Value::Null]);
        assert_eq!(values(&ran.columns[1]), [Value::Bool(true), Value::Null]);
        assert!(PLUGIN.signature().outputs.iter().all(|output| output.nullable));
        assert_eq!(ran.errors, [None, None]);
    }
}

mod raw_names {
    #[skewless::transform(name = "kind-of", output = "type")]
    fn r#fn(r#type: i64) -> i64 {
        r#type
    }

    #[test]
    fn names_that_are_words_of_the_language_lose_their_mark() {
        let signature = PLUGIN.signature();
        assert_eq!(signature.name, "kind-of");
        assert_eq!((&*signature.inputs[0].name, &*signature.outputs[0].name), ("type", "type"));
    }
}

#[test]
fn columns_that_are_not_the_signatures_are_refused() {
    let one = int64s(&[Some(1)]);
    let mut text = Column::new(Type::Utf8);
    text.push_utf8("a");
    let plugin = &null_rule::PLUGIN;
    for columns in [vec![one.view()], vec![one.view(), text.view()], vec![one.view(); 3]] {
        let refused = plugin.run_native(1, &columns).expect_err("other columns");
        assert!(matches!(refused, RunError::Columns { .. }), "{refused}");
    }
    let shown = plugin.run_native(1, &[one.view(), text.view()]).expect_err("other columns");
    assert_eq!(shown.to_string(), "expected columns (int64, int64), came (int64, utf8)");
    let two = int64s(&[Some(1), Some(2)]);
    let refused = plugin.run_native(1, &[one.view(), two.view()]).expect_err("other lengths");
    assert!(matches!(refused, RunError::Input(_)), "{refused}");
}

#[test]
fn a_batch_without_rows_gives_columns_without_rows() {
    let ran = run(&failing::PLUGIN, &[int64s(&[])]);
    assert!(ran.columns.len() == 2 && ran.columns.iter().all(Column::is_empty));
    assert!(ran.errors.is_empty());
}
