//! A story: definitions, what arrived when, and who asks for which entities at which time. Made up
//! from a seed here, or read from a scenario file (`scenario.rs`); told online and offline elsewhere.
//!
//! A generated story has one view and one transform per plugin, so every input type that a plugin has
//! is stored, sent and computed; and a second transform per plugin that feeds on the others' outputs.

use std::fmt::Write as _;

use skewless_batch::signature::Signature;
use skewless_batch::{Column, Type};

use crate::random::Random;

/// A column and its name.
pub type Named = (String, Column);

/// A plugin as the story's feature repo holds it.
#[derive(Clone)]
pub struct PluginFile {
    /// File name within the repo, without folder.
    pub file: String,
    /// The file.
    pub wasm: Vec<u8>,
    /// What it needs and gives.
    pub signature: Signature,
}

/// Definitions, history and questions.
pub struct Story {
    /// What to print when it fails: a seed or a file name.
    pub name: String,
    /// The definitions (YAML); view `v`'s source is `data/v/*.parquet`.
    pub definitions: String,
    /// The plugins they name, in `plugins/`.
    pub plugins: Vec<PluginFile>,
    /// What happened, a history per view.
    pub histories: Vec<History>,
    /// Who asks what when.
    pub asks: Asks,
    /// The feature service that is asked.
    pub service: String,
}

/// Rows of one view in order of arrival, which is the order of their known times.
pub struct History {
    /// The view's name.
    pub view: String,
    /// Key columns.
    pub keys: Vec<Named>,
    /// Event times, microseconds UTC.
    pub event_us: Vec<i64>,
    /// Known times, microseconds UTC; never decreasing.
    pub known_us: Vec<i64>,
    /// Which rows are tombstones.
    pub deleted: Vec<bool>,
    /// Feature columns.
    pub features: Vec<Named>,
}

/// Questions in order of time.
#[derive(Default)]
pub struct Asks {
    /// The time of each question, microseconds UTC; never decreasing.
    pub t_us: Vec<i64>,
    /// Join-key columns.
    pub keys: Vec<Named>,
    /// Request columns.
    pub request: Vec<Named>,
}

/// How large a generated story is.
#[derive(Clone, Copy)]
pub struct Size {
    /// Rows of each view.
    pub rows: usize,
    /// Different times at which questions are asked.
    pub times: usize,
    /// Questions at each time.
    pub asks: usize,
}

const START_US: i64 = 1_356_998_400_000_000; // 2013-01-01T00:00:00Z
const SECOND_US: i64 = 1_000_000;
const WINDOW_S: u64 = 6 * 3600;

/// The kinds of entities that views are about, in turn: key names and types.
const ENTITIES: [(&str, &[(&str, Type)]); 4] = [
    ("driver", &[("driver_id", Type::Int64)]),
    ("place", &[("place_code", Type::Utf8)]),
    ("cell", &[("city", Type::Utf8), ("cell_no", Type::Int32)]),
    ("thing", &[("thing_bytes", Type::Binary), ("thing_flag", Type::Bool)]),
];

/// The rules that views have, in turn.
const RULES: [&str; 5] = [
    "ttl: 20m",
    "boundary: exclusive",
    "ttl: 1h, lag: 5s",
    "boundary: exclusive, ttl: 10m, lag: 90s",
    "boundary: inclusive",
];
const POLICIES: [&str; 3] = ["reset", "reused, require_certificate: false", "fresh"];

/// How many entities of each kind have rows; questions are asked about more.
const ENTITIES_WITH_ROWS: u64 = 24;

impl Story {
    /// The story of a seed. The same seed, plugins and size give the same story.
    #[must_use]
    pub fn generate(seed: u64, plugins: &[PluginFile], size: Size) -> Story {
        let mut random = Random::new(seed);
        let histories: Vec<History> = plugins
            .iter()
            .enumerate()
            .map(|(number, plugin)| history(&mut random, number, plugin, size.rows))
            .collect();
        let asks = asks(&mut random, plugins, &histories, size);
        Story {
            name: format!("seed {seed}"),
            definitions: definitions(plugins),
            plugins: plugins.to_vec(),
            histories,
            asks,
            service: "everything".to_owned(),
        }
    }
}

/// The inputs of a plugin that its view stores; the others come with the request.
fn stored(plugin: &PluginFile) -> impl Iterator<Item = (usize, &str, Type)> {
    inputs(plugin).filter(|(index, _, _)| index % 3 != 2)
}

fn requested(plugin: &PluginFile) -> impl Iterator<Item = (usize, &str, Type)> {
    inputs(plugin).filter(|(index, _, _)| index % 3 == 2)
}

