//! A function of whole columns: what it sees of nulls, what it may give, and that the rows are the same as
//! those of a function of one row.

use skewless::{Col, Column, RunError, Type, Value};

fn float64s(values: &[Option<f64>]) -> Column {
    let mut column = Column::new(Type::Float64);
    for value in values {
        match value {
            Some(value) => column.push_f64(*value),
            None => column.push_null(),
        }
    }
    column
}

fn values(column: &Column) -> Vec<Value<'_>> {
    (0..column.len()).map(|row| column.value(row)).collect()
}

mod sums {
    use super::*;

    #[skewless::transform(columns, output = "sum")]
    fn sums(a: Col<'_, f64>, b: Col<'_, Option<f64>>) -> Vec<f64> {
        assert_eq!(a.len(), b.len());
        let read = a.iter().map(|value| value.unwrap_or(0.0));
        // As one slice the nulls of a plain column are zeros.
        if let Some(all) = a.as_slice() {
            assert!(read.clone().eq(all.iter().copied()), "{all:?}");
        }
        read.zip(b.iter()).map(|(a, b)| a + b.flatten().unwrap_or(100.0)).collect()
    }

    #[test]
    fn rows_with_a_null_in_a_plain_column_are_null_whatever_was_given() {
        let (a, b) = ([Some(1.0), None, Some(2.0)], [Some(0.5), Some(0.5), None]);
        let ran = PLUGIN.run_native(3, &[float64s(&a).view(), float64s(&b).view()]).expect("a run");
        let expected = [Value::Float64(1.5), Value::Null, Value::Float64(102.0)];
        assert_eq!(values(&ran.columns[0]), expected);
        let signature = PLUGIN.signature();
        assert_eq!([false, true], [0, 1].map(|at| signature.inputs[at].nullable));
        assert_eq!((&*signature.outputs[0].name, signature.outputs[0].nullable), ("sum", false));
    }
}

mod failing {
    use super::*;

    #[skewless::transform(columns)]
    fn roots(x: Col<'_, f64>) -> Vec<Result<Option<f64>, String>> {
        x.iter()
            .map(|x| match x {
                Some(x) if x < 0.0 => Err(format!("negative: {x}")),
                Some(x) => Ok((x > 0.0).then(|| x.sqrt())),
                None => Err("a null's row is null, so nobody reads this".to_owned()),
            })
            .collect()
    }

    #[test]
    fn each_entry_may_fail_or_be_null() {
        let x = float64s(&[Some(4.0), Some(-1.0), None, Some(0.0)]);
        let ran = PLUGIN.run_native(4, &[x.view()]).expect("a run");
        let expected = [Value::Float64(2.0), Value::Null, Value::Null, Value::Null];
        assert_eq!(values(&ran.columns[0]), expected);
        let errors: Vec<_> = ran.errors.iter().map(Option::as_deref).collect();
        assert_eq!(errors, [None, Some("negative: -1"), None, None]);
    }
}

mod too_few {
    use super::*;

    #[skewless::transform(columns)]
    fn too_few(x: Col<'_, f64>) -> Vec<f64> {
        x.iter().flatten().collect()
    }

    #[test]
    fn as_many_entries_as_rows_are_expected() {
        let x = float64s(&[Some(4.0), None]);
        let refused = PLUGIN.run_native(2, &[x.view()]).expect_err("one entry for two rows");
        assert!(matches!(refused, RunError::Status(_)), "{refused}");
    }
}

mod slices {
    use super::*;

    #[skewless::transform(columns)]
    fn slices(a: Col<'_, i64>, b: Col<'_, f32>) -> Vec<f64> {
        let whole = (0..a.len()).map(|row| a.get(row).unwrap_or(0) as f64);
        if let Some(all) = a.as_slice() {
            assert_eq!(all.len(), a.view().len());
        }
        let single = (0..b.len()).map(|row| b.as_slice().map_or(0.5, |all| all[row]));
        whole.zip(single).map(|(a, b)| a + f64::from(b)).collect()
    }

    #[test]
    fn columns_of_numbers_are_slices_too() {
        let (mut a, mut b) = (Column::new(Type::Int64), Column::new(Type::Float32));
        [7, 8].into_iter().for_each(|value| a.push_i64(value));
        [0.5, 0.5].into_iter().for_each(|value| b.push_f32(value));
        let ran = PLUGIN.run_native(2, &[a.view(), b.view()]).expect("a run");
        assert_eq!(values(&ran.columns[0]), [Value::Float64(7.5), Value::Float64(8.5)]);
        let none = PLUGIN
            .run_native(0, &[Column::new(Type::Int64).view(), Column::new(Type::Float32).view()]);
        assert!(none.expect("a run").columns[0].is_empty());
    }
}

mod bools_and_embeddings {
    use super::*;

    #[skewless::transform(columns)]
    fn sums(flag: Col<'_, Option<bool>>, pair: Col<'_, [f32; 2]>) -> Vec<f64> {
        let one = |(flag, pair): (Option<Option<bool>>, Option<[f32; 2]>)| {
            let [a, b] = pair.unwrap_or_default();
            let flag = flag.flatten().map_or(0.5, |flag| f64::from(u8::from(flag)));
            f64::from(a) + 10.0 * f64::from(b) + 1_000.0 * flag
        };
        flag.iter().zip(pair.iter()).map(one).collect()
    }

    #[test]
    fn columns_of_bools_and_embeddings_are_read_by_row() {
        let (mut flags, mut pairs) = (Column::new(Type::Bool), Column::new(Type::Embedding(2)));
        let mut expected = Vec::new();
        for row in 0..19u8 {
            let (a, b) = (f32::from(row), f32::from(row % 3));
            let flag = (row % 5 != 0).then_some(row % 2 == 0);
            match flag {
                Some(flag) => flags.push_bool(flag),
                None => flags.push_null(),
            }
            if row % 7 == 6 {
                pairs.push_null();
                expected.push(Value::Null);
                continue;
            }
            pairs.push_embedding(&[a, b]);
            let flag = flag.map_or(0.5, |flag| f64::from(u8::from(flag)));
            expected.push(Value::Float64(f64::from(a) + 10.0 * f64::from(b) + 1_000.0 * flag));
        }
        let ran = PLUGIN.run_native(19, &[flags.view(), pairs.view()]).expect("a run");
        assert_eq!(values(&ran.columns[0]), expected);
    }
}
