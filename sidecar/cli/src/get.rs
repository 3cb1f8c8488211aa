//! `skewless get`: asks a running sidecar for feature vectors, for a person to read. Programs call the
//! gRPC service; this shows what they get.

use std::path::PathBuf;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value as Json, json};
use skewless_batch::{Column, Type};
use skewless_catalog::Status;
use skewless_proto::v1;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use skewless_proto::v1::feature_service_client::FeatureServiceClient;
use skewless_server::wire;
use tonic::transport::Channel;

use crate::client::{ANSWER_BYTES_MAX, Address, refused, refused_service};
use crate::exit::{Failure, Next, Outcome};
use crate::output::{complain, say};
use crate::{show, typed};

/// Ask a running sidecar for feature vectors
///
/// Entity keys are NAME=VALUE words; values of the request go with --request. Give a name several times
/// for several rows: a name given once holds for all of them. Which keys and request values a service needs, and
/// their types, is asked of the sidecar.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    /// Feature service
    service: String,
    /// Entity keys, such as `carrier=UA`
    #[arg(value_name = "NAME=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
    /// A value of the request, such as `flight=1545`; times as 2013-12-24T18:30:00Z, arrays as JSON
    #[arg(short, long = "request", value_name = "NAME=VALUE", value_parser = pair)]
    request: Vec<(String, String)>,
    /// A key or request value that is null in every row
    #[arg(long, value_name = "NAME")]
    null: Vec<String>,
    /// JSON with values, statuses, event times and provenance instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
    /// Refused: it is the sidecar that has a feature repo
    #[arg(long = "repo", value_name = "FOLDER", hide = true, value_parser = no_repo)]
    _repo: Option<PathBuf>,
}

const EXAMPLE: &str = "\
Example (with `skewless demo --serve` running):
  skewless get departure_delay carrier=UA tailnum=N14228 origin=EWR dest=IAH \\
      --request flight=1545 --request sched_dep_local=2013-12-30T17:15:00Z

An empty cell with NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE or TRANSFORM_FAILED beside it says why there is no value.";

/// What to do when the other side speaks otherwise than expected.
const VERSIONS: &str = "use a command and a sidecar of the same version";

fn no_repo(_: &str) -> Result<PathBuf, String> {
    Err("a running sidecar is asked, not a folder; leave --repo out, and say with --at which sidecar"
        .to_owned())
}