fn inputs(plugin: &PluginFile) -> impl Iterator<Item = (usize, &str, Type)> {
    let inputs = plugin.signature.inputs.iter().enumerate();
    inputs.map(|(index, field)| (index, field.name.as_str(), field.ty))
}

fn definitions(plugins: &[PluginFile]) -> String {
    let mut yaml = String::from("entities:\n");
    for (entity, keys) in ENTITIES {
        let columns: Vec<String> =
            keys.iter().map(|(name, ty)| format!("{{name: {name}, type: {ty}}}")).collect();
        let other: Vec<String> = keys.iter().map(|(name, _)| format!("other_{name}")).collect();
        let _ = writeln!(
            yaml,
            "  - name: {entity}\n    keys: [{}]\n    roles: [{{name: other, keys: [{}]}}]",
            columns.join(", "),
            other.join(", ")
        );
    }
    let mut views = String::from("views:\n");
    let mut requests = String::new();
    let mut transforms = String::from("transforms:\n");
    let mut wanted = String::from("services:\n  - name: everything\n    features:\n");
    // The stored features alone: a service without a transform.
    let mut stored_only = String::from("  - name: stored\n    features:\n");
    // What later transforms may feed on: (reference, type).
    let mut made: Vec<(String, Type)> = Vec::new();
    for (number, plugin) in plugins.iter().enumerate() {
        let name = &plugin.signature.name;
        let (entity, _) = ENTITIES[number % ENTITIES.len()];
        let _ = writeln!(
            views,
            "  - {{name: in_{name}, entity: {entity}, {}, source: {{path: data/in_{name}/*.parquet, \
             event_timestamp: happened, created_timestamp: arrived, deleted: gone}}, features: [{}]}}",
            RULES[number % RULES.len()],
            stored(plugin)
                .map(|(_, input, ty)| format!("{{name: {input}, type: \"{ty}\"}}"))
                .collect::<Vec<_>>()
                .join(", "),
        );
        // Every other view is asked under the entity's other role as well.
        let role = if number % 2 == 1 { "[other]" } else { "" };
        let mut bindings = Vec::new();
        let mut chained = Vec::new();
        for (index, input, ty) in inputs(plugin) {
            let from = if index % 3 == 2 {
                let _ = writeln!(
                    requests,
                    "  - {{name: {name}_{input}, type: \"{ty}\", nullable: true}}"
                );
                let _ = writeln!(wanted, "      - request.{name}_{input}");
                format!("request.{name}_{input}")
            } else {
                for service in [&mut wanted, &mut stored_only] {
                    let _ = writeln!(service, "      - in_{name}{role}.{input}");
                }
                format!("in_{name}{role}.{input}")
            };
            let of_type: Vec<&String> =
                made.iter().filter(|(_, made)| *made == ty).map(|(made, _)| made).collect();
            let fed = match of_type.len() {
                0 => from.clone(),
                some => of_type[(index * 7 + number) % some].clone(),
            };
            bindings.push(format!("{input}: \"{from}\""));
            chained.push(format!("{input}: \"{fed}\""));
        }
        for (transform, inputs, policy) in
            [(name.clone(), bindings, number), (format!("fed_{name}"), chained, number + 1)]
        {
            let _ = writeln!(
                transforms,
                "  - {{name: {transform}, plugin: plugins/{}, instance: {}, inputs: {{{}}}}}",
                plugin.file,
                POLICIES[policy % POLICIES.len()],
                inputs.join(", "),
            );
            for output in &plugin.signature.outputs {
                let _ = writeln!(wanted, "      - {transform}.{}", output.name);
                made.push((format!("{transform}.{}", output.name), output.ty));
            }
        }
    }
    if !requests.is_empty() {
        requests.insert_str(0, "requests:\n");
    }
    format!("{yaml}{views}{requests}{transforms}{wanted}{stored_only}")
}

