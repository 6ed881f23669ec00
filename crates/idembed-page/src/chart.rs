//! Line charts as inline SVG, drawn by plotters.

use std::ops::Range;

use maud::{Markup, PreEscaped, Render, html};
use plotters::coord::Shift;
use plotters::coord::combinators::{BindKeyPoints, IntoLogRange};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::data::float::pretty_print_float;
use plotters::prelude::*;

type Points = Vec<(f64, f64)>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Coordinates to a pixel on the page: plotters rounds to whole ones.
const UNIT: u32 = 4;
/// Width and height in pixels.
const SIZE: (u32, u32) = (860, 310);
/// The colours of the lines, in turn. Style sheets find what has one of these colours by its name, and replace it where
/// the page is dark.
const LINES: [RGBColor; 6] = [
    RGBColor(0x25, 0x63, 0xeb),
    RGBColor(0xd9, 0x48, 0x0f),
    RGBColor(0x2b, 0x8a, 0x3e),
    RGBColor(0x86, 0x2e, 0x9c),
    RGBColor(0x0b, 0x72, 0x85),
    RGBColor(0xc2, 0x25, 0x5c),
];
const GRID: RGBColor = RGBColor(0xe2, 0xe2, 0xe7);
const AXIS: RGBColor = RGBColor(0x63, 0x63, 0x6b);
/// How much of its colour the values behind a smoothed line have.
const PALE: f64 = 0.3;
/// More points than this on one line cannot be told apart; they are averaged in groups.
const MAX_POINTS: usize = 1200;
/// Where a logarithmic axis has its marks, times powers of ten.
const LOG_MARKS: [f64; 3] = [1.0, 2.0, 5.0];
/// What an SVG file has to say, and an SVG element in HTML does not; without it, no address is on the page.
const NAME_SPACE: &str = " xmlns=\"http://www.w3.org/2000/svg\"";
/// Values beyond this magnitude are gaps, as those that are not finite, and so are those below its inverse on a
/// logarithmic axis: the room around them could leave the range of numbers.
const HUGE: f64 = 1e100;

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
    points: Points,
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

    /// The drawing, or none if there is no value to draw.
    fn svg(&self) -> Option<String> {
        let lines: Vec<Points> = self.series.iter().map(|series| self.drawable(&series.points)).collect();
        let (x, y) = ranges(&lines, self.log)?;
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (UNIT * SIZE.0, UNIT * SIZE.1)).into_drawing_area();
        // Less than a decade looks much the same on a linear axis, and there the marks are round.
        let drawn = if self.log && y.end / y.start >= 10.0 {
            let marks = log_marks(&y);
            self.draw(&area, x, y.log_scale().with_key_points(marks), &lines)
        } else {
            self.draw(&area, x, y, &lines)
        };
        drawn.expect("text is written into a string and measured without fonts");
        drop(area);
        Some(svg.replacen(NAME_SPACE, "", 1))
    }

    /// The points with every value that cannot be drawn turned into a gap.
    fn drawable(&self, points: &[(f64, f64)]) -> Points {
        let can_be_drawn = |y: f64| y.abs() < HUGE && !(self.log && y < HUGE.recip());
        let value = |y: f64| if can_be_drawn(y) { y } else { f64::NAN };
        points.iter().filter(|(x, _)| x.abs() < HUGE).map(|&(x, y)| (x, value(y))).collect()
    }

    fn draw<Y>(&self, area: &Area<'_>, x: Range<f64>, y: Y, lines: &[Points]) -> Drawn
    where
        Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin_top(10 * UNIT)
            .margin_right(24 * UNIT)
            .margin_left(4 * UNIT)
            .x_label_area_size(46 * UNIT)
            .y_label_area_size(68 * UNIT)
            .build_cartesian_2d(x, y)?;
        let letters = ("sans-serif", 15 * UNIT).into_font().color(&AXIS);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.stroke_width(UNIT))
            .axis_style(AXIS.stroke_width(UNIT))
            .set_all_tick_mark_size(5 * UNIT)
            .x_labels(9)
            .y_labels(6)
            .x_label_formatter(&|x| number(*x))
            .y_label_formatter(&|y| number(*y))
            .label_style(letters)
            .x_desc(&self.x_label)
            .y_desc(&self.y_label)
            .draw()?;
        let colours = || LINES.into_iter().cycle();
        if self.smoothing > 1 {
            for (points, colour) in lines.iter().zip(colours()) {
                for run in runs(&thinned(points)) {
                    chart.draw_series(LineSeries::new(run, colour.mix(PALE).stroke_width(UNIT)))?;
                }
            }
        }
        // All smooth lines lie above all pale ones.
        for (points, colour) in lines.iter().zip(colours()) {
            for run in runs(&thinned(&smooth(points, self.smoothing))) {
                chart.draw_series(LineSeries::new(run, colour.stroke_width(2 * UNIT)))?;
            }
        }
        area.present()
    }
}

impl Render for Chart {
    /// The chart with its title and legend.
    fn render(&self) -> Markup {
        html! {
            div.chart {
                h3 { (self.title) }
                ul.legend {
                    @for (series, colour) in self.series.iter().zip((0..LINES.len()).cycle()) {
                        li { i class={ "b" (colour) } {} (series.name) }
                    }
                }
                @match self.svg() {
                    Some(svg) => div role="img" aria-label=(self.title) { (PreEscaped(svg)) },
                    None => p { "no values" },
                }
            }
        }
    }
}

