//! The file of keys and request values that a load draws its calls from: CSV or Parquet, to typed columns.
//! What it needs to hold is the service's.

use std::path::Path;

use anyhow::Context;
use skewless_batch::{Column, Type};

use crate::exit::{Failure, Next, Outcome};
use crate::typed;

/// Rows of a file at most: they are held in memory, and a sample is as good.
const KEY_ROWS_MAX: usize = 10_000_000;

/// A column that is asked of the file.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) ty: Type,
    /// Whether the file may lack it.
    pub(super) optional: bool,
}

/// A file's rows.
#[derive(Debug)]
pub(super) struct Keys {
    /// More than 0.
    pub(super) rows: usize,
    /// Parallel to what was wanted; none for an optional column that the file lacks.
    pub(super) columns: Vec<Option<Column>>,
}

/// Reads the wanted columns; the others don't matter.
pub(super) fn read(path: &Path, wanted: &[Wanted]) -> Outcome<Keys> {
    let parquet = path.extension().is_some_and(|end| end == "parquet") || begins_as_parquet(path);
    let columns = if parquet { parquet_columns(path, wanted)? } else { csv_columns(path, wanted)? };
    let rows = columns.iter().flatten().map(Column::len).max();
    // A service without keys and request values has rows that are all alike: one is all of them.
    let rows = if wanted.is_empty() { 1 } else { rows.unwrap_or(0) };
    if rows == 0 {
        let message = format!("expected rows in {}, came none", path.display());
        return Err(Failure::new(message, "give a file with the keys to ask for, one row a call"));
    }
    if rows > KEY_ROWS_MAX {
        let message =
            format!("expected at most {KEY_ROWS_MAX} rows in {}, came {rows}", path.display());
        return Err(Failure::new(message, "give a sample of the rows"));
    }
    Ok(Keys { rows, columns })
}

fn begins_as_parquet(path: &Path) -> bool {
    use std::io::Read;
    let mut first = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first));
    read.is_ok() && &first == b"PAR1"
}

/// Names the columns that the file lacks, and those it has.
fn lacks(path: &Path, wanted: &[Wanted], has: &[String]) -> Outcome {
    let missing: Vec<String> = wanted
        .iter()
        .filter(|of| !of.optional && !has.contains(&of.name))
        .map(|of| format!("`{}` ({})", of.name, of.ty))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let has: Vec<String> = has.iter().map(|name| format!("`{name}`")).collect();
    Err(Failure::new(
        format!("expected the columns {} in {}", missing.join(", "), path.display()),
        format!("name them as the service does; the file has {}", has.join(", ")),
    ))
}

fn parquet_columns(path: &Path, wanted: &[Wanted]) -> Outcome<Vec<Option<Column>>> {
    let next = || "give a Parquet file or a CSV file with a line of names";
    let has = skewless_offline::column_names(path).or_next(next)?;
    lacks(path, wanted, &has)?;
    let there: Vec<(String, Type)> = wanted
        .iter()
        .filter(|of| has.contains(&of.name))
        .map(|of| (of.name.clone(), of.ty))
        .collect();
    let mut read = skewless_offline::read_columns(path, &there)
        .or_next(|| "give columns of the types that the service declares")?
        .into_iter();
    Ok(wanted
        .iter()
        .map(|of| read.by_ref().take(usize::from(has.contains(&of.name))).next())
        .collect())
}

fn csv_columns(path: &Path, wanted: &[Wanted]) -> Outcome<Vec<Option<Column>>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("can't read {}", path.display()))
        .or_next(|| "give a CSV file with a line of names, or a .parquet file")?;
    let mut records = Records::new(&text);
    let mut cells = Vec::new();
    records.next(&mut cells);
    let has: Vec<String> = cells.iter().map(|cell| cell.text.trim().to_owned()).collect();
    lacks(path, wanted, &has)?;
    let places: Vec<Option<usize>> =
        wanted.iter().map(|of| has.iter().position(|name| *name == of.name)).collect();
    let mut columns: Vec<Option<Column>> =
        wanted.iter().zip(&places).map(|(of, place)| place.map(|_| Column::new(of.ty))).collect();
    while let Some(line) = records.next(&mut cells) {
        if cells.len() != has.len() {
            let message = format!(
                "expected {} cells in {}:{line}, came {}",
                has.len(),
                path.display(),
                cells.len()
            );
            return Err(Failure::new(message, "put cells with commas or line ends into quotes"));
        }
        for ((column, place), of) in columns.iter_mut().zip(&places).zip(wanted) {
            let (Some(column), Some(place)) = (column, place) else { continue };
            let cell = &cells[*place];
            if cell.text.is_empty() && !cell.quoted {
                column.push_null();
                continue;
            }
            typed::push_text(column, &cell.text)
                .with_context(|| format!("`{}` in {}:{line}", of.name, path.display()))
                .or_next(|| "write values as `skewless get` takes them; an empty cell is null")?;
        }
    }
    Ok(columns)
}

