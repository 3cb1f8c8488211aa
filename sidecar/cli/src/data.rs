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
            "mend the row, or the column's declared type (`load --skip-bad-rows` leaves such rows out)"
        }
        E::NullValue { .. } => {
            "give the row a value, or leave it out (`load --skip-bad-rows` does so with a history's)"
        }
        E::SpineSchemasDiffer { .. } => {
            "write the spine's files with the same columns, or backfill them one by one"
        }
        E::OutputExists { .. } => "give another --out, or --overwrite to replace it",
        E::NoFolder { folder, .. } => {
            return Some(format!("make it with `mkdir -p {folder}`, or mend --out"));
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
