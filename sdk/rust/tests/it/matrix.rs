//! Every type a feature can have, plain and as `Option`, in and out: values at the edges come back with
//! their bits, nulls where they may, NaNs as the one NaN.

use skewless::{Column, Plugin, Type, Value};

/// A test of one type: a transform with a plain argument and result, and one with both as `Option`.
macro_rules! matrix {
    ($name:ident, $ty:expr, $in:ty, $out:ty, |$value:ident| $give:expr, $values:expr) => {
        mod $name {
            use super::*;

            mod plain {
                #[skewless::transform]
                fn gives_back($value: $in) -> $out {
                    $give
                }
            }

            mod nullable {
                #[skewless::transform]
                fn gives_back(value: Option<$in>) -> Option<$out> {
                    value.map(|$value: $in| $give)
                }
            }

            mod failing {
                #[skewless::transform]
                fn gives_back(value: Option<$in>) -> Result<Option<$out>, &'static str> {
                    Ok(value.map(|$value: $in| $give))
                }
            }

            #[test]
            fn comes_back_as_it_went() {
                let values: Vec<Value<'_>> = $values;
                check(&plain::PLUGIN, $ty, false, &values);
                check(&nullable::PLUGIN, $ty, true, &values);
                check(&failing::PLUGIN, $ty, true, &values);
            }
        }
    };
}

matrix!(bools, Type::Bool, bool, bool, |v| v, vec![Value::Bool(true), Value::Bool(false)]);
matrix!(
    int32s,
    Type::Int32,
    i32,
    i32,
    |v| v,
    [0, -1, i32::MIN, i32::MAX].map(Value::Int32).to_vec()
);
matrix!(
    int64s,
    Type::Int64,
    i64,
    i64,
    |v| v,
    [0, -1, i64::MIN, i64::MAX].map(Value::Int64).to_vec()
);
matrix!(float32s, Type::Float32, f32, f32, |v| v, FLOATS.map(Value::Float32).to_vec());
matrix!(float64s, Type::Float64, f64, f64, |v| v, DOUBLES.map(Value::Float64).to_vec());
matrix!(texts, Type::Utf8, &str, String, |v| v.to_owned(), TEXTS.map(Value::Utf8).to_vec());
matrix!(
    binaries,
    Type::Binary,
    &[u8],
    Vec<u8>,
    |v| v.to_vec(),
    [&[][..], &[0], &[255, 0, 128], &[7; 300]].map(Value::Binary).to_vec()
);
matrix!(
    timestamps,
    Type::Timestamp,
    skewless::Timestamp,
    skewless::Timestamp,
    |v| v,
    [0, -1, i64::MIN, i64::MAX].map(Value::Timestamp).to_vec()
);
matrix!(
    embeddings,
    Type::Embedding(3),
    [f32; 3],
    [f32; 3],
    |v| v,
    FLOATS.as_chunks::<3>().0.iter().map(|v| Value::Embedding(v.as_slice().into())).collect()
);
matrix!(
    embeddings_of_one,
    Type::Embedding(1),
    [f32; 1],
    [f32; 1],
    |v| v,
    FLOATS.as_chunks::<1>().0.iter().map(|v| Value::Embedding(v.as_slice().into())).collect()
);
matrix!(
    int64_lists,
    Type::ListInt64,
    skewless::Ints<'_>,
    Vec<i64>,
    |v| v.iter().collect(),
    WHOLES.map(|list| Value::ListInt64(list.into())).to_vec()
);
matrix!(
    owned_int64_lists,
    Type::ListInt64,
    Vec<i64>,
    Vec<i64>,
    |v| v,
    WHOLES.map(|list| Value::ListInt64(list.into())).to_vec()
);
matrix!(
    float64_lists,
    Type::ListFloat64,
    skewless::Doubles<'_>,
    Vec<f64>,
    |v| v.iter().collect(),
    [&[][..], &[0.0], &DOUBLES].map(|list| Value::ListFloat64(list.into())).to_vec()
);
matrix!(
    owned_float64_lists,
    Type::ListFloat64,
    Vec<f64>,
    Vec<f64>,
    |v| v,
    [&[][..], &[0.0], &DOUBLES].map(|list| Value::ListFloat64(list.into())).to_vec()
);
matrix!(
    text_lists,
    Type::ListUtf8,
    skewless::Strings<'_>,
    Vec<String>,
    |v| v.iter().map(str::to_owned).collect(),
    [&[][..], &[""], &TEXTS].map(|list| Value::ListUtf8(list.into())).to_vec()
);
matrix!(
    owned_text_lists,
    Type::ListUtf8,
    Vec<&str>,
    Vec<String>,
    |v| v.into_iter().map(str::to_owned).collect(),
    [&[][..], &[""], &TEXTS].map(|list| Value::ListUtf8(list.into())).to_vec()
);