/// Records of a CSV text: commas, quotes that are doubled inside quotes, line ends inside quotes (RFC 4180).
struct Records<'a> {
    rest: &'a str,
    line: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Cell {
    text: String,
    quoted: bool,
}

impl<'a> Records<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 }
    }

    /// The next record and the line it begins in; empty lines are skipped.
    fn next(&mut self, cells: &mut Vec<Cell>) -> Option<usize> {
        cells.clear();
        while let Some(rest) =
            self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n'))
        {
            self.rest = rest;
            self.line += 1;
        }
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        loop {
            cells.push(self.cell());
            match self.rest.strip_prefix(',') {
                Some(rest) => self.rest = rest,
                None => break,
            }
        }
        self.rest = self.rest.strip_prefix('\r').unwrap_or(self.rest);
        if let Some(rest) = self.rest.strip_prefix('\n') {
            self.rest = rest;
            self.line += 1;
        }
        Some(line)
    }

    /// One cell, up to its comma or line end.
    fn cell(&mut self) -> Cell {
        let (mut text, mut quoted) = (String::new(), false);
        if let Some(rest) = self.rest.strip_prefix('"') {
            quoted = true;
            self.rest = rest;
            // A quote that never ends takes the rest of the file.
            while !self.rest.is_empty() {
                let end = self.rest.find('"').unwrap_or(self.rest.len());
                let part = &self.rest[..end];
                self.line += part.matches('\n').count();
                text.push_str(part);
                self.rest = self.rest.get(end + 1..).unwrap_or_default();
                match self.rest.strip_prefix('"') {
                    Some(rest) => {
                        text.push('"');
                        self.rest = rest;
                    }
                    None => break,
                }
            }
        }
        let end = self.rest.find([',', '\n', '\r']).unwrap_or(self.rest.len());
        text.push_str(&self.rest[..end]);
        self.rest = &self.rest[end..];
        Cell { text, quoted }
    }
}

#[cfg(test)]
mod tests {
    use skewless_batch::Value;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".csv").expect("a file");
        std::fs::write(file.path(), text).expect("written");
        file
    }

    fn wanted(name: &str, ty: Type, optional: bool) -> Wanted {
        Wanted { name: name.to_owned(), ty, optional }
    }

    fn refused(text: &str, wanted: &[Wanted]) -> (String, String) {
        match read(file(text).path(), wanted) {
            Err(Failure::Failed { error, next }) => {
                (format!("{error:#}"), next.unwrap_or_default())
            }
            other => panic!("expected a refusal, came {other:?}"),
        }
    }

    #[test]
    fn a_csv_file_gives_typed_columns_by_name_whatever_their_order() {
        let text = "\u{feff}name,other,id\r\n\"a, \"\"b\"\"\nc\",x,7\r\n\r\n,y,8\n\"\",z,9";
        let wanted = [
            wanted("id", Type::Int64, false),
            wanted("name", Type::Utf8, false),
            wanted("at", Type::Timestamp, true),
        ];
        let keys = read(file(text).path(), &wanted).expect("a good file");
        assert_eq!(keys.rows, 3);
        let [Some(id), Some(name), None] = &keys.columns[..] else { panic!("{keys:?}") };
        let values = |column: &Column| {
            (0..3).map(|row| format!("{:?}", column.value(row))).collect::<Vec<_>>()
        };
        assert_eq!(values(id), [7, 8, 9].map(|id| format!("{:?}", Value::Int64(id))));
        let names = [Value::Utf8("a, \"b\"\nc"), Value::Null, Value::Utf8("")];
        assert_eq!(values(name), names.map(|name| format!("{name:?}")));
    }

    #[test]
    fn a_bad_file_is_refused_by_what_and_where() {
        let id = [wanted("id", Type::Int64, false)];
        let (error, next) = refused("key\n1\n", &id);
        assert!(error.contains("`id` (int64)") && next.contains("`key`"), "{error} {next}");
        assert!(refused("id\n", &id).0.contains("expected rows"));
        assert!(refused("", &id).0.contains("`id`"));
        let (error, _) = refused("id,x\n1,2\n\"3\n\n\",4\n", &id);
        assert!(error.contains("csv:3") && error.contains("expected int64"), "{error}");
        assert!(refused("id,x\n1,2\n3\n", &id).0.contains(":3, came 1"));
    }
}
