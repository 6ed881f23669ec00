//! Line charts as inline SVG, drawn by plotters, and what they share with other drawings.

use std::ops::Range;

use maud::{Markup, PreEscaped, Render, html};
use plotters::coord::Shift;
use plotters::coord::combinators::{BindKeyPoints, IntoLogRange};
use plotters::coord::ranged1d::{AsRangedCoord, KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::data::float::pretty_print_float;
use plotters::prelude::*;

type Points = Vec<(f64, f64)>;
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(crate) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Coordinates to a pixel on the page: plotters rounds to whole ones.
pub(crate) const UNIT: u32 = 4;
/// Width and height in pixels.
const SIZE: (u32, u32) = (860, 310);
/// The same where several stand beside each other.
const SMALL: (u32, u32) = (430, 290);
/// Size of the letters in pixels.
const LETTERS: u32 = 15;
/// The same in a small drawing, which narrow windows make smaller.
pub(crate) const SMALL_LETTERS: u32 = 17;
/// The colours of the lines, in turn. Style sheets find what has one of these colours by its name, and replace it where
/// the page is dark.
pub(crate) const LINES: [RGBColor; 10] = [
    RGBColor(0x25, 0x63, 0xeb),
    RGBColor(0xd9, 0x48, 0x0f),
    RGBColor(0x2b, 0x8a, 0x3e),
    RGBColor(0x86, 0x2e, 0x9c),
    RGBColor(0x0b, 0x72, 0x85),
    RGBColor(0xc2, 0x25, 0x5c),
    RGBColor(0x8a, 0x6d, 0x00),
    RGBColor(0x49, 0x50, 0x57),
    RGBColor(0x7c, 0x4a, 0x2d),
    RGBColor(0x5c, 0x94, 0x0d),
];
const GRID: RGBColor = RGBColor(0xe2, 0xe2, 0xe7);
pub(crate) const AXIS: RGBColor = RGBColor(0x63, 0x63, 0x6b);
/// How much of its colour the values behind a smoothed line have.
const PALE: f64 = 0.3;
/// More points than this on one line cannot be told apart; they are averaged in groups.
const MAX_POINTS: usize = 1200;
/// Where a logarithmic axis has its marks, times powers of ten.
const LOG_MARKS: [f64; 3] = [1.0, 2.0, 5.0];
/// What an SVG file has to say, and an SVG element in HTML does not; without it, no address is on the page.
pub(crate) const NAME_SPACE: &str = " xmlns=\"http://www.w3.org/2000/svg\"";
/// Values beyond this magnitude are gaps, as those that are not finite, and so are those below its inverse on a
/// logarithmic axis: the room around them could leave the range of numbers.
pub(crate) const HUGE: f64 = 1e100;

/// A line chart.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x_label: String,
    y_label: String,
    log: bool,
    smoothing: usize,
    small: bool,
    ticks: Vec<String>,
    series: Vec<Series>,
}

#[derive(Clone, Debug, Default)]
struct Series {
    name: String,
    points: Points,
    /// Whether each point is a dot too: where points are few and were measured one by one.
    dots: bool,
    /// x, and the two ends of what y may be.
    intervals: Vec<(f64, f64, f64)>,
    /// A point to point out.
    marked: Option<(f64, f64)>,
}