fn history(random: &mut Random, number: usize, plugin: &PluginFile, rows: usize) -> History {
    // Whole minutes for events and tens of seconds for arrivals make ties common.
    let mut arrivals: Vec<i64> =
        (0..rows).map(|_| START_US + random.below(WINDOW_S / 10) as i64 * 10 * SECOND_US).collect();
    arrivals.sort_unstable();
    let (_, keys) = ENTITIES[number % ENTITIES.len()];
    let empty = |(name, ty): (&str, Type)| (name.to_owned(), Column::new(ty));
    let mut history = History {
        view: format!("in_{}", plugin.signature.name),
        keys: keys.iter().copied().map(empty).collect(),
        event_us: Vec::with_capacity(rows),
        known_us: Vec::with_capacity(rows),
        deleted: Vec::with_capacity(rows),
        features: stored(plugin).map(|(_, name, ty)| empty((name, ty))).collect(),
    };
    for known_us in arrivals {
        let again = !history.event_us.is_empty() && random.one_in(15);
        if again {
            // The very same row once more, or a correction of it.
            let row = random.below(history.event_us.len() as u64) as usize;
            let correction = random.one_in(2);
            for (_, column) in &mut history.keys {
                repeat(column, row);
            }
            for (_, column) in &mut history.features {
                if correction { random.push(column, 6) } else { repeat(column, row) }
            }
            history.event_us.push(history.event_us[row]);
        } else {
            push_entity(random, &mut history.keys, ENTITIES_WITH_ROWS);
            for (_, column) in &mut history.features {
                random.push(column, 6);
            }
            let minute = 60 * SECOND_US;
            let on_time = known_us - known_us.rem_euclid(minute);
            let event_us = match random.below(10) {
                0 => on_time + random.below(15) as i64 * minute, // known before it happens
                1 | 2 => on_time - random.below(120) as i64 * minute, // late
                3 => known_us,
                _ => on_time - random.below(10) as i64 * minute,
            };
            history.event_us.push(event_us);
        }
        history.known_us.push(known_us);
        history.deleted.push(random.one_in(25));
    }
    history
}

fn repeat(column: &mut Column, row: usize) {
    let copy = column.clone();
    column.push_from(&copy.view(), row);
}

/// Pushes the key of one of the first `among` entities of a kind.
fn push_entity(random: &mut Random, keys: &mut [Named], among: u64) {
    let number = random.below(among);
    for (index, (_, column)) in keys.iter_mut().enumerate() {
        match column.ty() {
            Type::Int64 => column.push_i64(number as i64 - 3),
            Type::Int32 => column.push_i32((number % 5) as i32 - 2),
            Type::Utf8 if number == 0 => column.push_utf8(""),
            Type::Utf8 => column.push_utf8(&format!("k{}\u{0}ż", number / (1 + index as u64))),
            Type::Binary => column.push_binary(&vec![0xff; (number / 2) as usize]),
            Type::Bool => column.push_bool(number.is_multiple_of(2)),
            other => unreachable!("{other} is no type of a key"),
        }
    }
}

fn asks(random: &mut Random, plugins: &[PluginFile], histories: &[History], size: Size) -> Asks {
    let mut times: Vec<i64> = (0..size.times).map(|_| interesting(random, histories)).collect();
    times.sort_unstable();
    let mut asks = Asks::default();
    for (number, (_, keys)) in ENTITIES.iter().enumerate().take(plugins.len()) {
        // The roles that some view of this kind is asked under; see `definitions`.
        let asked = |role: usize| {
            (0..plugins.len()).any(|view| view % ENTITIES.len() == number && view % 2 == role)
        };
        for (role, prefix) in [(0, ""), (1, "other_")] {
            if asked(role) {
                asks.keys.extend(
                    keys.iter().map(|(name, ty)| (format!("{prefix}{name}"), Column::new(*ty))),
                );
            }
        }
    }
    for plugin in plugins {
        asks.request.extend(
            requested(plugin).map(|(_, input, ty)| {
                (format!("{}_{input}", plugin.signature.name), Column::new(ty))
            }),
        );
    }
    for t_us in times {
        for _ in 0..size.asks {
            asks.t_us.push(t_us);
            push_keys(random, &mut asks.keys);
            for (_, column) in &mut asks.request {
                random.push(column, 8);
            }
        }
    }
    asks
}

/// Keys for one question: an entity per kind and role, sometimes unknown, sometimes null.
fn push_keys(random: &mut Random, keys: &mut [Named]) {
    let mut at = 0;
    while at < keys.len() {
        let plain = |name: &str| name.trim_start_matches("other_").to_owned();
        let kind = ENTITIES.iter().find(|(_, names)| names[0].0 == plain(&keys[at].0));
        let width = kind.map_or(1, |(_, names)| names.len());
        let group = &mut keys[at..at + width];
        if random.one_in(30) {
            let null = random.below(width as u64) as usize;
            for (index, (_, column)) in group.iter_mut().enumerate() {
                if index == null { column.push_null() } else { random.push(column, 0) }
            }
        } else {
            push_entity(random, group, ENTITIES_WITH_ROWS + 4);
        }
        at += width;
    }
}

/// A time at which the answer changes, or the microsecond before or after, or any other.
fn interesting(random: &mut Random, histories: &[History]) -> i64 {
    let history = random.pick(histories);
    let row = random.below(history.event_us.len() as u64) as usize;
    let edges_s = [0, 5, 90, 600, 1200, 3600];
    let edge = match random.below(3) {
        0 => START_US + random.below(WINDOW_S * 1_000_000) as i64,
        1 => history.event_us[row] + random.pick(&edges_s) * SECOND_US,
        _ => history.known_us[row] + random.pick(&edges_s) * SECOND_US,
    };
    edge + random.below(3) as i64 - 1
}
