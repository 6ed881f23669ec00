//! Named points in a plane, as inline SVG.

use std::ops::Range;

use maud::{Markup, PreEscaped, Render, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::chart::{Area, Drawn, HUGE, LINES, Labels, NAME_SPACE, SMALL_LETTERS, UNIT, mesh, number, widened};

/// Width and height in pixels.
const SIZE: (u32, u32) = (430, 340);
/// Size of the letters at the points, in pixels.
const LETTERS: u32 = 16;
/// Width of a letter, as a share of that size; wider than most.
const LETTER_WIDTH: f64 = 0.5;
/// From a point to its name, in pixels.
const GAP: f64 = 8.0;

/// A value, and from where to where it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uncertain {
    /// The value.
    pub value: f64,
    /// Both ends, if they are known.
    pub interval: Option<(f64, f64)>,
}

/// Named points with intervals along both axes.
#[derive(Clone, Debug)]
pub struct Scatter {
    title: String,
    x_label: String,
    y_label: String,
    points: Vec<Point>,
}

#[derive(Clone, Debug)]
struct Point {
    name: String,
    x: Uncertain,
    y: Uncertain,
}

/// A rectangle in pixels: left, top, right, bottom.
type Rectangle = (f64, f64, f64, f64);

impl Scatter {
    /// No point yet.
    pub fn new(title: &str, x_label: &str, y_label: &str) -> Scatter {
        let owned = str::to_owned;
        Scatter { title: owned(title), x_label: owned(x_label), y_label: owned(y_label), points: Vec::new() }
    }

    /// Adds a point; one that is not finite is left out.
    pub fn point(mut self, name: &str, x: Uncertain, y: Uncertain) -> Scatter {
        if [x, y].iter().all(|it| it.ends().iter().all(|end| end.abs() < HUGE)) {
            self.points.push(Point { name: name.to_owned(), x, y });
        }
        self
    }

    fn svg(&self) -> Option<String> {
        let x = range(self.points.iter().map(|point| point.x))?;
        let y = range(self.points.iter().map(|point| point.y))?;
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (UNIT * SIZE.0, UNIT * SIZE.1)).into_drawing_area();
        self.draw(&area, x, y).expect("text is written into a string and measured without fonts");
        drop(area);
        Some(svg.replacen(NAME_SPACE, "", 1))
    }

    fn draw(&self, area: &Area<'_>, x: Range<f64>, y: Range<f64>) -> Drawn {
        let mut chart = ChartBuilder::on(area)
            .margin_top(10 * UNIT)
            .margin_right(24 * UNIT)
            .margin_left(4 * UNIT)
            .x_label_area_size(46 * UNIT)
            .y_label_area_size(68 * UNIT)
            .build_cartesian_2d(x, y)?;
        let of_x = |x: &f64| number(*x);
        mesh(
            &mut chart,
            &Labels { x: &self.x_label, y: &self.y_label, marks: 5, letters: SMALL_LETTERS, of_x: &of_x },
        )?;
        let places: Vec<(i32, i32)> =
            self.points.iter().map(|point| chart.backend_coord(&(point.x.value, point.y.value))).collect();
        for (Point { x, y, .. }, colour) in self.points.iter().zip(LINES.into_iter().cycle()) {
            let across = x.interval.map(|(low, high)| vec![(low, y.value), (high, y.value)]);
            let up = y.interval.map(|(low, high)| vec![(x.value, low), (x.value, high)]);
            let line = |ends| PathElement::new(ends, colour.stroke_width(UNIT));
            chart.draw_series(across.into_iter().chain(up).map(line))?;
            chart.draw_series([Circle::new((x.value, y.value), 5 * UNIT, colour.filled())])?;
        }
        let unit = f64::from(UNIT);
        let (columns, rows) = chart.plotting_area().get_pixel_range();
        let within = (
            f64::from(columns.start) / unit,
            f64::from(rows.start) / unit,
            f64::from(SIZE.0),
            f64::from(rows.end) / unit,
        );
        let dots: Vec<(f64, f64)> = places.iter().map(|(x, y)| (f64::from(*x) / unit, f64::from(*y) / unit)).collect();
        let widths =
            self.points.iter().map(|point| f64::from(LETTERS) * LETTER_WIDTH * point.name.chars().count() as f64);
        let named = self.points.iter().zip(LINES.into_iter().cycle());
        for ((left, top, ..), (point, colour)) in labels(&dots, widths, within).into_iter().zip(named) {
            let letters = ("sans-serif", LETTERS * UNIT).into_font().color(&colour);
            let style = letters.pos(Pos::new(HPos::Left, VPos::Top));
            let at = ((left * unit).round() as i32, (top * unit).round() as i32);
            area.draw(&Text::new(point.name.as_str(), at, style))?;
        }
        area.present()
    }
}

