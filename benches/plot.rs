//! Plots as SVG.

use std::fmt::Write;

/// The size of a plot, and the margins for its axes.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 50.0;

/// The most points of a curve. More would not be visible.
const MAX_POINTS: usize = 400;

/// Colours that people with red-green colour blindness can distinguish (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A plot of some curves.
pub(crate) struct Plot {
    /// The name of the file.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) curves: Vec<Curve>,
}

/// An axis. It starts at 0 unless it is logarithmic.
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) logarithmic: bool,
}

/// A curve through points in order.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// An axis with its range.
struct Scale {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Scale {
    fn new(axis: &Axis, values: impl Iterator<Item = f64> + Clone) -> Self {
        let high = values.clone().fold(0.0, f64::max);
        if axis.logarithmic {
            // A watcher may see a correction before the writer of the drift gets its answer. That counts as 0 ms.
            let low = values.filter(|value| *value > 0.0).fold(high, f64::min);
            return Self {
                low: 10f64.powf(low.log10().floor()),
                high: 10f64.powf(high.log10().ceil()),
                logarithmic: true,
            };
        }
        let step = step(high);
        Self { low: 0.0, high: (high / step).ceil() * step, logarithmic: false }
    }

    /// The position of a value, from 0 to 1.
    fn position(&self, value: f64) -> f64 {
        if self.logarithmic {
            (value.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            value / self.high
        }
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let powers = self.low.log10().round() as i32..=self.high.log10().round() as i32;
            return powers.map(|power| 10f64.powi(power)).collect();
        }
        let step = step(self.high);
        (0..=(self.high / step).round() as u32).map(|tick| f64::from(tick) * step).collect()
    }
}

/// A round distance between ticks that gives an axis four to ten of them.
fn step(high: f64) -> f64 {
    let power = 10f64.powf((high / 4.0).log10().floor());
    [5.0, 2.0, 1.0].map(|factor| factor * power).into_iter().find(|step| high / step >= 4.0).unwrap_or(power)
}

impl Plot {
    /// The distribution of latencies, on a logarithmic axis.
    pub(crate) fn latencies(name: &'static str, title: &'static str, curves: Vec<Curve>) -> Self {
        let x = Axis { label: "milliseconds", logarithmic: true };
        Self { name, title, x, y: Axis { label: "% done", logarithmic: false }, curves }
    }

    pub(crate) fn svg(&self) -> String {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let x = Scale::new(&self.x, points().map(|point| point.0));
        let y = Scale::new(&self.y, points().map(|point| point.1));
        let at_x = |value: f64| LEFT + x.position(value) * (WIDTH - LEFT - RIGHT);
        let at_y = |value: f64| HEIGHT - BOTTOM - y.position(value) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
            self.title
        );
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in x.ticks() {
            let x = at_x(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
                bottom + 17.0
            );
        }
        for tick in y.ticks() {
            let y = at_y(tick);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 12.0,
            self.x.label
        );
        let _ = writeln!(
            svg,
            "<text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (TOP + bottom) / 2.0,
            self.y.label
        );
        for (index, curve) in self.curves.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let path: Vec<String> =
                thinned(&curve.points).map(|point| format!("{:.1} {:.1}", at_x(point.0), at_y(point.1))).collect();
            let _ =
                writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join("L"));
            let x = LEFT + index as f64 * (right - LEFT) / self.curves.len() as f64;
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} 42h18\" stroke=\"{colour}\" stroke-width=\"3\"/><text x=\"{:.1}\" y=\"46\">{}</text>",
                x + 24.0,
                curve.name
            );
        }
        svg + "</svg>\n"
    }
}

/// Drops points so that at most [`MAX_POINTS`] remain, and always keeps the first and the last.
fn thinned(points: &[(f64, f64)]) -> impl Iterator<Item = &(f64, f64)> {
    let every = points.len().div_ceil(MAX_POINTS).max(1);
    points
        .iter()
        .enumerate()
        .filter(move |(index, _)| index % every == 0 || index + 1 == points.len())
        .map(|(_, point)| point)
}
