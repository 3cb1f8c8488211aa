//! What a load came to: a table for people and JSON for programs. Times in tables are microseconds or
//! milliseconds, whichever is short; in JSON always microseconds.

use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use serde_json::{Map, Value as Json, json};

use super::draw::Arrivals;
use super::open_loop::{Load, Measured, Target};
use super::requests::Look;
use crate::show;

/// Percentiles that are told, by name.
const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// What was asked of the generator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) service: &'a str,
    pub(super) at: &'a str,
    pub(super) load: &'a Load,
    pub(super) entities: usize,
    pub(super) zipf: f64,
}

/// A load with its conditions and what came of it.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    asked: Asked<'a>,
    key_rows: usize,
    requests: usize,
    request_bytes_mean: f64,
    look: Look,
    measured: &'a Measured,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
impl<'a> Summary<'a> {
    pub(super) fn new(
        asked: Asked<'a>,
        target: &Target,
        key_rows: usize,
        look: Look,
        measured: &'a Measured,
    ) -> Self {
        let bytes: usize = target.requests.iter().map(bytes::Bytes::len).sum();
        let requests = target.requests.len();
        let request_bytes_mean = bytes as f64 / requests as f64;
        Self { asked, key_rows, requests, request_bytes_mean, look, measured }
    }

    fn per_second(&self, calls: u64) -> f64 {
        let seconds = self.measured.time.as_secs_f64();
        if seconds > 0.0 { calls as f64 / seconds } else { 0.0 }
    }

    fn answer_bytes_mean(&self) -> f64 {
        self.measured.answer_bytes as f64 / self.measured.answered().max(1) as f64
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let (asked, measured) = (&self.asked, self.measured);
        let mut counts = plain_table();
        let mut count = |what: &str, calls: u64| {
            let per_second = format!("{:.1}/s", self.per_second(calls));
            counts.add_row([what.to_owned(), show::thousands(calls), per_second]);
        };
        count("offered", measured.due);
        count("achieved", measured.answered_in_time);
        let late = measured.answered() - measured.answered_in_time;
        if late > 0 {
            count("answered after the end", late);
        }
        count("unsent (concurrency)", measured.unsent);
        for (name, failed) in &measured.errors {
            count(name, failed.calls);
        }
        align(&mut counts);
        let mut times = plain_table();
        let heads = PERCENTILES.iter().map(|(name, _)| (*name).to_owned());
        times.add_row(std::iter::once(String::new()).chain(heads));
        for (name, histogram) in self.histograms() {
            let cells = PERCENTILES.iter().map(|(_, quantile)| time(at(histogram, *quantile)));
            times.add_row(std::iter::once(name.to_owned()).chain(cells));
        }
        align(&mut times);
        let mut text = format!(
            "{} at {}: {:.1} calls a second ({}) for {:.1} s after {:.1} s of warm-up\n{}\n\n{counts}\n\n{times}",
            asked.service,
            asked.at,
            asked.load.rate_per_second,
            arrivals(asked.load),
            measured.time.as_secs_f64(),
            asked.load.warmup.as_secs_f64(),
            self.conditions(),
        );
        for (name, failed) in measured.errors.iter().filter(|(_, failed)| !failed.first.is_empty())
        {
            text.push_str(&format!("\n{name}: {}", failed.first));
        }
        if measured.unsent + measured.failed() > 0 {
            text.push_str(
                "\nPercentiles are of the answered calls only: the others waited longer or got nothing.",
            );
        }
        if measured.stopped {
            text.push_str("\nEnded early: calls that weren't due yet are in no figure.");
        }
        text
    }

    fn conditions(&self) -> String {
        let Asked { load, entities, zipf, .. } = self.asked;
        let skew = if zipf > 0.0 { format!("Zipf {zipf}") } else { "uniform".to_owned() };
        format!(
            "{entities} a call of {} keys, {skew}; request {:.0} bytes, answer {:.0}; {} connections, {} threads, \
             {} processors ({})",
            show::thousands(self.key_rows as u64),
            self.request_bytes_mean,
            self.answer_bytes_mean(),
            load.connections,
            load.threads,
            processors(),
            processor(),
        )
    }

