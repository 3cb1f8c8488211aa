//! Backfills of random histories against a slow, obvious oracle that shares no code with them: late,
//! duplicate, tied, null, expired and deleted rows, unknown entities, many files, any options.

use skewless_batch::Value;
use skewless_catalog::Status;
use skewless_offline::BackfillOptions;

use crate::world::{Dice, LAG, NO_TIME, PairRow, PlaceRow, S, SpineRow, TTL, World};

const PLACES: [&str; 4] = ["ewr", "jfk", "\0", ""];

fn random_place(dice: &mut Dice) -> PlaceRow {
    let time = dice.roll(30) as i64 * S;
    let odd = [0.5, -0.0, f64::INFINITY, f64::from_bits(0x7ff8_0000_0000_1234), -7.25];
    PlaceRow {
        place: dice.pick(&PLACES).to_owned(),
        time,
        // Known late, at once, before it happened, or nobody knows when.
        created: (!dice.one_in(8))
            .then(|| time + dice.pick(&[0, 0, 0, S, 9 * S, -5 * S]) + dice.pick(&[0, 0, 1])),
        deleted: dice.pick(&[None, Some(false), Some(false), Some(false), Some(true)]),
        f: (!dice.one_in(5)).then(|| dice.pick(&odd)),
        s: (!dice.one_in(5)).then(|| format!("text {}", dice.roll(99))),
        e: (!dice.one_in(5)).then(|| [dice.roll(9) as f32, f32::NAN, -1.5]),
    }
}

fn random_pair(dice: &mut Dice) -> PairRow {
    PairRow {
        u: dice.pick(&[-1, 0, i64::MIN]),
        k: dice.pick(&["x", "xy"]).to_owned(),
        time: dice.roll(30) as i64 * S,
        n: (!dice.one_in(5)).then(|| dice.roll(1000) as i64),
        l: (!dice.one_in(5)).then(|| (0..dice.roll(3)).map(|i| format!("e{i}")).collect()),
    }
}

fn random_ask(dice: &mut Dice) -> SpineRow {
    let place = |dice: &mut Dice| {
        let known = dice.pick(&PLACES).to_owned();
        dice.pick(&[Some(known.clone()), Some(known), Some("nowhere".to_owned()), None])
    };
    SpineRow {
        place: place(dice),
        dest: place(dice),
        u: dice.pick(&[Some(-1), Some(0), Some(i64::MIN), Some(5), None]),
        k: dice.pick(&[Some("x".to_owned()), Some("xy".to_owned()), None]),
        t: if dice.one_in(20) {
            NO_TIME
        } else {
            dice.roll(45) as i64 * S + dice.pick(&[0, 0, 1, -1])
        },
        r: (!dice.one_in(4)).then(|| dice.roll(100) as f64),
        label: dice.roll(1000) as i32,
    }
}

fn known(row: &PlaceRow) -> i64 {
    row.created.unwrap_or(row.time)
}

/// What a place's row gives at a time: filter, sort, look.
fn look<'a>(
    rows: &'a [PlaceRow],
    place: &Option<String>,
    t: i64,
    as_known_now: bool,
) -> Result<&'a PlaceRow, Status> {
    let mut seen: Vec<(i64, i64, usize)> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| Some(&row.place) == place.as_ref())
        .filter(|(_, row)| row.time <= t && (as_known_now || known(row) + LAG <= t))
        .map(|(position, row)| (row.time, known(row), position))
        .collect();
    seen.sort();
    let (_, _, position) = seen.last().ok_or(Status::NotFound)?;
    let row = &rows[*position];
    if row.deleted == Some(true) {
        Err(Status::NotFound)
    } else if t - row.time > TTL {
        Err(Status::OutsideMaxAge)
    } else {
        Ok(row)
    }
}

fn look_pair<'a>(rows: &'a [PairRow], ask: &SpineRow) -> Result<&'a PairRow, Status> {
    let mut seen: Vec<(i64, usize)> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| Some(row.u) == ask.u && Some(&row.k) == ask.k.as_ref())
        .filter(|(_, row)| row.time < ask.t)
        .map(|(position, row)| (row.time, position))
        .collect();
    seen.sort();
    let (_, position) = seen.last().ok_or(Status::NotFound)?;
    Ok(&rows[*position])
}

/// What is compared of a value: status and bytes, every NaN the canonical one.
type Expected = (Status, Vec<u8>);

fn expected<'a, R>(
    row: &Result<&'a R, Status>,
    value: impl Fn(&'a R) -> Option<Vec<u8>>,
) -> Expected {
    match row {
        Err(status) => (*status, vec![0]),
        Ok(row) => match value(row) {
            None => (Status::NullValue, vec![0]),
            Some(bytes) => (Status::Present, bytes),
        },
    }
}

fn float(value: Option<f64>) -> Option<Vec<u8>> {
    let canonical = |value: f64| if value.is_nan() { f64::NAN } else { value };
    value.map(|value| [&[1][..], &canonical(value).to_le_bytes()].concat())
}

