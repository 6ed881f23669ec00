//! Line charts as inline SVG.

use std::fmt::Write as _;

use super::escape;
use super::ticks::{labelled, linear_ticks, log_ticks, significant};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 46.0;
/// Number of colours that the style sheet has for lines.
const COLOURS: usize = 6;
/// More points than this on one line cannot be told apart; they are averaged in groups.
const MAX_POINTS: usize = 1200;

/// A line chart.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x_label: String,
    y_label: String,
    log: bool,
    smoothing: usize,
    series: Vec<Series>,
}

#[derive(Clone, Debug)]
struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Chart {
    /// An empty chart with linear axes.
    pub fn new(title: &str, x_label: &str, y_label: &str) -> Chart {
        Chart {
            title: title.to_owned(),
            x_label: x_label.to_owned(),
            y_label: y_label.to_owned(),
            log: false,
            smoothing: 1,
            series: Vec::new(),
        }
    }

    /// Makes the vertical axis logarithmic; values that are not above zero are left out.
    pub fn log(mut self) -> Chart {
        self.log = true;
        self
    }

    /// Draws a line smoothed over `window` neighbouring points, and the values themselves pale behind it.
    pub fn smoothed(mut self, window: usize) -> Chart {
        self.smoothing = window.max(1);
        self
    }

    /// Adds a line through `(x, y)`, in the order of x; a value that is not finite is a gap.
    pub fn series(mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Chart {
        self.series.push(Series { name: name.to_owned(), points: points.into_iter().collect() });
        self
    }

    /// The chart with its title and legend.
    pub(super) fn html(&self) -> String {
        let mut html = format!("<div class=\"chart\"><h3>{}</h3>\n<ul class=\"legend\">", escape(&self.title));
        for (index, series) in self.series.iter().enumerate() {
            let colour = index % COLOURS;
            let _ = write!(html, "<li><i class=\"b{colour}\"></i>{}</li>", escape(&series.name));
        }
        html.push_str("</ul>\n");
        html.push_str(&self.svg());
        html.push_str("</div>\n");
        html
    }

    fn svg(&self) -> String {
        let (title, height) = (escape(&self.title), HEIGHT + TOP);
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n");
        let raw: Vec<Vec<(f64, f64)>> = self.series.iter().map(|series| self.drawable(&series.points)).collect();
        let Some(frame) = Frame::around(&raw, self.log) else {
            let (x, y) = (WIDTH / 2.0, HEIGHT / 2.0);
            let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">no values</text></svg>");
            return svg;
        };
        self.draw_axes(&mut svg, &frame);
        for (index, points) in raw.iter().enumerate() {
            let colour = index % COLOURS;
            if self.smoothing > 1 {
                let path = frame.path(&thinned(points));
                let _ = writeln!(svg, "<path class=\"line raw c{colour}\" d=\"{path}\"/>");
            }
        }
        // All smooth lines lie above all pale ones.
        for (index, points) in raw.iter().enumerate() {
            let path = frame.path(&thinned(&smooth(points, self.smoothing)));
            let _ = writeln!(svg, "<path class=\"line c{}\" d=\"{path}\"/>", index % COLOURS);
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// The points with every value that cannot be drawn turned into a gap.
    fn drawable(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let value = |y: f64| if self.log && y <= 0.0 { f64::NAN } else { y };
        points.iter().filter(|(x, _)| x.is_finite()).map(|&(x, y)| (x, value(y))).collect()
    }

    fn draw_axes(&self, svg: &mut String, frame: &Frame) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (value, label) in frame.y_ticks() {
            let y = frame.y(value);
            let _ = write!(svg, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            let (x, y) = (LEFT - 8.0, y + 4.0);
            let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>");
        }
        for (value, label) in labelled(&linear_ticks(frame.x_low, frame.x_high, 8)) {
            let (x, below, label_y) = (frame.x(value), bottom + 5.0, bottom + 20.0);
            let _ = write!(svg, "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{below}\"/>");
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{label_y}\" text-anchor=\"middle\">{label}</text>");
        }
        let _ = writeln!(svg, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>");
        let (middle, label_y) = ((LEFT + right) / 2.0, bottom + 40.0);
        let x_label = escape(&self.x_label);
        let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{label_y}\" text-anchor=\"middle\">{x_label}</text>");
        let (middle, y_label) = ((TOP + bottom) / 2.0, escape(&self.y_label));
        let _ = writeln!(
            svg,
            "<text transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">{y_label}</text>"
        );
    }
}

/// The ranges of the two axes; with a logarithmic axis, `y_low` and `y_high` are logarithms.
struct Frame {
    x_low: f64,
    x_high: f64,
    y_low: f64,
    y_high: f64,
    log: bool,
}

impl Frame {
    /// The frame that holds all finite points, or none if there are none.
    fn around(lines: &[Vec<(f64, f64)>], log: bool) -> Option<Frame> {
        let finite = || lines.iter().flatten().filter(|(_, y)| y.is_finite());
        let mut ranges = [(f64::INFINITY, f64::NEG_INFINITY); 2];
        for &(x, y) in finite() {
            for ((low, high), value) in ranges.iter_mut().zip([x, if log { y.log10() } else { y }]) {
                *low = low.min(value);
                *high = high.max(value);
            }
        }
        let [(x_low, x_high), (y_low, y_high)] = ranges;
        if x_low > x_high {
            return None;
        }
        let (x_low, x_high) = widened(x_low, x_high, 0.0);
        let (mut y_low, y_high) = widened(y_low, y_high, 0.05);
        if !log && y_low < 0.0 && finite().all(|&(_, y)| y >= 0.0) {
            y_low = 0.0;
        }
        Some(Frame { x_low, x_high, y_low, y_high, log })
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let value = if self.log { value.log10() } else { value };
        HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - BOTTOM - TOP)
    }

    fn y_ticks(&self) -> Vec<(f64, String)> {
        if !self.log {
            return labelled(&linear_ticks(self.y_low, self.y_high, 5));
        }
        let ticks = log_ticks(self.y_low, self.y_high);
        if ticks.len() >= 2 {
            return ticks.into_iter().map(|tick| (tick, significant(tick))).collect();
        }
        // Less than a decade: evenly spaced values serve better.
        labelled(&linear_ticks(10_f64.powf(self.y_low), 10_f64.powf(self.y_high), 5))
    }

    /// The points as an SVG path; a value that is not finite interrupts it.
    fn path(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        let mut pen_down = false;
        for &(x, y) in points {
            if y.is_finite() {
                let _ = write!(path, "{}{:.1} {:.1}", if pen_down { 'L' } else { 'M' }, self.x(x), self.y(y));
            }
            pen_down = y.is_finite();
        }
        path
    }
}

