//! Histograms as files that other tools read: the percentile table (`.hgrm`) that HdrHistogram's own plotter
//! takes; not its compressed log. Shared by source with `tests/bench`.

use std::io::{self, Write};

use hdrhistogram::Histogram;

/// Lines of the table between a percentile and the one half as far from 100 %: what HdrHistogram takes.
const STEPS_PER_HALF: u32 = 5;
/// Histograms hold nanoseconds, files milliseconds, as the plotter expects.
const NS_PER_MS: f64 = 1e6;

/// Percentiles as text, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "more digits than a histogram has")]
pub(crate) fn table(histogram: &Histogram<u64>, out: &mut dyn Write) -> io::Result<()> {
    let ms = |ns: u64| ns as f64 / NS_PER_MS;
    writeln!(
        out,
        "{:>16} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    )?;
    let mut total = 0;
    for step in histogram.iter_quantiles(STEPS_PER_HALF) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (ms(step.value_iterated_to()), step.quantile_iterated_to());
        if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(out, "{value:>16.6} {quantile:>14.12} {total:>10} {inverse:>14.2}")?;
        } else {
            writeln!(out, "{value:>16.6} {quantile:>14.12} {total:>10}")?;
        }
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_MS, histogram.stdev() / NS_PER_MS);
    writeln!(out, "#[Mean    = {mean:>14.6}, StdDeviation   = {deviation:>14.6}]")?;
    let (max, count) = (ms(histogram.max()), histogram.len());
    writeln!(out, "#[Max     = {max:>14.6}, Total count    = {count:>14}]")?;
    let buckets = histogram.buckets();
    let sub = (2 * 10_u64.pow(histogram.sigfig().into())).next_power_of_two();
    writeln!(out, "#[Buckets = {buckets:>14}, SubBuckets     = {sub:>14}]")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, Result};

    use super::*;

    fn histogram() -> Result<Histogram<u64>> {
        let mut histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3)?;
        for ms in 1..=1_000_u64 {
            histogram.record(ms * 1_000_000)?;
        }
        Ok(histogram)
    }

    #[test]
    fn the_table_has_milliseconds_that_rise_to_the_greatest() -> Result<()> {
        let mut bytes = Vec::new();
        table(&histogram()?, &mut bytes)?;
        let text = String::from_utf8(bytes)?;
        let values: Vec<f64> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| {
                line.split_whitespace().next().context("a value")?.parse().context("a number")
            })
            .collect::<Result<_>>()?;
        assert!(values.is_sorted() && values.len() > 20, "{text}");
        let last = values.last().context("a last value")?;
        assert!((1_000.0..1_001.0).contains(last), "{text}");
        let half = text.lines().find(|line| line.contains(" 0.500000000000 ")).context("p50")?;
        assert!(half.trim_start().starts_with("500."), "{half}");
        assert!(text.contains("Total count    =           1000]"), "{text}");
        assert!(text.contains("SubBuckets     =           2048]"), "{text}");
        Ok(())
    }
}
