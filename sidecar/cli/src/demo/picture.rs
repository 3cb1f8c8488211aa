//! A small SVG of what the backfill made: distributions and one relation to the label. A picture for a
//! first look, not a chart library: panels of bars or points in a row.

use std::fmt::Write as _;

/// Size of one panel and of the room for its labels, in SVG units.
const PANEL_WIDTH: f64 = 330.0;
const PANEL_HEIGHT: f64 = 230.0;
const LEFT: f64 = 58.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;
const GAP: f64 = 16.0;

const INK: &str = "#1f2933";
const SOFT: &str = "#9aa5b1";
const BAR: &str = "#3e7cb1";
const POINT: &str = "#d1495b";

/// One part of the picture.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x: String,
    pub(crate) y: String,
    /// Lower edge of the first bin, and the width of each.
    pub(crate) start: f64,
    pub(crate) step: f64,
    /// One per bin; `None`: nothing to show there.
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) marks: Marks,
}

/// How values are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    /// From zero up: counts.
    Bars,
    /// At their height, joined: means.
    Points,
}

/// Counts of `values` in bins of `step` from `start`; what is outside goes into the first and last bin.
pub(crate) fn histogram(
    values: impl Iterator<Item = f64>,
    start: f64,
    step: f64,
    bins: usize,
) -> Vec<Option<f64>> {
    let mut counts = vec![0.0; bins];
    for value in values.filter(|value| value.is_finite()) {
        counts[bin(value, start, step, bins)] += 1.0;
    }
    counts.into_iter().map(Some).collect()
}

/// The mean of `y` in bins of `x`; bins with fewer than `fewest` values show nothing.
pub(crate) fn means(
    pairs: impl Iterator<Item = (f64, f64)>,
    start: f64,
    step: f64,
    bins: usize,
    fewest: usize,
) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_usize); bins];
    for (x, y) in pairs.filter(|(x, y)| x.is_finite() && y.is_finite()) {
        let sum = &mut sums[bin(x, start, step, bins)];
        *sum = (sum.0 + y, sum.1 + 1);
    }
    let mean = |(sum, count): (f64, usize)| (count >= fewest).then(|| sum / as_f64(count));
    sums.into_iter().map(mean).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the bins first"
)]
fn bin(value: f64, start: f64, step: f64, bins: usize) -> usize {
    ((value - start) / step).floor().clamp(0.0, as_f64(bins - 1)) as usize
}

#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

/// The whole picture.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let width = as_f64(panels.len()) * (PANEL_WIDTH + GAP) + GAP;
    let height = PANEL_HEIGHT + TOP + BOTTOM;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        let _ = writeln!(
            out,
            "<g transform=\"translate({},{TOP})\">",
            GAP + as_f64(at) * (PANEL_WIDTH + GAP)
        );
        draw(panel, &mut out);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn draw(panel: &Panel, out: &mut String) {
    let scale = Scale::of(panel);
    let right = PANEL_WIDTH;
    text(out, LEFT, -16.0, "start", 14.0, &panel.title);
    text(out, (LEFT + right) / 2.0, PANEL_HEIGHT + 40.0, "middle", 12.0, &panel.x);
    text(out, LEFT, -2.0, "start", 10.0, &panel.y);
    for tick in scale.ticks() {
        let y = scale.y(tick);
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"{SOFT}\" stroke-width=\"0.5\"/>"
        );
        text(out, LEFT - 6.0, y + 4.0, "end", 10.0, &number(tick));
    }
    marks(panel, &scale, out);
    let bins = panel.values.len();
    for at in (0..=bins).step_by((bins / 5).max(1)) {
        let x = scale.x(as_f64(at));
        text(
            out,
            x,
            PANEL_HEIGHT + 16.0,
            "middle",
            10.0,
            &number(panel.start + as_f64(at) * panel.step),
        );
    }
}

