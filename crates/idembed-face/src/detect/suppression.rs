//! Non-maximum suppression: of boxes that cover the same thing, only the best stays.

use std::cmp::Ordering;

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

    fn of(self, (a, a_area): ([f32; 4], f32), (b, b_area): ([f32; 4], f32)) -> f32 {
        let width = (a[2].min(b[2]) - a[0].max(b[0]) + self.edge()).max(0.0);
        let height = (a[3].min(b[3]) - a[1].max(b[1]) + self.edge()).max(0.0);
        let common = width * height;
        match self {
            Overlap::Union => common / (a_area + b_area - common),
            Overlap::Smaller => common / a_area.min(b_area),
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
    let mut left: Vec<_> = order
        .into_iter()
        .map(|index| {
            let corners = boxes[index].corners;
            (index, (corners, overlap.area(corners)))
        })
        .collect();
    let mut kept = Vec::new();
    while let Some(&(index, best)) = left.first() {
        kept.push(index);
        left.remove(0);
        // Not `<=`: the overlap of two boxes without area is no number, and torchvision keeps both.
        left.retain(|&(_, other)| !(overlap.of(best, other) > threshold));
    }
    kept
}