/// A measured point of a [`Chart`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Where it stands.
    pub x: f64,
    /// What was measured.
    pub y: f64,
    /// From where to where that may be, if that is known.
    pub interval: Option<(f64, f64)>,
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
            small: false,
            ticks: Vec::new(),
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

    /// Makes it half as wide, with larger letters: for several beside each other, and for narrow windows.
    pub fn small(mut self) -> Chart {
        self.small = true;
        self
    }

    /// Names the places 0, 1, 2 and so on of the horizontal axis, which then has no numbers.
    pub fn ticks(mut self, names: impl IntoIterator<Item = String>) -> Chart {
        self.ticks = names.into_iter().collect();
        self
    }

    /// Adds a line through `(x, y)`, in the order of x; a value that is not finite is a gap.
    pub fn series(mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Chart {
        self.series.push(Series { name: name.to_owned(), points: points.into_iter().collect(), ..Series::default() });
        self
    }

    /// Adds a line through measured points, in the order of x, each with a dot and its interval; the one at `marked`, if
    /// it is there, stands out.
    pub fn measured(mut self, name: &str, points: &[Measured], marked: Option<f64>) -> Chart {
        let at = |point: &Measured| (point.x, point.y);
        self.series.push(Series {
            name: name.to_owned(),
            points: points.iter().map(at).collect(),
            dots: true,
            intervals: points.iter().filter_map(|it| it.interval.map(|(low, high)| (it.x, low, high))).collect(),
            marked: points.iter().find(|point| Some(point.x) == marked).map(at),
        });
        self
    }

    /// The drawing, or none if there is no value to draw.
    fn svg(&self) -> Option<String> {
        let series: Vec<Series> = self.series.iter().enumerate().map(|(turn, it)| self.drawable(it, turn)).collect();
        let extent: Vec<Points> = series.iter().map(Series::extent).collect();
        let (x, y) = ranges(&extent, self.log)?;
        let (width, height) = if self.small { SMALL } else { SIZE };
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (UNIT * width, UNIT * height)).into_drawing_area();
        // Less than a decade looks much the same on a linear axis, and there the marks are round.
        let log = self.log && y.end / y.start >= 10.0;
        let log_y = || y.clone().log_scale().with_key_points(log_marks(&y));
        let places = || Places { count: self.ticks.len() };
        let drawn = match (self.ticks.is_empty(), log) {
            (true, false) => self.draw(&area, x, y, &series),
            (true, true) => self.draw(&area, x, log_y(), &series),
            (false, false) => self.draw(&area, places(), y, &series),
            (false, true) => self.draw(&area, places(), log_y(), &series),
        };
        drawn.expect("text is written into a string and measured without fonts");
        drop(area);
        Some(svg.replacen(NAME_SPACE, "", 1))
    }

    /// A series with every value that cannot be drawn turned into a gap. Where places have names, the lines stand a bit
    /// beside each other, so that no interval hides another.
    fn drawable(&self, series: &Series, turn: usize) -> Series {
        let can_be_drawn = |y: f64| y.abs() < HUGE && !(self.log && y < HUGE.recip());
        let value = |y: f64| if can_be_drawn(y) { y } else { f64::NAN };
        let aside = (turn as f64 - (self.series.len() - 1) as f64 / 2.0) * 0.06;
        let place = |x: f64| if self.ticks.is_empty() { x } else { x + aside };
        let shown = |x: f64| x.abs() < HUGE;
        let intervals =
            series.intervals.iter().filter(|(x, low, high)| shown(*x) && [low, high].iter().all(|y| can_be_drawn(**y)));
        Series {
            points: series.points.iter().filter(|(x, _)| shown(*x)).map(|&(x, y)| (place(x), value(y))).collect(),
            intervals: intervals.map(|&(x, low, high)| (place(x), low, high)).collect(),
            marked: series.marked.filter(|&(x, y)| shown(x) && can_be_drawn(y)).map(|(x, y)| (place(x), y)),
            ..series.clone()
        }
    }

    fn draw<X, Y>(&self, area: &Area<'_>, x: X, y: Y, series: &[Series]) -> Drawn
    where
        X: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
        Y: AsRangedCoord<Value = f64, CoordDescType: ValueFormatter<f64>>,
    {
        let mut chart = ChartBuilder::on(area)
            .margin_top(10 * UNIT)
            .margin_right(24 * UNIT)
            .margin_left(4 * UNIT)
            .x_label_area_size(46 * UNIT)
            .y_label_area_size(68 * UNIT)
            .build_cartesian_2d(x, y)?;
        let of_x = |x: &f64| self.ticks.get(x.round() as usize).cloned().unwrap_or_else(|| number(*x));
        let (marks, letters) = if self.small { (5, SMALL_LETTERS) } else { (9, LETTERS) };
        mesh(&mut chart, &Labels { x: &self.x_label, y: &self.y_label, marks, letters, of_x: &of_x })?;
        let colours = || LINES.into_iter().cycle();
        if self.smoothing > 1 {
            for (series, colour) in series.iter().zip(colours()) {
                for run in runs(&thinned(&series.points)) {
                    chart.draw_series(LineSeries::new(run, colour.mix(PALE).stroke_width(UNIT)))?;
                }
            }
        }
        // All smooth lines lie above all pale ones.
        for (series, colour) in series.iter().zip(colours()) {
            for run in runs(&thinned(&smooth(&series.points, self.smoothing))) {
                chart.draw_series(LineSeries::new(run, colour.stroke_width(2 * UNIT)))?;
            }
            let interval = |&(x, low, high): &(f64, f64, f64)| {
                PathElement::new(vec![(x, low), (x, high)], colour.stroke_width(UNIT))
            };
            chart.draw_series(series.intervals.iter().map(interval))?;
            let dots = series.points.iter().filter(|point| series.dots && point.1.is_finite());
            chart.draw_series(dots.map(|&point| Circle::new(point, 3 * UNIT, colour.filled())))?;
            let ring = |point| Circle::new(point, 7 * UNIT, colour.stroke_width(2 * UNIT));
            chart.draw_series(series.marked.into_iter().map(ring))?;
        }
        area.present()
    }
}