fn marks(panel: &Panel, scale: &Scale, out: &mut String) {
    let mut line = String::new();
    for (at, value) in panel.values.iter().enumerate() {
        let Some(value) = *value else {
            line.push(' ');
            continue;
        };
        let (left, right, y) = (scale.x(as_f64(at)), scale.x(as_f64(at + 1)), scale.y(value));
        match panel.marks {
            Marks::Bars => {
                let height = scale.y(0.0) - y;
                let width = (right - left - 1.0).max(0.5);
                let _ = writeln!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{BAR}\"/>"
                );
            }
            Marks::Points => {
                let x = f64::midpoint(left, right);
                let _ = writeln!(
                    out,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{POINT}\"/>"
                );
                let pen = if line.is_empty() || line.ends_with(' ') { 'M' } else { 'L' };
                let _ = write!(line, "{pen}{x:.1} {y:.1}");
            }
        }
    }
    if panel.marks == Marks::Points {
        let _ = writeln!(
            out,
            "<path d=\"{}\" fill=\"none\" stroke=\"{POINT}\" stroke-width=\"1.5\"/>",
            line.trim()
        );
    }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, size: f64, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{words}</text>"
    );
}

fn number(value: f64) -> String {
    if value.abs() >= 10_000.0 { format!("{}k", value / 1000.0) } else { format!("{value}") }
}

/// From bins and values to places in the panel.
struct Scale {
    bins: f64,
    low: f64,
    high: f64,
    tick: f64,
}

impl Scale {
    fn of(panel: &Panel) -> Self {
        let known = || panel.values.iter().flatten().copied();
        let zero = if panel.marks == Marks::Bars { 0.0 } else { f64::INFINITY };
        let (low, high) = (known().fold(zero, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
        let (low, high) = if low < high { (low, high) } else { (0.0, 1.0) };
        let tick = nice((high - low) / 4.0);
        let (low, high) = ((low / tick).floor() * tick, (high / tick).ceil() * tick);
        Self { bins: as_f64(panel.values.len().max(1)), low, high, tick }
    }

    fn x(&self, bin: f64) -> f64 {
        LEFT + bin / self.bins * (PANEL_WIDTH - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        PANEL_HEIGHT * (1.0 - (value - self.low) / (self.high - self.low))
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let (low, tick, high) = (self.low, self.tick, self.high);
        (0..16)
            .map(move |at| low + f64::from(at) * tick)
            .take_while(move |value| *value <= high + tick / 2.0)
    }
}

/// The next of 1, 2, 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= step).unwrap_or(10.0);
    digit * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_bins_and_the_outer_ones_take_the_rest() {
        let values = [-5.0, 0.0, 9.9, 10.0, 25.0, f64::NAN];
        let expected = [Some(3.0), Some(1.0), Some(1.0)];
        assert_eq!(histogram(values.into_iter(), 0.0, 10.0, 3), expected);
    }

    #[test]
    fn a_mean_of_too_few_values_is_not_shown() {
        let pairs = [(1.0, 10.0), (2.0, 20.0), (11.0, 5.0)];
        assert_eq!(means(pairs.into_iter(), 0.0, 10.0, 2, 2), [Some(15.0), None]);
    }

    #[test]
    fn every_value_is_drawn_inside_its_panel() {
        let values = vec![Some(2.0), None, Some(8.0), Some(5.0)];
        let panel = |marks| Panel {
            title: "a < b".to_owned(),
            x: "x".to_owned(),
            y: "y".to_owned(),
            start: 0.0,
            step: 1.0,
            values: values.clone(),
            marks,
        };
        let drawn = svg(&[panel(Marks::Bars), panel(Marks::Points)]);
        assert_eq!(drawn.matches("fill=\"#3e7cb1\"").count(), 3);
        assert_eq!(drawn.matches("<circle").count(), 3);
        assert!(drawn.contains("a &lt; b") && !drawn.contains("NaN"));
    }
}
