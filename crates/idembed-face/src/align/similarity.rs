//! The transforms that move, turn and scale, and no more.

use crate::geometry::Point;

/// `x' = a x - b y + tx`, `y' = b x + a y + ty`: a turn by `atan2(b, a)`, a scale of `hypot(a, b)`, a shift.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Scale times cosine of the turn.
    pub a: f64,
    /// Scale times sine of the turn.
    pub b: f64,
    /// Shift to the right.
    pub tx: f64,
    /// Shift down.
    pub ty: f64,
}

impl Similarity {
    /// Leaves every point where it is.
    pub const IDENTITY: Similarity = Similarity { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 };

    /// The similarity that brings `from[i]` closest to `to[i]`, by the sum of squared distances.
    ///
    /// Without reflection two dimensions need no singular value decomposition: with each point as a complex number
    /// relative to its set's mean, `a + ib = sum(conj(from) to) / sum(|from|^2)`.
    ///
    /// `None` for fewer than two points, lists of different length, numbers that are not finite, and points that all
    /// lie in one place on either side.
    ///
    /// # Source
    /// The minimum is that of Umeyama, 1991, "Least-squares estimation of transformation parameters between two point
    /// patterns", eq. 40 to 43.
    pub fn estimate(from: &[Point], to: &[Point]) -> Option<Similarity> {
        if from.len() != to.len() || from.len() < 2 {
            return None;
        }
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (from, to) in from.iter().zip(to) {
            let (x, y) = (from.x - from_mean.x, from.y - from_mean.y);
            let (u, v) = (to.x - to_mean.x, to.y - to_mean.y);
            dot += x * u + y * v;
            cross += x * v - y * u;
            spread += x * x + y * y;
        }
        let (a, b) = (dot / spread, cross / spread);
        let tx = to_mean.x - a * from_mean.x + b * from_mean.y;
        let ty = to_mean.y - b * from_mean.x - a * from_mean.y;
        let estimate = Similarity { a, b, tx, ty };
        // Covers what is not finite, too: it ends up in some coefficient.
        estimate.inverse().map(|_| estimate)
    }

    /// Where a point goes.
    pub fn apply(&self, point: Point) -> Point {
        Point::new(self.a * point.x - self.b * point.y + self.tx, self.b * point.x + self.a * point.y + self.ty)
    }

    /// The way back; `None` if the scale is 0 or a number is not finite, in either direction.
    pub fn inverse(&self) -> Option<Similarity> {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        let inverse = Similarity { a, b, tx: b * self.ty - a * self.tx, ty: -b * self.tx - a * self.ty };
        let usable = |similarity: &Similarity| similarity.matrix().as_flattened().iter().all(|value| value.is_finite());
        (square > 0.0 && usable(self) && usable(&inverse)).then_some(inverse)
    }

    /// The same frame in a picture of `factor` times the size: coordinates count from the centre of a pixel, so the
    /// picture's edges are half a pixel before them.
    pub fn resized(&self, factor: f64) -> Similarity {
        let shift = 0.5 * (factor - 1.0);
        Similarity {
            a: self.a * factor,
            b: self.b * factor,
            tx: self.tx * factor + shift,
            ty: self.ty * factor + shift,
        }
    }

    /// The two rows of the affine matrix.
    pub fn matrix(&self) -> [[f64; 3]; 2] {
        [[self.a, -self.b, self.tx], [self.b, self.a, self.ty]]
    }

    /// By how much lengths grow.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// The turn in radians, from the x axis towards the y axis: clockwise as seen in a picture.
    pub fn rotation(&self) -> f64 {
        self.b.atan2(self.a)
    }
}

