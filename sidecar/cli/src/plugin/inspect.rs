//! `skewless plugin inspect`: what a plugin file says about itself; runs none of it.

use std::path::PathBuf;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value as Json, json};
use skewless_batch::Field;
use skewless_engine::inspect::Producer;
use skewless_engine::{Lane, PluginFacts};

use crate::exit::Outcome;
use crate::output::say;
use crate::settings::{self, Settings};
use crate::show;

/// Show what a plugin needs and gives
///
/// Checks the file as a sidecar would on loading and prints its digest, inputs and outputs, its exports and memory, and the
/// compiler and SDK it was made with. Runs none of it. Limits are those of the sidecar's configuration.
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:\n  skewless plugin inspect plugins/great_circle.wasm")]
pub(crate) struct Args {
    /// The .wasm file
    plugin: PathBuf,
    /// JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let limits = settings::read(&args.settings, [])?.engine;
    let wasm = super::read(&args.plugin)?;
    let facts = skewless_engine::inspect(&wasm, &limits)
        .map_err(|error| super::refused(&args.plugin, error))?;
    if args.json {
        say!("{:#}", to_json(&facts))
    } else {
        say!("{}", show::lines(&to_text(&facts)))
    }
}

fn lane(facts: &PluginFacts) -> &'static str {
    match facts.lane {
        Lane::Core => "core",
        Lane::Component => "component",
    }
}

fn to_text(facts: &PluginFacts) -> String {
    let signature = &facts.signature;
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    let sides = [("input", &signature.inputs), ("output", &signature.outputs)];
    for (side, field) in
        sides.iter().flat_map(|(side, fields)| fields.iter().map(move |f| (side, f)))
    {
        let ty = format!("{}{}", field.ty, if field.nullable { "?" } else { "" });
        table.add_row([*side, &field.name, &ty, &field.unit, &field.doc]);
    }
    format!(
        "{} {} ({} lane, ABI {}, {} bytes)\nsha256:{}\n{}\n\n{table}\n\n{}",
        signature.name,
        signature.version,
        lane(facts),
        signature.abi,
        show::thousands(facts.bytes as u64),
        facts.digest,
        signature.doc,
        file_to_text(facts),
    )
}

/// What the file is, apart from what it computes.
fn file_to_text(facts: &PluginFacts) -> Table {
    let bytes = |bytes| format!("{} bytes", show::thousands(bytes));
    let grows = facts.memory_bytes_max.map_or_else(|| "what it is let".to_owned(), bytes);
    let memory = format!("{}, may grow to {grows}", bytes(facts.memory_bytes_min));
    let reset = match facts.state.restorable() {
        _ if facts.lane == Lane::Component => "a new instance a call",
        true => "its memory is restored after a call",
        false => "a new instance a call, as it changes tables, segments or references",
    };
    let made_with: Vec<String> = facts.producers.iter().map(made_with).collect();
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.add_row(["imports", "none"]);
    table.add_row(["exports", &facts.exports.join(", ")]);
    table.add_row(["memory", &memory]);
    table.add_row(["reset", reset]);
    let made_with = if made_with.is_empty() { "not told".to_owned() } else { made_with.join(", ") };
    table.add_row(["made with", &made_with]);
    table
}

fn made_with(producer: &Producer) -> String {
    format!("{} {}", producer.name, producer.version).trim_end().to_owned()
}

fn producer(producer: &Producer) -> Json {
    json!({ "field": producer.field, "name": producer.name, "version": producer.version })
}

fn to_json(facts: &PluginFacts) -> Json {
    let fields = |fields: &[Field]| {
        let field = |field: &Field| {
            json!({
                "name": field.name, "type": field.ty.to_string(), "nullable": field.nullable,
                "doc": field.doc, "unit": field.unit,
            })
        };
        fields.iter().map(field).collect::<Vec<_>>()
    };
    json!({
        "digest": facts.digest.to_string(),
        "lane": lane(facts),
        "abi": facts.signature.abi,
        "name": facts.signature.name,
        "version": facts.signature.version,
        "doc": facts.signature.doc,
        "bytes": facts.bytes,
        "functions": facts.functions,
        "memory_bytes_min": facts.memory_bytes_min,
        "memory_bytes_max": facts.memory_bytes_max,
        // A plugin with imports isn't one.
        "imports": [],
        "exports": facts.exports,
        "producers": facts.producers.iter().map(producer).collect::<Vec<_>>(),
        "inputs": fields(&facts.signature.inputs),
        "outputs": fields(&facts.signature.outputs),
    })
}
