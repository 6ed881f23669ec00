//! Outlines in local units.

use tiny_skia::{Path, PathBuilder, Rect};

use super::turn::turn;

/// A closed outline; nothing where its points enclose nothing.
#[derive(Clone, Debug)]
pub(crate) struct Shape(pub(crate) Option<Path>);

/// How far a cubic's handle reaches along the tangent for a quarter of a circle.
const QUARTER_HANDLE: f32 = 0.552_285;

impl Shape {
    /// Straight edges.
    pub(crate) fn polygon(points: &[(f32, f32)]) -> Shape {
        let mut path = PathBuilder::new();
        for (index, &(x, y)) in points.iter().enumerate() {
            if index == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
        }
        path.close();
        Shape(path.finish())
    }

    /// A smooth closed curve through the points (Catmull-Rom).
    pub(crate) fn smooth(points: &[(f32, f32)]) -> Shape {
        let count = points.len();
        let mut path = PathBuilder::new();
        for index in 0..count {
            let point = |step: usize| points[(index + count + step - 1) % count];
            let (before, here, next, after) = (point(0), point(1), point(2), point(3));
            if index == 0 {
                path.move_to(here.0, here.1);
            }
            path.cubic_to(
                here.0 + (next.0 - before.0) / 6.0,
                here.1 + (next.1 - before.1) / 6.0,
                next.0 - (after.0 - here.0) / 6.0,
                next.1 - (after.1 - here.1) / 6.0,
                next.0,
                next.1,
            );
        }
        path.close();
        Shape(path.finish())
    }

    /// A brush stroke through `(x, y, width)`, smooth along the way and cut off straight at its ends.
    pub(crate) fn stroke(points: &[(f32, f32, f32)]) -> Shape {
        let line = refine(points);
        let mut left = Vec::with_capacity(2 * line.len());
        let mut right = Vec::with_capacity(line.len());
        for (index, &(x, y, width)) in line.iter().enumerate() {
            let before = line[index.saturating_sub(1)];
            let after = line[(index + 1).min(line.len() - 1)];
            let (dx, dy) = (after.0 - before.0, after.1 - before.1);
            let half = 0.5 * width / (dx * dx + dy * dy).sqrt().max(1e-9);
            left.push((x - dy * half, y + dx * half));
            right.push((x + dy * half, y - dx * half));
        }
        left.extend(right.into_iter().rev());
        Shape::polygon(&left)
    }

    /// An upright ellipse.
    pub(crate) fn ellipse(x: f32, y: f32, rx: f32, ry: f32) -> Shape {
        let mut path = PathBuilder::new();
        let (hx, hy) = (rx * QUARTER_HANDLE, ry * QUARTER_HANDLE);
        path.move_to(x + rx, y);
        path.cubic_to(x + rx, y + hy, x + hx, y + ry, x, y + ry);
        path.cubic_to(x - hx, y + ry, x - rx, y + hy, x - rx, y);
        path.cubic_to(x - rx, y - hy, x - hx, y - ry, x, y - ry);
        path.cubic_to(x + hx, y - ry, x + rx, y - hy, x + rx, y);
        path.close();
        Shape(path.finish())
    }

    /// A circle.
    pub(crate) fn circle(x: f32, y: f32, radius: f32) -> Shape {
        Shape::ellipse(x, y, radius, radius)
    }

    /// An upright rectangle from its upper left to its lower right corner.
    pub(crate) fn rectangle(left: f32, top: f32, right: f32, bottom: f32) -> Shape {
        Shape(Rect::from_ltrb(left, top, right, bottom).map(PathBuilder::from_rect))
    }

    /// A rectangle with round corners.
    pub(crate) fn rounded(left: f32, top: f32, right: f32, bottom: f32, radius: f32) -> Shape {
        let mut path = PathBuilder::new();
        let gap = radius * (1.0 - QUARTER_HANDLE);
        path.move_to(left + radius, top);
        path.line_to(right - radius, top);
        path.cubic_to(right - gap, top, right, top + gap, right, top + radius);
        path.line_to(right, bottom - radius);
        path.cubic_to(right, bottom - gap, right - gap, bottom, right - radius, bottom);
        path.line_to(left + radius, bottom);
        path.cubic_to(left + gap, bottom, left, bottom - gap, left, bottom - radius);
        path.line_to(left, top + radius);
        path.cubic_to(left, top + gap, left + gap, top, left + radius, top);
        path.close();
        Shape(path.finish())
    }

    /// A wavy or pointed ring: the radius of each of `count` points around a centre.
    pub(crate) fn ring(x: f32, y: f32, count: usize, radius: impl Fn(usize) -> f32) -> Vec<(f32, f32)> {
        let point = |index| {
            let (cos, sin) = turn(index as f32 / count as f32);
            let radius = radius(index);
            (x + radius * cos, y + radius * sin)
        };
        (0..count).map(point).collect()
    }
}

/// Points between the given ones on the Catmull-Rom curve, so that a stroke bends without corners.
fn refine(points: &[(f32, f32, f32)]) -> Vec<(f32, f32, f32)> {
    const STEPS: usize = 5;
    let last = points.len().saturating_sub(1);
    let mut line = Vec::with_capacity(last * STEPS + 1);
    for index in 0..last {
        let (before, here) = (points[index.saturating_sub(1)], points[index]);
        let (next, after) = (points[index + 1], points[(index + 2).min(last)]);
        for step in 0..STEPS {
            let t = step as f32 / STEPS as f32;
            let blend = |a: f32, b: f32, c: f32, d: f32| {
                0.5 * (2.0 * b + t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * (3.0 * (b - c) + d - a))))
            };
            let width = here.2 + (next.2 - here.2) * t;
            line.push((blend(before.0, here.0, next.0, after.0), blend(before.1, here.1, next.1, after.1), width));
        }
    }
    line.extend(points.last());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(shape: &Shape) -> Option<[f32; 4]> {
        let bounds = shape.0.as_ref()?.compute_tight_bounds()?;
        let edges = [bounds.left(), bounds.top(), bounds.right(), bounds.bottom()];
        Some(edges.map(|edge| (edge * 1e4).round() / 1e4))
    }

    #[test]
    fn outlines_have_the_stated_size() {
        assert_eq!(bounds(&Shape::circle(1.0, 2.0, 0.5)), Some([0.5, 1.5, 1.5, 2.5]));
        assert_eq!(bounds(&Shape::rounded(0.0, 0.0, 2.0, 1.0, 0.25)), Some([0.0, 0.0, 2.0, 1.0]));
        assert_eq!(bounds(&Shape::stroke(&[(0.0, 0.0, 0.2), (1.0, 0.0, 0.2)])), Some([0.0, -0.1, 1.0, 0.1]));
    }

    #[test]
    fn nothing_to_enclose_is_no_shape() {
        assert!(Shape::polygon(&[]).0.is_none());
        assert!(Shape::smooth(&[]).0.is_none());
        assert!(Shape::stroke(&[]).0.is_none());
        assert!(Shape::rectangle(1.0, 0.0, 0.0, 1.0).0.is_none());
    }
}
