//! Batches as Feast's servers send and take them: a file in Arrow's IPC format each; not which column is what
//! (`columns.rs`), and not how the format is read (offline's `ipc.rs`).

use bytes::Bytes;
use skewless_catalog::{Frame, Plan};
use skewless_offline::ipc::{self, IpcError, IpcFile, IpcLimit, IpcLimits};
use skewless_server::transformations::{Batches, Names};
use skewless_server::{Config, ServeError};

use super::columns::{self, Target};

/// Batches as Arrow.
pub(super) struct ArrowBatches;

impl Batches for ArrowBatches {
    fn read(
        &self,
        plan: &Plan,
        called: Names<'_>,
        batch: Bytes,
        config: &Config,
        frame: &mut Frame,
    ) -> Result<(), ServeError> {
        let (rows_max, columns_max) = (config.limits.rows_max, config.limits.columns_max);
        let file = IpcFile::open(batch, IpcLimits { rows_max, columns_max }).map_err(refused)?;
        let names: Vec<&str> = file.names().collect();
        let found = columns::find(plan, called, &names).map_err(ServeError::Field)?;
        let wanted: Vec<_> = found.iter().map(|found| (found.at, found.ty)).collect();
        let columns = file.columns(&wanted).map_err(refused)?;
        frame.reset(file.rows());
        for (index, found) in found.iter().enumerate() {
            let out = match found.target {
                Target::Key(key) => &mut frame.keys[key],
                Target::Slot(slot) => &mut frame.slots[slot].column,
            };
            let appended = columns.append(index, names[found.at], out);
            appended.map_err(|error| refused(error.into()))?;
        }
        for key in &mut frame.keys {
            // By it a store would find rows; here they have come.
            if key.is_empty() {
                key.push_nulls(file.rows());
            }
        }
        Ok(())
    }

    fn write(
        &self,
        view: &str,
        plan: &Plan,
        called: Names<'_>,
        frame: &Frame,
    ) -> Result<Vec<u8>, ServeError> {
        let column = |output: &skewless_catalog::plan::Output| {
            let name = output.name.split_once('.').map_or(&*output.name, |(_, output)| output);
            let name = called.feast.output(called.transform, name);
            (format!("{view}__{name}"), frame.slots[output.slot].column.view())
        };
        let columns: Vec<_> = plan.outputs.iter().map(column).collect();
        ipc::write(&columns, frame.rows).map_err(|error| ServeError::Panic(error.to_string()))
    }
}

fn refused(error: IpcError) -> ServeError {
    let IpcError::TooMany { what, max, came } = error else {
        return ServeError::Field(error.to_string());
    };
    let (what, limit) = match what {
        IpcLimit::Rows => ("rows", "limits.rows_max"),
        IpcLimit::Columns => ("columns", "limits.columns_max"),
        IpcLimit::UnpackedBytes => {
            ("bytes of values that dictionaries and views stand for", "UNPACKED_BYTES_MAX")
        }
    };
    ServeError::OverLimit { what, limit, max, came }
}
