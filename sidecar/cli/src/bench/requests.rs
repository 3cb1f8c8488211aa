//! Encoded requests drawn from the rows of a file, and a look at what the service answers to them before time
//! counts.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use prost::Message;
use skewless_batch::{Column, Type};
use skewless_catalog::Status;
use skewless_proto::v1;
use skewless_proto::v1::feature_service_client::FeatureServiceClient;
use skewless_server::wire;
use tonic::transport::Channel;

use super::draw::{Draw, Rows};
use super::keys::{Keys, Wanted};
use crate::client::{ANSWER_BYTES_MAX, refused};
use crate::exit::{Failure, Outcome};

/// Requests that are encoded beforehand; they are sent in turn, again and again. Enough for every row of
/// most stores' hot part, little enough to encode in a moment.
pub(super) const REQUESTS_MAX: usize = 1 << 17;
/// Bytes of all of them.
const REQUEST_BYTES_MAX: usize = 256 << 20;
/// Requests that are looked at before.
const LOOKED_AT: usize = 20;

/// What a service needs in a request: its keys, then its request columns.
#[derive(Debug)]
pub(super) struct Needs {
    pub(super) service: String,
    pub(super) wanted: Vec<Wanted>,
    /// How many of `wanted` are keys.
    pub(super) keys: usize,
}

impl Needs {
    pub(super) fn of(name: &str, service: &v1::ServiceDescription) -> Outcome<Self> {
        let wanted = |field: &v1::Field, key: bool| {
            let code = u8::try_from(field.r#type).ok();
            let ty = code.and_then(|code| Type::from_code(code, field.dim));
            let ty = ty.with_context(|| {
                format!("expected a type for `{}`, came number {}", field.name, field.r#type)
            })?;
            Outcome::Ok(Wanted { name: field.name.clone(), ty, optional: !key && field.nullable })
        };
        let keys = service.keys.iter().map(|field| wanted(field, true));
        let request = service.request.iter().map(|field| wanted(field, false));
        Ok(Self {
            service: name.to_owned(),
            wanted: keys.chain(request).collect::<Outcome<_>>()?,
            keys: service.keys.len(),
        })
    }
}

/// At most `many` requests of `entities` rows each.
pub(super) fn encode(
    needs: &Needs,
    file: &Keys,
    rows: &Rows,
    entities: usize,
    many: usize,
    draw: &mut Draw,
) -> Arc<[Bytes]> {
    let mut parts: Vec<Option<Column>> = needs
        .wanted
        .iter()
        .zip(&file.columns)
        .map(|(of, column)| column.as_ref().map(|_| Column::with_capacity(of.ty, entities)))
        .collect();
    let (mut requests, mut bytes) = (Vec::new(), 0);
    while requests.len() < many.clamp(1, REQUESTS_MAX)
        && (bytes < REQUEST_BYTES_MAX || requests.is_empty())
    {
        parts.iter_mut().flatten().for_each(Column::clear);
        for _ in 0..entities {
            let row = rows.row(draw);
            for (part, column) in parts.iter_mut().zip(&file.columns) {
                if let (Some(part), Some(column)) = (part, column) {
                    part.push_from(&column.view(), row);
                }
            }
        }
        let columns = needs.wanted.iter().zip(&parts);
        let mut columns = columns.enumerate().filter_map(|(at, (of, part))| {
            part.as_ref().map(|part| (at < needs.keys, wire::column(&of.name, part)))
        });
        let mut request = v1::GetFeaturesRequest {
            wanted: Some(v1::get_features_request::Wanted::Service(needs.service.clone())),
            ..v1::GetFeaturesRequest::default()
        };
        columns.by_ref().for_each(|(key, column)| {
            if key { request.keys.push(column) } else { request.request.push(column) }
        });
        let encoded = Bytes::from(request.encode_to_vec());
        bytes += encoded.len();
        requests.push(encoded);
    }
    requests.into()
}

/// What a look at some answers found.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Look {
    pub(super) values: u64,
    pub(super) present: u64,
    pub(super) not_found: u64,
    pub(super) failed: u64,
}

/// Asks some of the requests and looks at the answers; a refusal ends here, not in a table.
pub(super) async fn look(address: &str, channel: Channel, requests: &[Bytes]) -> Outcome<Look> {
    let mut client = FeatureServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let mut look = Look::default();
    for request in requests.iter().take(LOOKED_AT) {
        let request = v1::GetFeaturesRequest::decode(request.clone())?;
        let answer =
            client.get_features(request).await.map_err(|status| refused(address, &status))?;
        let answer = answer.into_inner();
        for column in &answer.columns {
            look.values += u64::from(answer.rows);
            if column.statuses.is_empty() {
                look.present += u64::from(answer.rows);
            }
            for status in column.statuses.iter().filter_map(|code| Status::from_u8(*code)) {
                match status {
                    Status::Present => look.present += 1,
                    Status::NotFound => look.not_found += 1,
                    Status::TransformFailed => look.failed += 1,
                    Status::NullValue | Status::OutsideMaxAge => {}
                }
            }
        }
    }
    if look.values == 0 {
        return Err(Failure::new("the service has no features", "ask for another service"));
    }
    Ok(look)
}