/// The other form of a text that a transform can give.
mod static_texts {
    use super::*;

    #[skewless::transform]
    fn sign(x: i32) -> Option<&'static str> {
        ["", "żółć"].get(usize::try_from(x).ok()?).copied()
    }

    #[test]
    fn a_static_text_is_a_utf8() {
        let mut given = Column::new(Type::Int32);
        [0, 1, -1].into_iter().for_each(|x| given.push_i32(x));
        let ran = PLUGIN.run_native(3, &[given.view()]).expect("a run");
        let came: Vec<Value<'_>> = (0..3).map(|row| ran.columns[0].value(row)).collect();
        assert_eq!(came, [Value::Utf8(""), Value::Utf8("żółć"), Value::Null]);
    }
}

#[test]
fn a_nan_is_made_the_one_nan_on_the_way_in_and_out() {
    mod bits {
        /// Shows the bits that came in, and gives a NaN of its own.
        #[derive(skewless::Outputs)]
        pub(super) struct Bits {
            seen: i64,
            given: f64,
        }

        #[skewless::transform]
        fn bits(x: f64) -> Bits {
            Bits { seen: x.to_bits() as i64, given: f64::from_bits(0xfff4_0000_0000_0001) }
        }
    }
    let mut given = Column::new(Type::Float64);
    given.push_f64(f64::from_bits(0x7ff0_0000_0000_0001));
    let ran = bits::PLUGIN.run_native(1, &[given.view()]).expect("a run");
    assert_eq!(ran.columns[0].value(0), Value::Int64(0x7ff8_0000_0000_0000));
    assert_eq!(ran.columns[1].value(0), Value::Float64(f64::from_bits(0x7ff8_0000_0000_0000)));
}

const FLOATS: [f32; 12] = [
    0.0,
    -0.0,
    1.0,
    0.1,
    f32::NAN,
    f32::from_bits(0xff80_0001),
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::MIN,
    f32::MAX,
    f32::MIN_POSITIVE,
    f32::from_bits(1),
];
const DOUBLES: [f64; 12] = [
    0.0,
    -0.0,
    1.0,
    0.1,
    f64::NAN,
    f64::from_bits(0xfff0_0000_0000_0001),
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MIN,
    f64::MAX,
    f64::MIN_POSITIVE,
    f64::from_bits(1),
];
const TEXTS: [&str; 5] = ["", "a", "a\0b\n\"", "żółć", "🛫日本"];
const WHOLES: [&[i64]; 4] = [&[], &[0], &[i64::MIN, -1, i64::MAX], &[7; 100]];

/// Runs values with nulls between them, as one batch and each row alone; they must come back.
fn check(plugin: &Plugin, ty: Type, nullable: bool, values: &[Value<'_>]) {
    let signature = plugin.signature();
    let (input, output) = (&signature.inputs[0], &signature.outputs[0]);
    assert_eq!((input.ty, input.nullable), (ty, nullable));
    assert_eq!((output.ty, output.nullable), (ty, nullable));
    let mut given = Column::new(ty);
    for value in values {
        given.push(Value::Null).expect("a null");
        given.push(*value).expect("a value of the type");
    }
    let mut expected = Column::new(ty);
    (0..given.len()).for_each(|row| expected.push_from(&given.view(), row));
    expected.canonicalize_nans();
    run(plugin, &given, &expected);
    run(plugin, &Column::new(ty), &Column::new(ty));
    for row in 0..given.len() {
        let (mut one, mut back) = (Column::new(ty), Column::new(ty));
        one.push_from(&given.view(), row);
        back.push_from(&expected.view(), row);
        run(plugin, &one, &back);
    }
}

fn run(plugin: &Plugin, given: &Column, expected: &Column) {
    let ran = plugin.run_native(given.len(), &[given.view()]).expect("a run");
    assert!(ran.errors.iter().all(Option::is_none), "{:?}", ran.errors);
    assert_eq!((ran.columns.len(), ran.columns[0].len()), (1, given.len()));
    for row in 0..given.len() {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let (came, expected) = (ran.columns[0].value(row), expected.value(row));
        came.canonical_bytes(&mut here);
        expected.canonical_bytes(&mut there);
        assert_eq!(here, there, "row {row}: {came:?}, expected {expected:?}");
    }
}