impl Uncertain {
    fn ends(&self) -> [f64; 3] {
        let (low, high) = self.interval.unwrap_or((self.value, self.value));
        [low, self.value, high]
    }
}

impl Render for Scatter {
    fn render(&self) -> Markup {
        html! {
            div.chart.small {
                h3 { (self.title) }
                @match self.svg() {
                    Some(svg) => div role="img" aria-label=(self.title) { (PreEscaped(svg)) },
                    None => p { "no values" },
                }
            }
        }
    }
}

/// Around all values and their intervals, with room for names.
fn range(values: impl Iterator<Item = Uncertain>) -> Option<Range<f64>> {
    let ends = values.flat_map(|value| value.ends()).map(|end| (end, end));
    let (low, high) = ends.reduce(|(low, high), (next, _)| (low.min(next), high.max(next)))?;
    Some(widened(low, high, 0.12))
}

/// Where the names of the dots go: to the right, to the left, above or below, wherever nothing is yet; farther away
/// where everything is taken.
fn labels(dots: &[(f64, f64)], widths: impl Iterator<Item = f64>, within: Rectangle) -> Vec<Rectangle> {
    let height = f64::from(LETTERS);
    let mut taken: Vec<Rectangle> = dots.iter().map(|(x, y)| (x - 5.0, y - 5.0, x + 5.0, y + 5.0)).collect();
    let overlap = |a: &Rectangle, b: &Rectangle| a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3;
    let inside = |it: &Rectangle| it.0 >= within.0 && it.1 >= within.1 && it.2 <= within.2 && it.3 <= within.3;
    let mut placed = Vec::new();
    for (&(x, y), width) in dots.iter().zip(widths) {
        let at = |left: f64, top: f64| (left, top, left + width, top + height);
        let around = (0..24).flat_map(|turn| {
            let away = f64::from(turn) * height / 2.0;
            let beside = |away: f64| [x + GAP, x - GAP - width].map(|left| at(left, y - height / 2.0 + away));
            let middle = x - width / 2.0;
            let over_and_under = [at(middle, y - GAP - height - away), at(middle, y + GAP + away)];
            [beside(-away), over_and_under, beside(away)].into_iter().flatten()
        });
        let free = |it: &Rectangle| inside(it) && taken.iter().all(|other| !overlap(it, other));
        let place = around.clone().find(free).unwrap_or_else(|| at(x + GAP, y - height / 2.0));
        taken.push(place);
        placed.push(place);
    }
    placed
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn sure(value: f64) -> Uncertain {
        Uncertain { value, interval: None }
    }

    #[test]
    fn names_never_lie_on_each_other() {
        let within = (0.0, 0.0, 430.0, 340.0);
        let crowd: Vec<(f64, f64)> = (0..9).map(|it| (400.0 + f64::from(it), 200.0 + f64::from(it % 3))).collect();
        let placed = labels(&crowd, std::iter::repeat(120.0), within);
        for (index, a) in placed.iter().enumerate() {
            assert!(a.2 <= within.2 && a.0 >= 0.0, "{a:?}");
            for b in &placed[..index] {
                assert!(a.0 >= b.2 || b.0 >= a.2 || a.1 >= b.3 || b.1 >= a.3, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn any_points_give_a_drawing() {
        let uncertain = Uncertain { value: 0.5, interval: Some((0.25, 0.75)) };
        let drawing = Scatter::new("t", "x", "y").point("a", sure(0.1), uncertain).point("b", uncertain, sure(0.1));
        let svg = drawing.svg().unwrap();
        assert_eq!(svg.matches("<circle").count(), 2, "{svg}");
        let lines = ["#2563EB", "#D9480F"].map(|colour| format!("stroke=\"{colour}\" stroke-width"));
        assert_eq!(lines.map(|line| svg.matches(&line).count()), [1, 1], "an interval each: {svg}");
        assert!(Scatter::new("t", "x", "y").point("one", sure(0.0), sure(0.0)).svg().is_some());
        let nothing = Scatter::new("t", "x", "y").point("none", sure(f64::NAN), sure(1.0));
        assert!(nothing.svg().is_none() && nothing.render().into_string().contains("no values"));
    }
}