fn bytes(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    value.canonical_bytes(&mut out);
    out
}

fn counted(parts: usize, bytes: &[u8]) -> Vec<u8> {
    [&[1][..], &(parts as u32).to_le_bytes(), bytes].concat()
}

/// The row's features of service `all`, in its order.
fn expect(
    places: &[PlaceRow],
    pairs: &[PairRow],
    ask: &SpineRow,
    as_known_now: bool,
) -> Vec<Expected> {
    let a = look(places, &ask.place, ask.t, as_known_now);
    let dest = look(places, &ask.dest, ask.t, as_known_now);
    let b = look_pair(pairs, ask);
    let floats = |e: [f32; 3]| {
        let canonical = e.map(|x| if x.is_nan() { f32::NAN } else { x });
        counted(3, &canonical.map(f32::to_le_bytes).concat())
    };
    let texts = |l: &Vec<String>| {
        let part =
            |text: &String| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        counted(l.len(), &l.iter().flat_map(part).collect::<Vec<u8>>())
    };
    vec![
        expected(&a, |row| float(row.f)),
        expected(&a, |row| row.s.as_ref().map(|s| counted(s.len(), s.as_bytes()))),
        expected(&a, |row| row.e.map(floats)),
        expected(&dest, |row| float(row.f)),
        expected(&b, |row| row.n.map(|n| bytes(&Value::Int64(n)))),
        expected(&b, |row| row.l.as_ref().map(texts)),
        expected(&Ok(ask), |ask| float(ask.r)),
        // A transform sees every absent value as a null and gives it back as one.
        match expected(&a, |row| float(row.f)) {
            (Status::Present, bytes) => (Status::Present, bytes),
            _ => (Status::NullValue, vec![0]),
        },
    ]
}

fn in_files<T: Clone>(dice: &mut Dice, rows: &[T], files: usize) -> Vec<Vec<T>> {
    let mut cuts: Vec<usize> =
        (1..files).map(|_| dice.roll(rows.len() as u64 + 1) as usize).collect();
    cuts.extend([0, rows.len()]);
    cuts.sort();
    cuts.windows(2).map(|cut| rows[cut[0]..cut[1]].to_vec()).collect()
}

#[test]
fn every_answer_is_the_oracles_whatever_the_history_and_the_options() {
    let world = World::new();
    for seed in 0..60 {
        let dice = &mut Dice(seed);
        let places: Vec<PlaceRow> = (0..dice.roll(300)).map(|_| random_place(dice)).collect();
        let pairs: Vec<PairRow> = (0..dice.roll(200)).map(|_| random_pair(dice)).collect();
        let asks: Vec<SpineRow> = (0..dice.roll(400)).map(|_| random_ask(dice)).collect();
        for (file, rows) in in_files(dice, &places, 3).iter().enumerate() {
            world.places(&format!("a/{file}.parquet"), rows);
        }
        for (file, rows) in in_files(dice, &pairs, 2).iter().enumerate() {
            world.pairs(&format!("b{file}.parquet"), rows);
        }
        for (file, rows) in in_files(dice, &asks, 2).iter().enumerate() {
            world.spine(&format!("spine{file}.parquet"), rows);
        }
        let options = BackfillOptions {
            as_known_now: dice.one_in(3),
            chunk_rows: dice.pick(&[1, 7, 64, 8192]),
            workers: 1 + dice.roll(3) as usize,
            ..BackfillOptions::default()
        };
        let answers = world.answers("all", options.clone());
        assert_eq!(answers.rows, asks.len(), "seed {seed}");
        for (row, ask) in asks.iter().enumerate() {
            let expected = expect(&places, &pairs, ask, options.as_known_now);
            for (feature, expected) in answers.features.iter().zip(expected) {
                let status = feature.statuses.as_ref().unwrap()[row];
                let came = (status, bytes(&feature.column.value(row)));
                assert_eq!(came, expected, "seed {seed} row {row} {} {ask:?}", feature.name);
            }
        }
    }
}

#[test]
fn ties_go_to_the_later_known_then_to_the_later_position() {
    let world = World::empty();
    let row =
        |f, created| PlaceRow { created: Some(created), ..crate::world::place("p", 5 * S, f) };
    // Same event and known time in two files and twice in one: the last file's last row wins.
    world.places("a/0.parquet", &[row(1.0, 6 * S), row(9.0, 7 * S), row(2.0, 6 * S)]);
    world.places("a/1.parquet", &[row(3.0, 6 * S), row(4.0, 6 * S)]);
    world.spine("spine.parquet", &[crate::world::ask("p", 8 * S), crate::world::ask("p", 9 * S)]);
    let answers = world.answers("plain", BackfillOptions::default());
    let values: Vec<_> = (0..2).map(|row| answers.features[0].column.value(row)).collect();
    assert_eq!(values, [Value::Float64(4.0), Value::Float64(9.0)]);
}