impl Series {
    /// Everything that has to lie within the axes.
    fn extent(&self) -> Points {
        let ends = self.intervals.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]);
        self.points.iter().copied().chain(ends).collect()
    }
}

/// An axis of places 0, 1, 2 and so on.
struct Places {
    count: usize,
}

impl Ranged for Places {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value + 0.5) / self.count as f64;
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        (0..self.count).map(|place| place as f64).collect()
    }

    fn range(&self) -> Range<f64> {
        -0.5..self.count as f64 - 0.5
    }
}

impl ValueFormatter<f64> for Places {
    fn format(value: &f64) -> String {
        number(*value)
    }
}

/// What stands at the axes.
pub(crate) struct Labels<'a> {
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
    /// About how many marks the horizontal axis has.
    pub(crate) marks: usize,
    /// How large the letters are, in pixels.
    pub(crate) letters: u32,
    /// What stands at one of them.
    pub(crate) of_x: &'a dyn Fn(&f64) -> String,
}

/// Draws axes and lines across.
pub(crate) fn mesh<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    labels: &Labels<'_>,
) -> Drawn
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let letters = ("sans-serif", labels.letters * UNIT).into_font().color(&AXIS);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(UNIT))
        .axis_style(AXIS.stroke_width(UNIT))
        .set_all_tick_mark_size(5 * UNIT)
        .x_labels(labels.marks)
        .y_labels(6)
        .x_label_formatter(labels.of_x)
        .y_label_formatter(&|y| number(*y))
        .label_style(letters)
        .x_desc(labels.x)
        .y_desc(labels.y)
        .draw()
}

impl Render for Chart {
    /// The chart with its title and, where lines have names, a legend.
    fn render(&self) -> Markup {
        html! {
            div.chart.small[self.small] {
                h3 { (self.title) }
                @if self.series.iter().any(|series| !series.name.is_empty()) {
                    ul.legend {
                        @for (series, colour) in self.series.iter().zip((0..LINES.len()).cycle()) {
                            li { i class={ "b" (colour) } {} (series.name) }
                        }
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
pub(crate) fn widened(low: f64, high: f64, share: f64) -> Range<f64> {
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
pub(crate) fn number(value: f64) -> String {
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
    fn measured_points_have_dots_intervals_and_one_that_stands_out() {
        let at = |x: f64, interval| Measured { x, y: 0.5, interval };
        let points = [at(0.0, Some((0.25, 0.75))), at(1.0, None), at(2.0, Some((0.5, f64::NAN)))];
        let chart = Chart::new("t", "x", "y").small().measured("s", &points, Some(1.0));
        let svg = chart.svg().unwrap();
        let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains("#2563EB")).count();
        assert_eq!((svg.matches("<circle").count(), lines), (3 + 1, 1 + 1), "{svg}");
        assert!(!svg.contains("NaN"));
        let plain = Chart::new("t", "x", "y").measured("s", &points, Some(7.0)).svg().unwrap();
        assert_eq!(plain.matches("<circle").count(), 3, "nothing stands out where nothing is");
    }

    #[test]
    fn places_have_names_and_lines_stand_beside_each_other() {
        let points = [0.0, 1.0].map(|x| Measured { x, y: x, interval: None });
        let chart = Chart::new("t", "x", "y").ticks(["none", "all"].map(str::to_owned));
        let chart = chart.measured("a", &points, None).measured("b", &points, None);
        let svg = chart.svg().unwrap();
        assert!(chart.clone().log().svg().unwrap().contains(">\nnone\n<"));
        assert!(["none", "all"].iter().all(|name| svg.contains(&format!(">\n{name}\n<"))), "{svg}");
        let places: Vec<&str> = svg.split("<circle cx=\"").skip(1).filter_map(|it| it.split('"').next()).collect();
        assert!(places.len() == 4 && places[0] != places[2] && places[1] != places[3], "{places:?}");
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
        for RGBColor(red, green, blue) in LINES {
            let rule = format!("[fill=\"#{red:02X}{green:02X}{blue:02X}\"]");
            assert!(style.contains(&rule), "{rule}");
        }
    }
}
