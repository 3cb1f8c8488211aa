//! Where an output came from, as JSON under [`KEY`] in the Parquet footer: enough to say whether two
//! outputs were computed alike, and to run one again. No clock, no host, no user: the same inputs
//! give the same bytes.

use std::fs::File;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use serde::{Deserialize, Serialize};

use crate::OfflineError;
use crate::files::FileDigest;
use crate::plugin_limits::LimitsUsed;

/// The footer key.
pub const KEY: &str = "skewless.provenance";

/// Version of the JSON; a reader refuses one it doesn't know.
pub const VERSION: u32 = 2;

/// Where an output came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// [`VERSION`].
    pub version: u32,
    /// Version of skewless that computed it.
    pub skewless: String,
    /// The feature service, empty for an ad hoc list of features.
    pub service: String,
    /// Fingerprint of the plan: the service with all it depends on, hex.
    pub plan_fingerprint: String,
    /// Fingerprint of the whole catalog, hex.
    pub catalog_fingerprint: String,
    /// The transforms run, in the order they ran.
    pub transforms: Vec<TransformUsed>,
    /// The limits under which they ran: a row that reached one failed.
    pub limits: LimitsUsed,
    /// The spine's column of the time asked.
    pub event_timestamp: String,
    /// How time was judged.
    pub as_of: AsOf,
    /// The views read.
    pub views: Vec<ViewUsed>,
    /// The spine's files in order.
    pub spine: Vec<FileDigest>,
    /// The feature columns in order.
    pub features: Vec<FeatureWritten>,
    /// Whether each feature has a `<feature>__status` column.
    pub statuses: bool,
    /// Rows of the output, which are the rows of the spine.
    pub rows: u64,
}

/// How time was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AsOf {
    /// A row counts from the moment serving could have seen it: event time and known time plus lag.
    AsServed,
    /// The explicit opt-out: a row counts from its event time on, whenever it became known.
    AsKnownNow,
}

/// A transform that was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformUsed {
    /// Its name.
    pub name: String,
    /// SHA-256 of its plugin, hex.
    pub plugin: String,
}

/// A view whose history was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewUsed {
    /// Its name.
    pub name: String,
    /// Its fingerprint, hex.
    pub fingerprint: String,
    /// `inclusive` or `exclusive`.
    pub boundary: String,
    /// Greatest age, microseconds; none if unlimited.
    pub ttl_us: Option<i64>,
    /// Availability lag, microseconds.
    pub lag_us: i64,
    /// The column of the known time; none if rows were known at their event time.
    pub created_timestamp: Option<String>,
    /// Its history's files in order (the order breaks ties).
    pub files: Vec<FileDigest>,
}

/// A feature column of the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureWritten {
    /// The column's name.
    pub name: String,
    /// Its type, as in definitions.
    #[serde(rename = "type")]
    pub ty: String,
}

/// The provenance of a file that a backfill wrote.
pub fn provenance(path: &Path) -> Result<Provenance, OfflineError> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| OfflineError::io("open", path, e))?;
    let reader =
        SerializedFileReader::new(file).map_err(|error| OfflineError::parquet(&name, error))?;
    let entries = reader.metadata().file_metadata().key_value_metadata();
    let text = entries
        .into_iter()
        .flatten()
        .find(|entry| entry.key == KEY)
        .and_then(|entry| entry.value.as_deref())
        .ok_or_else(|| OfflineError::NoProvenance { file: name.clone() })?;
    parse(text).map_err(|reason| OfflineError::BadProvenance { file: name, reason })
}

fn parse(text: &str) -> Result<Provenance, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("expected version {VERSION}, came {version}"));
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}