/// A range with `share` of its length added at each end; an empty one becomes a range around its value.
fn widened(low: f64, high: f64, share: f64) -> (f64, f64) {
    if high > low {
        let room = (high - low) * share;
        (low - room, high + room)
    } else {
        let room = (low.abs() * 0.1).max(0.5);
        (low - room, high + room)
    }
}

/// A straight line fitted to the `window` neighbours around each point, read at that point. Gaps stay gaps.
///
/// In the middle this is their mean; at the ends, where neighbours are missing on one side, a mean would flatten a slope.
fn smooth(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let reach = window / 2;
    let fitted = |index: usize, x: f64, y: f64| {
        let near = &points[index.saturating_sub(reach)..(index + reach + 1).min(points.len())];
        let near = || near.iter().filter(|point| point.1.is_finite());
        let count = near().count() as f64;
        let mean_x = near().map(|point| point.0 / count).sum::<f64>();
        let mean_y = near().map(|point| point.1 / count).sum::<f64>();
        let spread: f64 = near().map(|point| (point.0 - mean_x).powi(2)).sum();
        let rise: f64 = near().map(|point| (point.0 - mean_x) * (point.1 - mean_y)).sum();
        let value = if spread > 0.0 { mean_y + rise / spread * (x - mean_x) } else { mean_y };
        // A fit through positive values may dip below zero, where a logarithm has no place for it.
        if value.is_finite() && (value > 0.0 || y <= 0.0) { value } else { mean_y }
    };
    points.iter().enumerate().map(|(index, &(x, y))| (x, if y.is_finite() { fitted(index, x, y) } else { y })).collect()
}

/// The points, averaged in groups if there are too many to draw.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let group = points.len().div_ceil(MAX_POINTS);
    if group <= 1 {
        return points.to_vec();
    }
    let mean = |chunk: &[(f64, f64)]| {
        let (x, y) = chunk.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        (x / chunk.len() as f64, y / chunk.len() as f64)
    };
    points.chunks(group).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoothing_keeps_lines_straight_and_gaps_open() {
        let slope: Vec<(f64, f64)> = (0..20).map(|x| (f64::from(x), 3.0 * f64::from(x))).collect();
        for window in [1, 2, 5, 9, 1000] {
            let smoothed = smooth(&slope, window);
            assert!(smoothed.iter().zip(&slope).all(|(got, want)| (got.1 - want.1).abs() < 1e-9), "{window}");
        }
        let gap = smooth(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)], 3);
        assert!(gap[1].1.is_nan() && gap[0].1 == 1.0 && gap[2].1 == 3.0);
        let zigzag: Vec<(f64, f64)> = (0..30).map(|x| (f64::from(x), f64::from(x % 2))).collect();
        assert!(smooth(&zigzag, 11).iter().all(|(_, y)| (y - 0.5).abs() < 0.3));
    }

    #[test]
    fn gaps_interrupt_the_line() {
        let values = [1.0, 2.0, f64::NAN, 3.0, f64::INFINITY, 2.0];
        let svg =
            Chart::new("t", "x", "y").series("s", values.into_iter().enumerate().map(|(x, y)| (x as f64, y))).svg();
        let path = svg.split(" d=\"").nth(1).map(|rest| rest.split('"').next().unwrap_or_default()).unwrap_or_default();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (3, 1), "{path}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn any_values_give_a_chart() {
        let cases: [&[f64]; 9] = [
            &[],
            &[f64::NAN],
            &[5.0],
            &[0.0, 0.0, 0.0],
            &[1e-300, 1e300],
            &[-1.0, -2.0],
            &[1e-9, 2e-9, 3e-9],
            &[f64::MAX, f64::MIN],
            &[7.0, 7.0],
        ];
        for values in cases {
            for log in [false, true] {
                let points = values.iter().enumerate().map(|(x, y)| (x as f64, *y));
                let chart = Chart::new("t", "x", "y").series("s", points).smoothed(3);
                let svg = if log { chart.log().svg() } else { chart.svg() };
                assert!(svg.ends_with("</svg>\n") && svg.len() < 20_000, "{values:?}: {} bytes", svg.len());
            }
        }
    }

    #[test]
    fn many_points_make_a_short_path() {
        let points = (0..100_000).map(|x| (f64::from(x), f64::from(x % 7)));
        assert!(Chart::new("t", "x", "y").series("s", points).smoothed(50).svg().len() < 60_000);
    }
}