/// Measured from the first point, so that equal points are found to be equal.
fn mean(points: &[Point]) -> Point {
    let first = points.first().copied().unwrap_or_default();
    let count = points.len() as f64;
    let average = |part: fn(&Point) -> f64| {
        part(&first) + points.iter().map(|point| part(point) - part(&first)).sum::<f64>() / count
    };
    Point::new(average(|point| point.x), average(|point| point.y))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::f64::consts::{FRAC_PI_2, PI};

    use proptest::prelude::*;

    use super::*;

    fn point() -> impl Strategy<Value = Point> {
        (-2000.0..2000.0, -2000.0..2000.0).prop_map(|(x, y)| Point::new(x, y))
    }

    fn similarity() -> impl Strategy<Value = Similarity> {
        (0.01..100.0, -PI..PI, point()).prop_map(|(scale, turn, shift): (f64, f64, Point)| Similarity {
            a: scale * turn.cos(),
            b: scale * turn.sin(),
            tx: shift.x,
            ty: shift.y,
        })
    }

    #[test]
    fn a_quarter_turn_is_clockwise() {
        let turn = Similarity::estimate(
            &[Point::new(0.0, 0.0), Point::new(1.0, 0.0)],
            &[Point::new(5.0, 5.0), Point::new(5.0, 7.0)],
        );
        let turn = turn.unwrap();
        assert_eq!(turn, Similarity { a: 0.0, b: 2.0, tx: 5.0, ty: 5.0 });
        assert_eq!((turn.scale(), turn.rotation()), (2.0, FRAC_PI_2));
        assert_eq!(turn.matrix(), [[0.0, -2.0, 5.0], [2.0, 0.0, 5.0]]);
    }

    #[test]
    fn what_determines_nothing_is_refused() {
        let (p, q) = (Point::new(0.1, 0.7), Point::new(4.0, 2.0));
        let nan = Point::new(f64::NAN, 0.0);
        for (from, to) in [
            (vec![], vec![]),
            (vec![p], vec![q]),
            (vec![p, q], vec![p]),
            (vec![p; 3], vec![p, q, p]),
            (vec![p, q, p], vec![p; 3]),
            (vec![p, nan], vec![p, q]),
            (vec![p, q], vec![nan, q]),
            (vec![p, Point::new(f64::INFINITY, 0.0)], vec![p, q]),
        ] {
            assert_eq!(Similarity::estimate(&from, &to), None, "{from:?} {to:?}");
        }
        assert_eq!(Similarity { a: 0.0, b: 0.0, tx: 1.0, ty: 1.0 }.inverse(), None);
        assert_eq!(Similarity { a: f64::NAN, ..Similarity::IDENTITY }.inverse(), None);
    }

    #[test]
    fn resizing_keeps_the_edges_of_the_picture() {
        let twice = Similarity::IDENTITY.resized(2.0);
        assert_eq!(twice.apply(Point::new(-0.5, -0.5)), Point::new(-0.5, -0.5));
        assert_eq!(twice.apply(Point::new(9.5, 9.5)), Point::new(19.5, 19.5));
    }

    proptest! {
        #[test]
        fn there_and_back(transform in similarity(), point in point()) {
            let back = transform.inverse().unwrap();
            prop_assert!(back.apply(transform.apply(point)).distance(point) < 1e-6);
            prop_assert!((transform.scale() * back.scale() - 1.0).abs() < 1e-12);
            let turns = transform.rotation() + back.rotation();
            prop_assert!(turns.sin().abs() < 1e-9);
        }

        #[test]
        fn similar_points_are_found_exactly(
            transform in similarity(), points in proptest::collection::vec(point(), 2..9),
        ) {
            let spread = points.iter().map(|point| point.distance(points[0])).fold(0.0, f64::max);
            prop_assume!(spread > 1.0);
            let moved: Vec<Point> = points.iter().map(|&point| transform.apply(point)).collect();
            let found = Similarity::estimate(&points, &moved).unwrap();
            let tolerance = 1e-8 * (1.0 + transform.scale() * 1e3);
            for (&point, &expected) in points.iter().zip(&moved) {
                prop_assert!(found.apply(point).distance(expected) < tolerance);
            }
            // The other way round it is the inverse.
            let back = Similarity::estimate(&moved, &points).unwrap();
            prop_assert!(back.apply(found.apply(points[0])).distance(points[0]) < 1e-5);
        }

        #[test]
        fn garbage_gives_none_or_something_to_invert(numbers in proptest::collection::vec(any::<f64>(), 20)) {
            let points: Vec<Point> = numbers.chunks(2).map(|pair| Point::new(pair[0], pair[1])).collect();
            let (from, to) = points.split_at(5);
            if let Some(found) = Similarity::estimate(from, to) {
                prop_assert!(found.inverse().is_some());
            }
        }
    }
}
