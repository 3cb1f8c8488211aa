//! What to do about data that can't be read or written: the offline room says what is wrong, this what comes
//! next. One sentence a mistake; a new mistake doesn't compile without one.

use skewless_offline::OfflineError;

use crate::exit::Failure;

/// What offline refused, with what to do.
pub(crate) fn failure(error: OfflineError) -> Failure {
    if matches!(error, OfflineError::Cancelled) {
        return Failure::Interrupted;
    }
    let next = advice(&error);
    Failure::Failed { error: error.into(), next }
}

/// What a load refused of a history, with what to do: there, rows that can't be taken can be left out.
pub(crate) fn refused_load(error: OfflineError) -> Failure {
    use OfflineError as E;
    let skip = "or leave out all such rows with --skip-bad-rows";
    let next = match &error {
        E::BadValue { .. } | E::TimeOutOfRange { .. } => {
            format!("mend the row, or the column's declared type, {skip}")
        }
        E::NullValue { .. } => format!("give the row a value, {skip}"),
        _ => return failure(error),
    };
    Failure::Failed { error: error.into(), next: Some(next) }
}

/// `None` where the message itself says what to do.
fn advice(error: &OfflineError) -> Option<String> {
    use OfflineError as E;
    let next = match error {
        E::NoFiles { .. } => {
            "mend the path: in a view's `source` it starts at the feature repo, on the command line at the working folder"
        }
        E::BadPattern { .. } => "give a path, a folder or a glob such as data/*.parquet",
        E::TooMany { .. } => "split the input over several jobs",
        E::Io { .. } => "see whether the path is there, may be used, and its disk has room",
        E::Parquet { .. } => {
            "write the file again as Parquet: it is damaged, cut short, or of another format"
        }
        E::MissingColumn { column, .. } => {
            return Some(format!(
                "write a column `{column}` into the file, or name the one that it has: a view's in its definition, \
                 a spine's times with --event-timestamp"
            ));
        }
        E::DuplicateColumn { column, .. } => {
            return Some(format!("write the file with one column `{column}`"));
        }
        E::WrongType { column, expected, .. } => {
            return Some(format!(
                "write `{column}` as {expected}, or declare it as what the file has: only types that lose nothing are converted"
            ));
        }
        E::BadValue { .. } | E::TimeOutOfRange { .. } => {
            "mend the row, or the column's declared type"
        }
        E::NullValue { .. } => {
            "give the row a value, or leave it out; a request value that may be null is declared with `nullable: true`"
        }
        E::SpineSchemasDiffer { .. } => {
            "write the spine's files with the same columns, or backfill them one by one"
        }
        E::OutputExists { .. } => "give another --out, or --overwrite to replace it",
        E::NoFolder { folder, .. } => {
            return Some(format!("make it with `mkdir -p {folder}`, or mend --out"));
        }
        E::OutputIsFolder { path } => {
            let folder = path.trim_end_matches('/');
            return Some(format!("give a file, such as --out {folder}/training.parquet"));
        }
        E::OutputIsInput { .. } => "give another --out",
        E::OutputBusy { .. } => "wait for it to end, or give another --out",
        E::SpillBusy { .. } => "wait for it to end",
        E::SpillTaken { .. } => "move what is in it elsewhere, or remove it if nothing needs it",
        E::MemoryTooSmall { .. } => "give --memory 64M or more",
        E::BadSetting { name: "engine.instances_max", .. } => {
            "give fewer --workers, or raise engine.instances_max"
        }
        E::BadSetting { .. } => "give a value within that range",
        E::OutOfMemory { .. } => "give more --memory",
        E::Sort { .. } => "see whether the disk has room where it spills, beside the output",
        E::NoProvenance { .. } | E::BadProvenance { .. } => {
            "give a file that `skewless backfill` of this version wrote"
        }
        E::Convert { .. } | E::Worker(_) => {
            "this is a bug in Skewless: please report it with the line above"
        }
        E::Store(_) => "see whether the store's disk has room; what was served before still is",
        E::NameTaken { .. }
        | E::NoSource { .. }
        | E::UnknownView { .. }
        | E::InputChanged { .. }
        | E::Cancelled
        | E::Refused => return None,
    };
    Some(next.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_left_out_where_that_can_be_asked_for() {
        let null = || OfflineError::NullValue {
            file: "a.parquet".to_owned(),
            column: "a".to_owned(),
            row: 0,
            expected: "a value".to_owned(),
        };
        let bad = || OfflineError::BadValue {
            file: "a.parquet".to_owned(),
            column: "a".to_owned(),
            row: 0,
            expected: "int64".to_owned(),
            found: "1.5".to_owned(),
        };
        let skips = |failure: Failure| format!("{failure:?}").contains("--skip-bad-rows");
        assert!(skips(refused_load(null())) && skips(refused_load(bad())));
        assert!(!skips(failure(null())) && !skips(failure(bad())));
    }
}