fn pair(word: &str) -> Result<(String, String), String> {
    let pair = word.split_once('=').ok_or_else(|| format!("expected NAME=VALUE, came `{word}`"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

pub(crate) fn run(args: &Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (answer, request, empty) = runtime.block_on(async {
        let channel = args.address.connect().await?;
        let described = describe(args, channel.clone()).await?;
        let request = question(args, &described)?;
        let mut client =
            FeatureServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let answer = client.get_features(request.clone()).await;
        let answer = answer.map_err(|status| refused(&args.address.at, &status))?.into_inner();
        let empty = without_rows(channel, &described, &answer).await;
        Ok::<_, Failure>((answer, request, empty))
    })?;
    for view in empty {
        complain!(
            "{view} holds no rows at all yet: bring some with `skewless load`, or ingest them"
        );
    }
    let columns = columns(&answer)?;
    if args.json {
        return say!("{:#}", to_json(&columns, &answer));
    }
    say!("{}", to_table(&columns, &answer, &request))?;
    for failure in &answer.failures {
        complain!("{} failed: {}", failure.transform, failure.message);
    }
    Ok(())
}

async fn describe(args: &Args, channel: Channel) -> Outcome<v1::ServiceDescription> {
    let of = v1::describe_request::Of::Service(args.service.clone());
    let mut client = AdminServiceClient::new(channel.clone());
    let answer = match client.describe(v1::DescribeRequest { of: Some(of) }).await {
        Ok(answer) => answer,
        Err(status) => return Err(refused_service(&args.address.at, &status, channel).await),
    };
    match answer.into_inner().described {
        Some(v1::describe_response::Described::Service(service)) => Ok(service),
        _ => Err(Failure::new("the sidecar described no service", VERSIONS)),
    }
}

/// Views of the service that hold nothing, if something wasn't found: an answer that looks like one.
async fn without_rows(
    channel: Channel,
    service: &v1::ServiceDescription,
    answer: &v1::GetFeaturesResponse,
) -> Vec<String> {
    let missing = |column: &v1::FeatureColumn| column.statuses.contains(&(Status::NotFound as u8));
    if !answer.columns.iter().any(missing) {
        return Vec::new();
    }
    // A hint only: if it can't be had, the answer stands for itself.
    let info = AdminServiceClient::new(channel).snapshot_info(v1::SnapshotInfoRequest {}).await;
    let views = info.map(|info| info.into_inner().views).unwrap_or_default();
    let read = |view: &v1::ViewInfo| {
        // A lookup under a role is written `view[role]`.
        let mut names = service.lookups.iter().map(|lookup| lookup.split('[').next());
        names.any(|name| name == Some(view.view.as_str()))
    };
    let empty = views.into_iter().filter(|view| !view.loaded && read(view));
    empty.map(|view| view.view).collect()
}

/// The request that the words mean.
fn question(args: &Args, service: &v1::ServiceDescription) -> Outcome<v1::GetFeaturesRequest> {
    let count =
        |name: &str, words: &[(String, String)]| words.iter().filter(|(n, _)| n == name).count();
    let rows = [&service.keys, &service.request]
        .into_iter()
        .flatten()
        .map(|field| count(&field.name, &args.keys).max(count(&field.name, &args.request)))
        .max()
        .unwrap_or(0)
        .max(1);
    known(args, service)?;
    let keys = service.keys.iter().map(|field| one_column(field, &args.keys, args, rows, ""));
    let request = service.request.iter().filter(|field| {
        let given = args.request.iter().any(|(name, _)| *name == field.name);
        given || !field.nullable || args.null.contains(&field.name)
    });
    let request = request.map(|field| one_column(field, &args.request, args, rows, "--request "));
    Ok(v1::GetFeaturesRequest {
        wanted: Some(v1::get_features_request::Wanted::Service(args.service.clone())),
        keys: keys.collect::<Outcome<_>>()?,
        request: request.collect::<Outcome<_>>()?,
        event_times: true,
        timings: true,
        ..Default::default()
    })
}

/// Refuses names that the service doesn't ask for.
fn known(args: &Args, service: &v1::ServiceDescription) -> Outcome {
    let (keys, request) = (&service.keys, &service.request);
    let has =
        |fields: &[v1::Field], name: &str| fields.iter().any(|field| field.name.as_str() == name);
    let all = |fields: &[v1::Field], what: &str| {
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        match names.is_empty() {
            true => format!("it has no {what}"),
            false => format!("its {what} are: {}", names.join(", ")),
        }
    };
    let expected = |kind: &str, name: &str, next: String| {
        let message = format!("expected {kind} of {}, came `{name}`", args.service);
        Err(Failure::new(message, next))
    };
    if let Some((name, value)) = args.keys.iter().find(|(name, _)| !has(keys, name)) {
        let next = match has(request, name) {
            true => format!("`{name}` is a request value: give it as --request {name}={value}"),
            false => all(keys, "keys"),
        };
        return expected("a key", name, next);
    }
    if let Some((name, value)) = args.request.iter().find(|(name, _)| !has(request, name)) {
        let next = match has(keys, name) {
            true => format!("`{name}` is a key: give it without --request, as {name}={value}"),
            false => all(request, "request values"),
        };
        return expected("a request value", name, next);
    }
    if let Some(name) = args.null.iter().find(|name| !has(keys, name) && !has(request, name)) {
        let next = format!("{}; {}", all(keys, "keys"), all(request, "request values"));
        return expected("a key or request value", name, next);
    }
    Ok(())
}

fn one_column(
    field: &v1::Field,
    words: &[(String, String)],
    args: &Args,
    rows: usize,
    flag: &str,
) -> Outcome<v1::Column> {
    let name = &field.name;
    let ty = field_type(field)?;
    let mut column = Column::new(ty);
    let given: Vec<&str> =
        words.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
    if args.null.contains(name) && !field.nullable {
        let message =
            format!("expected a value of `{name}` ({ty}), which is not nullable, came --null");
        let next = format!(
            "give {flag}{name}=VALUE, or declare the column with `nullable: true` if it may be null"
        );
        return Err(Failure::new(message, next));
    } else if args.null.contains(name) {
        column.push_nulls(rows);
    } else if given.is_empty() {
        let message = format!("`{name}` ({ty}) is missing");
        let or_null = if field.nullable { format!(", or --null {name}") } else { String::new() };
        return Err(Failure::new(message, format!("add {flag}{name}=VALUE{or_null}")));
    } else if given.len() != 1 && given.len() != rows {
        let message = format!("expected `{name}` once or {rows} times, came {} times", given.len());
        return Err(Failure::new(message, "give each name once, or once for each row"));
    } else {
        for row in 0..rows {
            let word = given.get(row).unwrap_or(&given[0]);
            typed::push_text(&mut column, word).map_err(|error| {
                let next =
                    format!("give it as its type, such as {flag}{name}={}", typed::example(ty));
                Failure::new(format!("`{name}`: {error}"), next)
            })?;
        }
    }
    Ok(wire::column(name, &column))
}

fn field_type(field: &v1::Field) -> Outcome<Type> {
    let code = u8::try_from(field.r#type).ok();
    let ty = code.and_then(|code| Type::from_code(code, field.dim));
    ty.ok_or_else(|| {
        let message = format!("expected a type for `{}`, came number {}", field.name, field.r#type);
        Failure::new(message, VERSIONS)
    })
}

/// A feature of the answer.
struct Feature {
    name: String,
    column: Column,
    statuses: Vec<Status>,
}

fn columns(answer: &v1::GetFeaturesResponse) -> Outcome<Vec<Feature>> {
    answer
        .columns
        .iter()
        .map(|feature| {
            let message = feature.column.clone().unwrap_or_default();
            let rows = answer.rows as usize;
            let mut column = Column::new(wire::type_of(&message).or_next(|| VERSIONS)?);
            wire::decode_column(&message, rows, &mut column).or_next(|| VERSIONS)?;
            let status = |row: usize| match feature.statuses.get(row) {
                Some(code) => Status::from_u8(*code).unwrap_or(Status::Present),
                None => Status::Present,
            };
            Ok(Feature { name: message.name, column, statuses: (0..rows).map(status).collect() })
        })
        .collect()
}

fn to_table(
    columns: &[Feature],
    answer: &v1::GetFeaturesResponse,
    asked: &v1::GetFeaturesRequest,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    for feature in columns {
        let mut line = vec![feature.name.clone()];
        for (row, status) in feature.statuses.iter().enumerate() {
            line.push(match status {
                Status::Present => show::text(feature.column.value(row)),
                status => status.name().to_owned(),
            });
        }
        table.add_row(line);
    }
    let provenance = answer.provenance.clone().unwrap_or_default();
    let timings = answer.timings.unwrap_or_default();
    let fingerprint: String =
        provenance.service_fingerprint.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = match &asked.wanted {
        Some(v1::get_features_request::Wanted::Service(name)) => name.as_str(),
        _ => "features",
    };
    format!(
        "{table}\n\n{name} {fingerprint} as of {}: {}; store {} us, compute {} us",
        show::time(provenance.time_us),
        show::count(columns.len() as u64, "feature", "features"),
        timings.store_ns / 1000,
        timings.compute_ns / 1000,
    )
}

fn to_json(columns: &[Feature], answer: &v1::GetFeaturesResponse) -> Json {
    let rows = (0..answer.rows as usize).map(|row| {
        let (mut values, mut missing) = (Map::new(), Map::new());
        for feature in columns {
            values.insert(feature.name.clone(), show::json(feature.column.value(row)));
            if feature.statuses[row] != Status::Present {
                missing.insert(feature.name.clone(), feature.statuses[row].name().into());
            }
        }
        let times: Map<String, Json> = answer
            .event_times
            .iter()
            .map(|times| {
                let role =
                    if times.role.is_empty() { String::new() } else { format!("[{}]", times.role) };
                let us = times.event_us.get(row).filter(|us| **us != i64::MIN);
                (
                    format!("{}{role}", times.view),
                    us.map_or(Json::Null, |us| show::time(*us).into()),
                )
            })
            .collect();
        json!({ "features": values, "missing": missing, "event_times": times })
    });
    let provenance = answer.provenance.clone().unwrap_or_default();
    let fingerprint: String =
        provenance.service_fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "rows": rows.collect::<Vec<_>>(),
        "failures": answer.failures.iter().map(|failure| json!({
            "transform": failure.transform, "row": failure.row, "message": failure.message,
        })).collect::<Vec<_>>(),
        "provenance": {
            "service_fingerprint": fingerprint,
            "snapshot": provenance.snapshot,
            "store_sequence": provenance.store_sequence,
            "time": show::time(provenance.time_us),
        },
    })
}
