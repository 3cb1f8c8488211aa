//! Lines as SVG for the report: a few series over two axes, legible on a light and on a dark page; no other
//! kind of picture.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 20.0;
/// Room for the title and two rows of names.
const TOP: f64 = 74.0;
const BOTTOM: f64 = 52.0;
/// Series of one plot at most: there are no more colours that differ for everyone (after Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// Lines over two axes.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// One axis.
#[derive(Clone, Copy)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) scale: Scale,
}

/// How values are spread over an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0.
    Linear,
    /// Decades.
    Log,
    /// Quantiles below 1: each nine has the same room.
    Nines,
}

/// One line.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Floors are dashed.
    pub(crate) floor: bool,
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
            Self::Nines => -(1.0 - value).max(1e-9).log10(),
        }
    }

    /// Where ticks are between two places, and what they say.
    fn ticks(self, low: f64, high: f64) -> Vec<(f64, String)> {
        match self {
            Self::Linear => {
                let rough = (high - low) / 5.0;
                let power = 10_f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|part| part * power);
                let step = step.into_iter().find(|step| *step >= rough).unwrap_or(rough);
                let first = (low / step).ceil() as i64;
                let ticks = (first..).map(|at| at as f64 * step);
                ticks.take_while(|at| *at <= high * 1.000_001).map(|at| (at, short(at))).collect()
            }
            Self::Log => (low.floor() as i32..=high.ceil() as i32)
                .map(|power| (f64::from(power), short(10_f64.powi(power))))
                .filter(|(at, _)| (low - 1e-9..=high + 1e-9).contains(at))
                .collect(),
            Self::Nines => [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999]
                .map(|quantile| (self.place(quantile), format!("p{}", digits(quantile * 100.0))))
                .into_iter()
                .filter(|(at, _)| (low - 1e-9..=high + 1e-9).contains(at))
                .collect(),
        }
    }
}

/// A number without digits that say nothing.
fn digits(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{}M", digits(value / 1e6)),
        size if size >= 1e3 => format!("{}k", digits(value / 1e3)),
        _ => digits(value),
    }
}

/// An axis with its ends and the room it has, in pixels.
struct Fitted {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Fitted {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let places = values.filter(|value| value.is_finite()).map(|value| scale.place(value));
        let (mut low, mut high) = places
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| {
                (low.min(at), high.max(at))
            });
        if !low.is_finite() {
            (low, high) = (0.0, 1.0);
        }
        match scale {
            Scale::Linear => low = low.min(0.0),
            Scale::Log => (low, high) = (low.floor(), high.ceil()),
            Scale::Nines => {}
        }
        if high - low < 1e-9 {
            high = low + 1.0;
        }
        Self { scale, low, high, from, to }
    }

    fn pixel(&self, value: f64) -> f64 {
        self.of_place(self.scale.place(value))
    }

    fn of_place(&self, place: f64) -> f64 {
        self.from + (place - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// The picture as a file's text.
pub(crate) fn svg(plot: &Plot) -> String {
    let points = || plot.series.iter().flat_map(|series| &series.points);
    let x = Fitted::new(plot.x.scale, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let y = Fitted::new(plot.y.scale, points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\">\n<title>{}</title>\n<style>\n\
         .page {{ fill: #ffffff }} text {{ fill: #1f2328 }} .grid {{ stroke: #d0d7de; stroke-width: 1 }}\n\
         .line {{ fill: none; stroke-width: 2 }}\n\
         @media (prefers-color-scheme: dark) {{ .page {{ fill: #0d1117 }} text {{ fill: #e6edf3 }} .grid {{ stroke: #30363d }} }}\n\
         </style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n",
        escaped(&plot.title)
    );
    text(&mut out, LEFT, 20.0, "start", &plot.title);
    for (place, label) in x.scale.ticks(x.low, x.high) {
        let at = x.of_place(place);
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{:.1}\"/>", HEIGHT - BOTTOM);
        text(&mut out, at, HEIGHT - BOTTOM + 18.0, "middle", &label);
    }
    for (place, label) in y.scale.ticks(y.low, y.high) {
        let at = y.of_place(place);
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/>", WIDTH - RIGHT);
        text(&mut out, LEFT - 8.0, at + 4.0, "end", &label);
    }
    text(&mut out, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12.0, "middle", plot.x.label);
    let (middle, turned) = ((TOP + HEIGHT - BOTTOM) / 2.0, 16.0);
    let _ = writeln!(
        out,
        "<text transform=\"translate({turned},{middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        escaped(plot.y.label)
    );
    let (mut legend, mut row) = (LEFT, 38.0);
    for (series, colour) in plot.series.iter().zip(COLOURS.iter().cycle()) {
        let dashes = if series.floor { " stroke-dasharray=\"6 4\"" } else { "" };
        let path: Vec<String> = series
            .points
            .iter()
            .map(|(at, value)| format!("{:.1} {:.1}", x.pixel(*at), y.pixel(*value)))
            .collect();
        if !path.is_empty() {
            let _ = writeln!(
                out,
                "<path class=\"line\" stroke=\"{colour}\"{dashes} d=\"M{}\"/>",
                path.join("L")
            );
        }
        // About seven pixels a letter.
        let room = 50.0 + 7.0 * series.name.len() as f64;
        if legend + room > WIDTH {
            (legend, row) = (LEFT, row + 18.0);
        }
        let _ = writeln!(
            out,
            "<path class=\"line\" stroke=\"{colour}\"{dashes} d=\"M{legend:.1} {row}H{:.1}\"/>",
            legend + 24.0
        );
        text(&mut out, legend + 30.0, row + 4.0, "start", &series.name);
        legend += room;
    }
    out.push_str("</svg>\n");
    out
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(words)
    );
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
