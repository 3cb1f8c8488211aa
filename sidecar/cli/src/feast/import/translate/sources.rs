//! Where a view's history is in Feast, as a source of ours if it can be one: Parquet files on this machine, whose columns are
//! called as definitions call them.

use std::collections::BTreeMap;
use std::path::Path;

use skewless_proto::feast::core::DataSource;
use skewless_proto::feast::core::data_source::{Options, SourceType};
use skewless_proto::feast::core::file_format::Format;

use super::super::definitions::Source;

/// A source, and what its columns are called.
pub(super) struct Found<'s> {
    pub(super) source: Source,
    /// The data's column by the name in Feast's definitions, where it differs.
    columns: BTreeMap<&'s str, &'s str>,
}

impl Found<'_> {
    /// The data's column for a name in Feast's definitions.
    pub(super) fn column<'n>(&'n self, name: &'n str) -> &'n str {
        self.columns.get(name).copied().unwrap_or(name)
    }
}

/// The source in Feast's; or why it can be none of ours.
pub(super) fn source<'s>(
    feast: Option<&'s DataSource>,
    root: Option<&Path>,
) -> Result<Found<'s>, String> {
    let feast = feast.ok_or("it has none in batches; its rows come by Ingest")?;
    let Some(Options::FileOptions(file)) = &feast.options else {
        return Err(format!(
            "it is {}; export it to Parquet files, or ingest its rows",
            kind(feast)
        ));
    };
    if let Some(Format::DeltaFormat(_)) =
        file.file_format.as_ref().and_then(|format| format.format.as_ref())
    {
        return Err("it is a Delta table; export it to plain Parquet files".to_owned());
    }
    let uri = file.uri.strip_prefix("file://").unwrap_or(&file.uri);
    if uri.contains("://") || !file.s3_endpoint_override.is_empty() {
        return Err(format!(
            "`{}` is not on this machine; copy the files and name them as `source`",
            file.uri
        ));
    }
    if uri.is_empty() {
        return Err("it names no file".to_owned());
    }
    if feast.timestamp_field.is_empty() {
        return Err("it names no column with the event's time".to_owned());
    }
    let mut mapping: Vec<(&str, &str)> =
        feast.field_mapping.iter().map(|(column, name)| (name.as_str(), column.as_str())).collect();
    mapping.sort_unstable();
    let columns: BTreeMap<&str, &str> = mapping.into_iter().collect();
    let column = |name: &str| columns.get(name).copied().unwrap_or(name).to_owned();
    let created = feast.created_timestamp_column.as_str();
    let path = match root {
        Some(root) if Path::new(uri).is_relative() => root.join(uri.trim_start_matches("./")),
        _ => uri.into(),
    };
    let source = Source {
        path: path.display().to_string(),
        event_timestamp: column(&feast.timestamp_field),
        created_timestamp: (!created.is_empty()).then(|| column(created)),
    };
    Ok(Found { source, columns })
}

/// What a source is called in a sentence.
pub(super) fn kind(source: &DataSource) -> String {
    let class = source.data_source_class_type.rsplit('.').next().unwrap_or_default();
    let word = match SourceType::try_from(source.r#type) {
        Ok(SourceType::BatchFile) => "a file",
        Ok(SourceType::BatchBigquery) => "in BigQuery",
        Ok(SourceType::BatchRedshift) => "in Redshift",
        Ok(SourceType::BatchSnowflake) => "in Snowflake",
        Ok(SourceType::BatchTrino) => "in Trino",
        Ok(SourceType::BatchSpark) => "in Spark",
        Ok(SourceType::BatchAthena) => "in Athena",
        Ok(SourceType::BatchIceberg) => "in Iceberg",
        Ok(SourceType::StreamKafka) => "a Kafka topic",
        Ok(SourceType::StreamKinesis) => "a Kinesis stream",
        Ok(SourceType::PushSource) => "a push source",
        Ok(SourceType::RequestSource) => "a request source",
        Ok(SourceType::CustomSource | SourceType::Invalid) | Err(_) if !class.is_empty() => {
            return format!("a {class}");
        }
        Ok(SourceType::CustomSource | SourceType::Invalid) | Err(_) => "of a kind that isn't said",
    };
    word.to_owned()
}
