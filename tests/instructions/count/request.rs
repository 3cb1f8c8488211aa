//! A request in process: decoded, encoded, or from bytes to bytes; not sockets and gRPC's own framing.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use prost::Message;
use skewless_proto::v1 as pb;
use skewless_server::stages::InProcess;
use skewless_server::{Clock, Config};

use crate::engine::INSTANCES_MAX;
use crate::fixtures::{ASKED, FIRST_KEY, Fixtures, NOW_US, ROWS};
use crate::paths::Work;
use crate::store;

/// Message to columns in a frame.
pub(crate) fn decode(fixtures: &Fixtures, service: &str, rows: usize) -> Result<Work> {
    let mut stages = start(fixtures)?.stages(&request(service, 0, rows))?;
    Ok(Box::new(move || {
        let came = black_box(stages.decode()?);
        ensure!(came == rows, "expected {rows} rows, came {came}");
        Ok(())
    }))
}

/// A frame with everything in it to an answer.
pub(crate) fn encode(fixtures: &Fixtures, service: &str, rows: usize) -> Result<Work> {
    let sidecar = start(fixtures)?;
    let message = request(service, 0, rows);
    let mut stages = sidecar.stages(&message)?;
    let whole = pb::GetFeaturesResponse::decode(sidecar.answer(&message)?)?;
    let encoded = pb::GetFeaturesResponse::decode(stages.encode()?)?;
    ensure!(encoded.columns == whole.columns, "expected the columns of the whole answer");
    check(&whole, service, rows)?;
    Ok(Box::new(move || {
        black_box(stages.encode()?);
        Ok(())
    }))
}

/// Message to answer; another entity with every call.
pub(crate) fn whole(fixtures: &Fixtures, service: &str, rows: usize) -> Result<Work> {
    let sidecar = start(fixtures)?;
    let messages: Vec<_> = (0..ROWS).step_by(7).map(|from| request(service, from, rows)).collect();
    for message in &messages {
        let answer = pb::GetFeaturesResponse::decode(sidecar.answer(message)?)?;
        check(&answer, service, rows)?;
    }
    let mut next = (0..messages.len()).cycle();
    Ok(Box::new(move || {
        let message = next.next().context("a message")?;
        black_box(sidecar.answer(&messages[message])?);
        Ok(())
    }))
}

fn check(answer: &pb::GetFeaturesResponse, service: &str, rows: usize) -> Result<()> {
    let columns = match service {
        "whole" => 120,
        "few" => 10,
        _ => ASKED.len() + 1,
    };
    let present = answer.columns.iter().all(|column| column.statuses.is_empty());
    ensure!(answer.columns.len() == columns, "{} features came", answer.columns.len());
    ensure!(answer.rows as usize == rows, "{} rows came", answer.rows);
    ensure!(present && answer.failures_total == 0, "{:?}", answer.failures);
    Ok(())
}

fn start(fixtures: &Fixtures) -> Result<InProcess> {
    let mut config = Config {
        repo_dir: fixtures.repo(),
        store_dir: fixtures.profile(),
        cache_dir: fixtures.folder().join("cache"),
        store: store::config(),
        ..Config::default()
    };
    config.engine.instances_max = INSTANCES_MAX;
    config.life.threads = 1;
    Ok(InProcess::start(config, Clock::manual(NOW_US))?)
}

fn request(service: &str, from: usize, rows: usize) -> Bytes {
    let column = |name: &str, ty: pb::Type| pb::Column {
        name: name.to_owned(),
        r#type: ty as i32,
        ..pb::Column::default()
    };
    let key = |row: usize| FIRST_KEY + ((from + row) % ROWS) as i64;
    let keys =
        pb::Column { int64s: (0..rows).map(key).collect(), ..column("user_id", pb::Type::Int64) };
    let asked = |(at, ty): (usize, &&str)| {
        let name = format!("r{at}");
        let number = |row: usize| (row * 31 + at) as i64;
        match *ty {
            "bool" => pb::Column {
                bools: (0..rows).map(|row| number(row) % 2 == 0).collect(),
                ..column(&name, pb::Type::Bool)
            },
            "int64" => pb::Column {
                int64s: (0..rows).map(number).collect(),
                ..column(&name, pb::Type::Int64)
            },
            "float32" => pb::Column {
                float32s: (0..rows).map(|row| number(row) as f32 / 7.0).collect(),
                ..column(&name, pb::Type::Float32)
            },
            "float64" => pb::Column {
                float64s: (0..rows).map(|row| number(row) as f64 / 7.0).collect(),
                ..column(&name, pb::Type::Float64)
            },
            _ => pb::Column {
                strings: (0..rows).map(|row| format!("value {}", number(row))).collect(),
                ..column(&name, pb::Type::Utf8)
            },
        }
    };
    let columns = match service {
        "whole" => {
            vec![pb::Column { timestamps: vec![NOW_US; rows], ..column("at", pb::Type::Timestamp) }]
        }
        "asked" => ASKED.iter().enumerate().map(asked).collect(),
        _ => Vec::new(),
    };
    let request = pb::GetFeaturesRequest {
        wanted: Some(pb::get_features_request::Wanted::Service(service.to_owned())),
        keys: vec![keys],
        request: columns,
        ..pb::GetFeaturesRequest::default()
    };
    Bytes::from(request.encode_to_vec())
}