/// The ranges of both axes around all finite points, or none if there are none.
fn ranges(lines: &[Points], log: bool) -> Option<(Range<f64>, Range<f64>)> {
    let finite = || lines.iter().flatten().filter(|(_, y)| y.is_finite());
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let first = values.next()?;
        Some(values.fold((first, first), |(low, high), value| (low.min(value), high.max(value))))
    };
    let (low, high) = range(&mut finite().map(|point| point.0))?;
    let x = widened(low, high, 0.0);
    let (low, high) = range(&mut finite().map(|point| point.1))?;
    if log {
        let logarithm = widened(low.log10(), high.log10(), 0.05);
        return Some((x, 10_f64.powf(logarithm.start)..10_f64.powf(logarithm.end)));
    }
    let mut y = widened(low, high, 0.05);
    if low >= 0.0 {
        y.start = y.start.max(0.0);
    }
    Some((x, y))
}

/// A range with `share` of its length added at each end; an empty one becomes a range around its value.
fn widened(low: f64, high: f64, share: f64) -> Range<f64> {
    let room = if high > low { (high - low) * share } else { (low.abs() * 0.1).max(0.5) };
    low - room..high + room
}

/// Powers of ten within a range, with their two- and fivefold where there are few.
fn log_marks(range: &Range<f64>) -> Vec<f64> {
    let (low, high) = (range.start.log10(), range.end.log10());
    let factors = if high - low < 2.5 { &LOG_MARKS[..] } else { &LOG_MARKS[..1] };
    let every = (((high - low) / 7.0).ceil() as i32).max(1);
    let decades = (low.floor() as i32..=high.ceil() as i32).filter(|decade| decade % every == 0);
    let marks = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)));
    marks.filter(|mark| range.contains(mark)).collect()
}

/// A number in the shortest form that is easy to read.
fn number(value: f64) -> String {
    pretty_print_float(value, !(1e-3..1e6).contains(&value.abs()))
}

/// The stretches of points between the gaps.
fn runs(points: &[(f64, f64)]) -> impl Iterator<Item = Points> {
    points.split(|point| !point.1.is_finite()).filter(|run| !run.is_empty()).map(<[_]>::to_vec)
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
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn chart(values: &[f64]) -> Chart {
        Chart::new("t", "x", "y").series("s", values.iter().enumerate().map(|(x, &y)| (x as f64, y)))
    }

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
        let svg = chart(&[1.0, 2.0, f64::NAN, 3.0, 4.0, f64::INFINITY, 2.0]).svg().unwrap();
        let lines: Vec<&str> = svg.lines().filter(|line| line.contains("#2563EB")).collect();
        assert_eq!(lines.len(), 3, "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn any_values_give_a_chart() {
        let cases: [(&[f64], bool); 9] = [
            (&[], false),
            (&[f64::NAN], false),
            (&[5.0], true),
            (&[0.0, 0.0, 0.0], true),
            (&[1e-99, 1e99], true),
            (&[-1.0, -2.0], true),
            (&[1e-9, 2e-9, 3e-9], true),
            (&[f64::MAX, f64::MIN], false),
            (&[7.0, 7.0], true),
        ];
        for (values, drawn) in cases {
            for chart in [chart(values).smoothed(3), chart(values).smoothed(3).log()] {
                let above_zero = values.iter().any(|value| *value > 0.0);
                let svg = chart.svg();
                assert_eq!(svg.is_some(), drawn && (above_zero || !chart.log), "{values:?}");
                assert!(svg.is_none_or(|svg| svg.ends_with("</svg>\n") && svg.len() < 20_000), "{values:?}");
            }
        }
        assert!(chart(&[]).render().into_string().contains("no values"));
    }

    #[test]
    fn marks_of_a_logarithmic_axis_are_round_and_few() {
        let marks = |low, high| log_marks(&(low..high)).into_iter().map(number).collect::<Vec<_>>();
        assert_eq!(marks(6e-4, 1.2), ["0.001", "0.01", "0.1", "1"]);
        assert_eq!(marks(0.9, 11.0), ["1", "2", "5", "10"]);
        assert!(log_marks(&(1e-30..1e10)).len() <= 8);
        assert_eq!([0.02, 25.0, 1e-6, 2.5e7].map(number), ["0.02", "25", "1e-6", "2.5e7"]);
    }

    #[test]
    fn many_points_make_a_short_chart() {
        let points: Vec<f64> = (0..100_000).map(|x| f64::from(x % 7)).collect();
        assert!(chart(&points).smoothed(50).svg().unwrap().len() < 60_000);
    }

    #[test]
    fn the_style_sheet_knows_every_colour() {
        let style = include_str!("style.css");
        for RGBColor(red, green, blue) in LINES.into_iter().chain([GRID, AXIS]) {
            let rule = format!("[stroke=\"#{red:02X}{green:02X}{blue:02X}\"]");
            assert!(style.contains(&rule), "{rule}");
        }
    }
}
