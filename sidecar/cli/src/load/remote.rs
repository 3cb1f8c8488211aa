//! The rows of a history to a running sidecar, by `AdminService.Load`; reading and sorting are the offline
//! room's. The sidecar makes the rows visible when the stream ends well, so the stream must not end at all
//! when reading failed: the call is dropped while its sender is alive.

use std::time::Duration;

use prost::Message as _;
use skewless_batch::Column;
use skewless_catalog::{Catalog, View};
use skewless_offline::{HistoryRead, HistoryRequest, OfflineError, sorted_history};
use skewless_proto::v1 as pb;
use skewless_proto::v1::admin_service_client::AdminServiceClient;
use skewless_server::wire;
use skewless_store::Rows;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::client::{connect, refused};
use crate::data;
use crate::exit::{Failure, Outcome};

/// Messages on their way: enough that neither side waits for the other, little enough to hold in memory.
const MESSAGES_MAX: usize = 4;

/// Larger messages are split; a sidecar takes 16 MiB by default.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

/// Strings and byte strings of a message, for the same reason: a sidecar takes 262,144 by default, a few for each column
/// among them.
const TEXT_ELEMENTS_MAX: usize = 200_000;

/// Interval at which the sidecar is told that the load goes on while its rows are being sorted, far below the
/// silence that it takes for a client that hangs (`limits.stream_idle_ms_max`, 5 minutes by default).
const ALIVE_EVERY: Duration = Duration::from_secs(10);

/// Refuses if the sidecar serves one of the views in another version: its rows would be kept and seen by other rules than
/// those of the repo.
pub(crate) fn check(catalog: &Catalog, views: &[&str], address: &str) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = AdminServiceClient::new(connect(address).await?);
        for name in views {
            let view = catalog.find_view(name)?;
            let of = Some(pb::describe_request::Of::View(view.name.clone()));
            let served = match client.describe(pb::DescribeRequest { of }).await {
                Ok(answer) => answer.into_inner().described,
                Err(status) if status.code() == tonic::Code::NotFound => None,
                Err(status) => return Err(refused(address, &status)),
            };
            let served = match served {
                Some(pb::describe_response::Described::View(served)) => served.named,
                _ => None,
            };
            match served {
                None => return Err(differs(address, view, "has no such view")),
                Some(served) if served.fingerprint[..] != view.fingerprint.0[..] => {
                    return Err(differs(address, view, "has another version of it"));
                }
                Some(_) => {}
            }
        }
        Ok::<_, Failure>(())
    })
}

fn differs(address: &str, view: &View, what: &str) -> Failure {
    Failure::new(
        format!("nothing was loaded: view `{}`: the sidecar at {address} {what}", view.name),
        "let it read this feature repo again (kill -HUP and its process id; its log says whether it did), then load \
         again; or give the repo that it serves with --repo",
    )
}

/// Loads one view.
pub(super) fn load(
    history: &HistoryRequest<'_>,
    address: &str,
    replace: bool,
) -> Outcome<(HistoryRead, pb::LoadResponse)> {
    let view = history.catalog.find_view(history.view)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let channel = runtime.block_on(connect(address))?;
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let mut client = AdminServiceClient::new(channel);
    let told = |status: tonic::Status| refused(address, &status);
    let call = runtime.spawn(async move { client.load(ReceiverStream::new(receiver)).await });
    runtime.spawn(stay_alive(sender.downgrade()));

    let mode = if replace { pb::LoadMode::Replace } else { pb::LoadMode::Merge };
    let first = pb::LoadRequest {
        view: view.name.clone(),
        mode: mode.into(),
        ..pb::LoadRequest::default()
    };
    let send = |message| sender.blocking_send(message).map_err(|_| OfflineError::Refused);
    let read = send(first).and_then(|()| {
        sorted_history(history, &mut |rows| {
            send_rows(view, &rows, 0, rows.event_us.len(), &mut |message| send(message))
        })
    });
    match read {
        Ok(read) => {
            drop(sender);
            let answer = runtime.block_on(call)?.map_err(told)?;
            Ok((read, answer.into_inner()))
        }
        // The sidecar ended the call: what it said is the reason.
        Err(OfflineError::Refused) => match runtime.block_on(call)? {
            Err(status) => Err(told(status)),
            Ok(_) => Err(OfflineError::Refused.into()),
        },
        Err(error) => {
            call.abort();
            let _ = runtime.block_on(call);
            drop(sender);
            Err(data::refused_load(error))
        }
    }
}

