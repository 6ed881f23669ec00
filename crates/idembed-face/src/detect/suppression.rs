//! Non-maximum suppression: of boxes that cover the same thing, only the best stays.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// A box with a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoredBox {
    /// Left, top, right, bottom.
    pub corners: [f32; 4],
    /// The higher, the better.
    pub score: f32,
}

/// How much of two boxes is common to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// The intersection over the union; sides are distances. `torchvision.ops.nms`.
    Union,
    /// The intersection over the smaller box; sides count pixels, both ends included. `"Min"` of `facenet-pytorch`.
    Smaller,
}

impl Overlap {
    /// What a side counts besides the distance of its ends.
    fn edge(self) -> f32 {
        match self {
            Overlap::Union => 0.0,
            Overlap::Smaller => 1.0,
        }
    }

    fn area(self, [left, top, right, bottom]: [f32; 4]) -> f32 {
        (right - left + self.edge()) * (bottom - top + self.edge())
    }

    fn of(self, a: [f32; 4], b: [f32; 4]) -> f32 {
        let width = (a[2].min(b[2]) - a[0].max(b[0]) + self.edge()).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1]) + self.edge()).max(0.0);
        let common = width * height;
        match self {
            Overlap::Union => common / (self.area(a) + self.area(b) - common),
            Overlap::Smaller => common / self.area(a).min(self.area(b)),
        }
    }

    /// The best first. Of equal ones either reference takes another first.
    fn order(self, a: (usize, f32), b: (usize, f32)) -> Ordering {
        let by_index = match self {
            Overlap::Union => a.0.cmp(&b.0),
            Overlap::Smaller => b.0.cmp(&a.0),
        };
        b.1.total_cmp(&a.1).then(by_index)
    }
}

/// The indices of the boxes that stay, the best first: those that overlap no better one that stays by more than
/// `threshold`.
pub fn suppress(boxes: &[ScoredBox], threshold: f32, overlap: Overlap) -> Vec<usize> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_unstable_by(|&a, &b| overlap.order((a, boxes[a].score), (b, boxes[b].score)));
    let mut places = Places::default();
    order.retain(|&index| {
        let corners = boxes[index].corners;
        // The overlap of boxes without area is no number, and more than nothing.
        let stays = !places.near(corners).any(|better| overlap.of(boxes[better].corners, corners) > threshold);
        if stays {
            places.insert(index, corners);
        }
        stays
    });
    order
}

/// Boxes by their width and left edge: a large picture has many thousands, and each can overlap few.
#[derive(Default)]
struct Places {
    /// For each power of two, the boxes that are wider but at most twice as wide: their left edges and indices.
    widths: [BTreeSet<(i64, usize)>; Places::WIDTHS],
}

impl Places {
    /// The last width is for all boxes from there on.
    const WIDTHS: usize = 24;

    fn insert(&mut self, index: usize, [left, _, right, _]: [f32; 4]) {
        let power = (right - left).max(1.0).log2() as usize;
        self.widths[power.min(Places::WIDTHS - 1)].insert((left as i64, index));
    }

    /// The boxes that can have a column in common with one of these corners.
    fn near(&self, [left, _, right, _]: [f32; 4]) -> impl Iterator<Item = usize> {
        // One pixel for the rounding of edges, one for sides that count both ends.
        let [first, last] = [left.min(right) as i64, left.max(right) as i64].map(|edge| edge.saturating_add(2));
        self.widths.iter().enumerate().flat_map(move |(power, boxes)| {
            let reach = if power + 1 < Places::WIDTHS { (2 << power) + 4 } else { i64::MAX };
            boxes.range((first.saturating_sub(reach), 0)..=(last, usize::MAX)).map(|&(_, index)| index)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: every box against every better one that stays.
    fn plainly(boxes: &[ScoredBox], threshold: f32, overlap: Overlap) -> Vec<usize> {
        let mut order: Vec<usize> = (0..boxes.len()).collect();
        order.sort_by(|&a, &b| overlap.order((a, boxes[a].score), (b, boxes[b].score)));
        let mut kept: Vec<usize> = Vec::new();
        for index in order {
            let overlaps = |better: &usize| overlap.of(boxes[*better].corners, boxes[index].corners) > threshold;
            if !kept.iter().any(overlaps) {
                kept.push(index);
            }
        }
        kept
    }

    /// Boxes of all widths, many near each other, some inside out or far outside every picture.
    fn scored_box() -> impl Strategy<Value = ScoredBox> {
        let side = prop_oneof![0.0..4.0_f32, 10.0..60.0_f32, 200.0..5000.0_f32, -20.0..0.0_f32, Just(1e9_f32)];
        (-50.0..300.0_f32, -20.0..60.0_f32, side, 0.5..2.0_f32, 0..8_u8).prop_map(|(left, top, width, shape, score)| {
            let corners = [left, top, left + width, top + width * shape];
            ScoredBox { corners, score: f32::from(score) / 8.0 }
        })
    }

    proptest! {
        #[test]
        fn only_near_boxes_matter(
            boxes in prop::collection::vec(scored_box(), 0..60), whole: bool, threshold in 0.0..0.9_f32,
        ) {
            let corners = |one: &ScoredBox| if whole { one.corners.map(f32::round) } else { one.corners };
            let boxes: Vec<_> = boxes.iter().map(|one| ScoredBox { corners: corners(one), ..*one }).collect();
            for overlap in [Overlap::Union, Overlap::Smaller] {
                prop_assert_eq!(suppress(&boxes, threshold, overlap), plainly(&boxes, threshold, overlap));
            }
        }

        #[test]
        fn numbers_of_any_kind_do_no_harm(corners: [f32; 4], more: [f32; 4], score: f32) {
            let boxes = [corners, more, [f32::NAN; 4], [f32::INFINITY; 4], [f32::NEG_INFINITY, 0.0, f32::INFINITY, 1.0]];
            let boxes = boxes.map(|corners| ScoredBox { corners, score });
            for overlap in [Overlap::Union, Overlap::Smaller] {
                prop_assert!(!suppress(&boxes, 0.5, overlap).is_empty());
            }
        }
    }
}
