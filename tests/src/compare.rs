//! Bytes against bytes: the same feature, told twice. A difference says where it is and what both
//! said; nothing is rounded, no NaN is equal to another of different bits.

use anyhow::{Result, ensure};
use skewless_batch::Column;
use skewless_catalog::Status;

/// One feature of every question, as one of the paths told it.
pub struct Told<'a> {
    /// The feature's name.
    pub name: &'a str,
    /// Its values.
    pub column: &'a Column,
    /// Its statuses, a byte a row.
    pub statuses: &'a [u8],
}

/// What came of a comparison.
#[derive(Default, Debug)]
pub struct Comparison {
    /// Values compared.
    pub values: u64,
    /// Of those, values that differ in status or bytes.
    pub mismatches: u64,
    /// How many values had which status, by [`Status`] number.
    pub statuses: [u64; 6],
    /// The first differences, in words.
    pub shown: Vec<String>,
}

const SHOWN_MAX: usize = 10;

impl Comparison {
    /// Adds one feature, told by two paths.
    pub fn add(&mut self, one: &Told<'_>, other: &Told<'_>) -> Result<()> {
        let rows = one.statuses.len();
        ensure!(one.name == other.name, "{} was compared with {}", one.name, other.name);
        ensure!(
            [other.statuses.len(), one.column.len(), other.column.len()] == [rows; 3],
            "{}: {rows} rows were told by one path, {} by the other",
            one.name,
            other.statuses.len(),
        );
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for row in 0..rows {
            here.clear();
            there.clear();
            here.push(one.statuses[row]);
            there.push(other.statuses[row]);
            one.column.value(row).canonical_bytes(&mut here);
            other.column.value(row).canonical_bytes(&mut there);
            self.values += 1;
            self.statuses[usize::from(one.statuses[row]).min(5)] += 1;
            if here != there {
                self.mismatches += 1;
                if self.shown.len() < SHOWN_MAX {
                    self.shown.push(format!(
                        "{} of row {row}: {} {:?} and {} {:?}",
                        one.name,
                        status(one.statuses[row]),
                        one.column.value(row),
                        status(other.statuses[row]),
                        other.column.value(row),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Fails with the first differences if there are any.
    pub fn ensure_same(&self, what: &str) -> Result<()> {
        ensure!(
            self.mismatches == 0,
            "{what}: {} of {} values differ\n{}",
            self.mismatches,
            self.values,
            self.shown.join("\n")
        );
        Ok(())
    }
}

fn status(number: u8) -> &'static str {
    Status::from_u8(number).map_or("no status", Status::name)
}