/// Sends messages without rows for as long as the sender lives: sorting a long history takes minutes.
async fn stay_alive(sender: mpsc::WeakSender<pb::LoadRequest>) {
    loop {
        tokio::time::sleep(ALIVE_EVERY).await;
        let Some(sender) = sender.upgrade() else { return };
        // If there's no room, rows are on their way.
        if let Err(mpsc::error::TrySendError::Closed(_)) =
            sender.try_send(pb::LoadRequest::default())
        {
            return;
        }
    }
}

/// Sends rows `from..to`, in halves if they are too large for a message.
fn send_rows(
    view: &View,
    rows: &Rows,
    from: usize,
    to: usize,
    send: &mut dyn FnMut(pb::LoadRequest) -> Result<(), OfflineError>,
) -> Result<(), OfflineError> {
    let message = message(view, rows, from, to);
    let fits =
        message.encoded_len() <= MESSAGE_BYTES_MAX && text_elements(&message) <= TEXT_ELEMENTS_MAX;
    if fits || to - from < 2 {
        return send(message);
    }
    let middle = from + (to - from) / 2;
    send_rows(view, rows, from, middle, send)?;
    send_rows(view, rows, middle, to, send)
}

fn text_elements(message: &pb::LoadRequest) -> usize {
    let columns = message.keys.iter().chain(&message.features);
    columns.map(|column| column.strings.len() + column.binaries.len()).sum()
}

fn message(view: &View, rows: &Rows, from: usize, to: usize) -> pb::LoadRequest {
    let part = |name: &str, column: &Column| {
        let mut part = Column::with_capacity(column.ty(), to - from);
        part.append(&column.view(), from..to);
        wire::column(name, &part)
    };
    let mut deleted = vec![0_u8; (to - from).div_ceil(8)];
    for (at, row) in (from..to).enumerate() {
        deleted[at / 8] |= u8::from(rows.deleted[row]) << (at % 8);
    }
    let keys = view.keys.iter().zip(&rows.keys).map(|(key, column)| part(&key.name, column));
    let features =
        view.features.iter().zip(&rows.features).map(|(field, column)| part(&field.name, column));
    pb::LoadRequest {
        keys: keys.collect(),
        event_us: rows.event_us[from..to].to_vec(),
        known_us: rows.known_us[from..to].to_vec(),
        deleted: deleted.into(),
        features: features.collect(),
        ..pb::LoadRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use skewless_batch::{Field, Type};
    use skewless_catalog::visibility::Rule;
    use skewless_catalog::{Fingerprint, KeyColumn, ViewId};

    use super::*;

    /// A view of one key and one text.
    fn view() -> View {
        let text = Field {
            name: "text".to_owned(),
            ty: Type::Utf8,
            nullable: true,
            doc: String::new(),
            unit: String::new(),
        };
        View {
            id: ViewId::default(),
            name: "texts".to_owned(),
            doc: String::new(),
            entity: "thing".to_owned(),
            keys: vec![KeyColumn { name: "id".to_owned(), ty: Type::Int64 }],
            features: vec![text],
            rule: Rule::default(),
            source: None,
            fingerprint: Fingerprint::default(),
        }
    }

    #[test]
    fn a_message_holds_no_more_strings_than_a_sidecar_takes() {
        const ROWS: usize = 300_000;
        let (mut id, mut text) = (Column::new(Type::Int64), Column::new(Type::Utf8));
        for row in 0..ROWS {
            id.push_i64(row as i64);
            text.push_utf8("");
        }
        let rows = Rows {
            keys: vec![id],
            event_us: vec![0; ROWS],
            known_us: vec![0; ROWS],
            deleted: vec![false; ROWS],
            features: vec![text],
        };
        let whole = message(&view(), &rows, 0, ROWS);
        assert!(whole.encoded_len() < MESSAGE_BYTES_MAX, "its bytes alone would split it");
        let mut sent = Vec::new();
        let all = send_rows(&view(), &rows, 0, ROWS, &mut |message| {
            sent.push(text_elements(&message));
            Ok(())
        });
        assert!(all.is_ok());
        assert_eq!(sent, [ROWS / 2, ROWS / 2]);
    }
}
