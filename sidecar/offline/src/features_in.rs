//! Reading a backfill's output back, as columns: for comparing it with what was served. Not for
//! training: any Parquet reader does that.

use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::UInt8Type;
use skewless_batch::{Column, Type};
use skewless_catalog::Status;

use crate::OfflineError;
use crate::backfill::status_column;
use crate::columns;
use crate::config::CHUNK_ROWS_DEFAULT;
use crate::files;
use crate::parquet_in::{BadRows, Opened, Reader, Rejects, Wanted};
use crate::provenance::{Provenance, provenance};

/// The features of an output, all rows, in memory.
#[derive(Debug)]
pub struct Features {
    /// Where they came from.
    pub provenance: Provenance,
    /// Rows.
    pub rows: usize,
    /// One per feature, in the service's order.
    pub features: Vec<FeatureColumn>,
}

/// One feature of an output.
#[derive(Debug)]
pub struct FeatureColumn {
    /// Its name.
    pub name: String,
    /// Its values.
    pub column: Column,
    /// Its statuses, if the output has them; as long as the column.
    pub statuses: Option<Vec<Status>>,
}

/// Reads all features of an output into memory.
pub fn read_features(path: &Path) -> Result<Features, OfflineError> {
    let mut reader = FeatureReader::open(path)?;
    let mut all = reader.empty();
    while let Some(part) = reader.next()? {
        all.rows += part.rows;
        for (to, from) in all.features.iter_mut().zip(part.features) {
            to.column.append(&from.column.view(), 0..from.column.len());
            if let (Some(to), Some(from)) = (&mut to.statuses, from.statuses) {
                to.extend(from);
            }
        }
    }
    Ok(all)
}

/// Reads named columns of any Parquet file into memory, cast to the types given: for what stands
/// beside the features, such as keys and times.
pub fn read_columns(path: &Path, columns: &[(String, Type)]) -> Result<Vec<Column>, OfflineError> {
    let wanted: Vec<Wanted> =
        columns.iter().map(|(name, ty)| Wanted { name: name.clone(), ty: *ty }).collect();
    let mut reader = open(path)?.read(&wanted, CHUNK_ROWS_DEFAULT, false)?;
    let mut all: Vec<Column> = wanted.iter().map(|wanted| Column::new(wanted.ty)).collect();
    while let Some(rows) = reader.next(BadRows::Refuse, &mut Rejects::new())? {
        for ((column, array), wanted) in all.iter_mut().zip(&rows.columns).zip(&wanted) {
            columns::append(column, array, &wanted.name)?;
        }
    }
    Ok(all)
}

/// The names of the columns of any Parquet file, in its order.
pub fn column_names(path: &Path) -> Result<Vec<String>, OfflineError> {
    let opened = open(path)?;
    Ok(opened.schema().fields().iter().map(|field| field.name().clone()).collect())
}

fn open(path: &Path) -> Result<Opened, OfflineError> {
    let pattern = path.display().to_string();
    let files = files::expand(Path::new(""), std::slice::from_ref(&pattern))?;
    let file = files.first().ok_or(OfflineError::NoFiles { pattern })?;
    Opened::open(file)
}

/// Reads the features of an output part by part.
pub struct FeatureReader {
    provenance: Provenance,
    reader: Reader,
    types: Vec<Type>,
    /// Per feature where its statuses are among the raw columns.
    statuses: Vec<Option<usize>>,
    file: String,
}

impl FeatureReader {
    /// Opens an output of a backfill.
    pub fn open(path: &Path) -> Result<FeatureReader, OfflineError> {
        let provenance = provenance(path)?;
        let file = path.display().to_string();
        let types = provenance
            .features
            .iter()
            .map(|feature| {
                feature.ty.parse::<Type>().map_err(|error| OfflineError::BadProvenance {
                    file: file.clone(),
                    reason: error.to_string(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let features = provenance.features.iter().zip(&types);
        let wanted: Vec<Wanted> =
            features.map(|(feature, ty)| Wanted { name: feature.name.clone(), ty: *ty }).collect();
        let opened = open(path)?;
        let statuses = provenance
            .features
            .iter()
            .map(|feature| opened.schema().index_of(&status_column(&feature.name)).ok())
            .map(|at| at.filter(|_| provenance.statuses))
            .collect();
        let reader = opened.read(&wanted, CHUNK_ROWS_DEFAULT, true)?;
        Ok(FeatureReader { provenance, reader, types, statuses, file })
    }

    /// What the footer says.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The next rows, `None` at the end.
    #[expect(
        clippy::should_implement_trait,
        reason = "an Iterator of Results hides `?` from callers"
    )]
    pub fn next(&mut self) -> Result<Option<Features>, OfflineError> {
        let Some(rows) = self.reader.next(BadRows::Refuse, &mut Rejects::new())? else {
            return Ok(None);
        };
        let mut part = self.empty();
        part.rows = rows.numbers.len();
        for ((feature, array), status) in
            part.features.iter_mut().zip(&rows.columns).zip(&self.statuses)
        {
            columns::append(&mut feature.column, array, &feature.name)?;
            if let Some(status) = status {
                let codes = rows.raw.column(*status).as_primitive_opt::<UInt8Type>();
                let codes = codes.map(|codes| codes.values().iter());
                let statuses = codes.into_iter().flatten().map(|code| Status::from_u8(*code));
                feature.statuses = statuses.collect::<Option<Vec<_>>>();
                if feature.statuses.as_ref().is_none_or(|statuses| statuses.len() != part.rows) {
                    return Err(OfflineError::BadProvenance {
                        file: self.file.clone(),
                        reason: format!("`{}` holds no statuses", status_column(&feature.name)),
                    });
                }
            }
        }
        Ok(Some(part))
    }

    fn empty(&self) -> Features {
        let features = self.provenance.features.iter().zip(&self.types).zip(&self.statuses);
        Features {
            provenance: self.provenance.clone(),
            rows: 0,
            features: features
                .map(|((feature, ty), statuses)| FeatureColumn {
                    name: feature.name.clone(),
                    column: Column::new(*ty),
                    statuses: statuses.map(|_| Vec::new()),
                })
                .collect(),
        }
    }
}