    fn histograms(&self) -> Vec<(&'static str, &Histogram<u64>)> {
        let measured = self.measured;
        let mut all = vec![
            ("latency", &measured.latency),
            ("from sending", &measured.service),
            ("lateness", &measured.lateness),
        ];
        if !measured.refused.is_empty() {
            all.push(("until refused", &measured.refused));
        }
        all
    }

    /// For programs; units are the last word of a name.
    pub(super) fn json(&self) -> Json {
        let (asked, load, measured) = (&self.asked, self.asked.load, self.measured);
        let errors: Map<String, Json> = measured
            .errors
            .iter()
            .map(|(name, failed)| {
                ((*name).to_owned(), json!({ "calls": failed.calls, "first": failed.first }))
            })
            .collect();
        json!({
            "service": asked.service,
            "at": asked.at,
            "arrivals": arrivals(load),
            "rate_per_second": load.rate_per_second,
            "warmup_seconds": load.warmup.as_secs_f64(),
            "duration_seconds": measured.time.as_secs_f64(),
            "ended_early": measured.stopped,
            "entities": asked.entities,
            "zipf": asked.zipf,
            "seed": load.seed,
            "connections": load.connections,
            "concurrency": load.concurrency,
            "timeout_seconds": load.timeout.as_secs_f64(),
            "threads": load.threads,
            "key_rows": self.key_rows,
            "different_requests": self.requests,
            "request_bytes": self.request_bytes_mean,
            "answer_bytes": self.answer_bytes_mean(),
            "values_present_percent": percent(self.look.present, self.look.values),
            "values_not_found_percent": percent(self.look.not_found, self.look.values),
            "processor": processor(),
            "processors": processors(),
            "offered": measured.due,
            "unsent": measured.unsent,
            "answered": measured.answered(),
            "answered_in_time": measured.answered_in_time,
            "answers_within": measured.answers_within,
            "offered_per_second": self.per_second(measured.due),
            "achieved_per_second": self.per_second(measured.answered_in_time),
            "failed": measured.failed(),
            "errors": errors,
            "latency_us": percentiles(&measured.latency),
            "from_sending_us": percentiles(&measured.service),
            "lateness_us": percentiles(&measured.lateness),
            "until_refused_us": percentiles(&measured.refused),
        })
    }
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn arrivals(load: &Load) -> &'static str {
    match load.arrivals {
        Arrivals::Fixed => "fixed",
        Arrivals::Poisson => "poisson",
    }
}

/// Nanoseconds; none of an empty histogram.
fn at(histogram: &Histogram<u64>, quantile: f64) -> Option<u64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile).min(histogram.max()))
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn time(ns: Option<u64>) -> String {
    let Some(ns) = ns else { return "-".to_owned() };
    match ns as f64 / 1e3 {
        us if us < 10.0 => format!("{us:.2} us"),
        us if us < 1_000.0 => format!("{us:.0} us"),
        us if us < 10_000.0 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.0} ms", us / 1e3),
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are right")]
fn percentiles(histogram: &Histogram<u64>) -> Json {
    let us = |quantile| at(histogram, quantile).map_or(Json::Null, |ns| (ns as f64 / 1e3).into());
    let mut told: Map<String, Json> =
        PERCENTILES.iter().map(|(name, quantile)| ((*name).to_owned(), us(*quantile))).collect();
    if !histogram.is_empty() {
        told.insert("mean".to_owned(), (histogram.mean() / 1e3).into());
    }
    Json::Object(told)
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

/// The name of this machine's processor, where Linux tells it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".to_owned(), |(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_an_empty_histogram_has_none() -> anyhow::Result<()> {
        let shown = [1_500, 120_000, 1_234_000, 250_000_000].map(|ns| time(Some(ns)));
        assert_eq!(shown, ["1.50 us", "120 us", "1.23 ms", "250 ms"]);
        let histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000, 3)?;
        assert_eq!(time(at(&histogram, 0.5)), "-");
        assert_eq!(percentiles(&histogram)["p50"], Json::Null);
        Ok(())
    }
}
