//! Cuts of hair: their numbers, and the outline of what lies on the scalp.

use crate::identity::HairStyle;
use crate::raster::noise::{line, mix};

use super::head::Head;

/// How hair is combed.
#[derive(Clone, Copy)]
pub(super) enum Strand {
    Straight,
    Wavy,
    Curled,
}

/// The cut in numbers of head units.
pub(super) struct Cut {
    /// How far the hair stands off the crown and the temples.
    pub(super) crown: f32,
    pub(super) sides: f32,
    /// Where the hair before the ears ends.
    pub(super) sideburn: f32,
    /// How far the hairline sinks into the forehead at the middle, and its slant to one side.
    pub(super) fringe: f32,
    pub(super) slant: f32,
    /// How far single locks hang out of the hairline.
    pub(super) tips: f32,
    pub(super) strand: Strand,
}

/// The numbers of a style.
pub(super) fn cut(style: HairStyle) -> Cut {
    use Strand::{Curled, Straight, Wavy};
    let cut = |crown, sides, sideburn, fringe, slant, tips, strand| Cut {
        crown,
        sides,
        sideburn,
        fringe,
        slant,
        tips,
        strand,
    };
    match style {
        HairStyle::Bald => cut(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, Straight),
        HairStyle::Buzz => cut(0.025, 0.015, 0.02, 0.0, 0.0, 0.006, Straight),
        HairStyle::Short => cut(0.11, 0.05, 0.12, 0.1, 0.02, 0.035, Straight),
        HairStyle::SideParting => cut(0.15, 0.06, 0.14, 0.04, 0.13, 0.012, Straight),
        HairStyle::Quiff => cut(0.27, 0.035, 0.1, -0.04, 0.05, 0.01, Straight),
        HairStyle::Curly => cut(0.22, 0.17, 0.16, 0.1, 0.0, 0.04, Curled),
        HairStyle::Afro => cut(0.4, 0.36, 0.2, 0.03, 0.0, 0.012, Curled),
        HairStyle::Bob => cut(0.13, 0.14, 0.62, 0.03, 0.06, 0.016, Straight),
        HairStyle::Fringe => cut(0.13, 0.13, 0.7, 0.3, 0.0, 0.022, Straight),
        HairStyle::LongStraight => cut(0.1, 0.1, 1.0, 0.0, 0.04, 0.008, Straight),
        HairStyle::LongWavy => cut(0.16, 0.17, 0.95, 0.02, 0.08, 0.012, Wavy),
        HairStyle::Ponytail => cut(0.08, 0.03, 0.08, 0.0, 0.05, 0.006, Straight),
        HairStyle::Bun => cut(0.07, 0.03, 0.1, 0.0, 0.0, 0.006, Straight),
    }
}

/// The outline of the hair on the scalp: from the left up over the crown, and back along the hairline.
pub(super) fn cap(head: &Head, cut: &Cut, style: HairStyle) -> Vec<(f32, f32)> {
    let right = outside(head, cut, style, 1.0);
    let mut outline = outside(head, cut, style, -1.0);
    outline.push((0.0, -1.0 - cut.crown));
    outline.extend(right.into_iter().rev());
    let mut hairline = inside(head, cut, style, 1.0);
    hairline.extend(inside(head, cut, style, -1.0).into_iter().rev());
    let middle = hairline.len() / 2;
    let tips = tips(head, hairline[middle - 1], hairline[middle], cut.tips);
    hairline.splice(middle..middle, tips);
    outline.extend(hairline);
    outline
}

/// Tips of single locks on the forehead, between two points of the hairline.
fn tips(head: &Head, from: (f32, f32), to: (f32, f32), length: f32) -> Vec<(f32, f32)> {
    const COUNT: usize = 7;
    let seed = head.identity.freckle_seed;
    let tip = |index: usize| {
        let t = index as f32 / (COUNT + 1) as f32;
        let hang = if index.is_multiple_of(2) { -0.3 } else { 1.0 };
        let random = 0.4 + 1.2 * line(seed, 3.3 * index as f32);
        (
            mix(from.0, to.0, t),
            mix(from.1, to.1, t) - 0.03 * (1.0 - (2.0 * t - 1.0) * (2.0 * t - 1.0)) + length * hang * random,
        )
    };
    (1..=COUNT).map(tip).collect()
}

/// Small bumps along the outline of curls.
fn curl(head: &Head, cut: &Cut, index: i32) -> f32 {
    match cut.strand {
        Strand::Curled => 0.06 * line(head.identity.freckle_seed ^ 77, index as f32 * 5.7),
        Strand::Straight | Strand::Wavy => 0.0,
    }
}

/// Whether hair falls past the ears.
fn is_long(cut: &Cut) -> bool {
    cut.sideburn > 0.5
}

/// The outer side, from the lower end up to beside the crown.
fn outside(head: &Head, cut: &Cut, style: HairStyle, sign: f32) -> Vec<(f32, f32)> {
    let end = cut.sideburn;
    let mut points = if is_long(cut) {
        let side = head.width + cut.sides;
        vec![(sign * (side - 0.05), end + 0.03), (sign * 1.02 * side, 0.66 * end), (sign * side, 0.1)]
    } else {
        vec![
            (sign * 0.98 * head.half_width(end), end),
            (sign * (head.half_width(0.0) + 0.6 * cut.sides), 0.4 * end - 0.12),
        ]
    };
    for (index, y) in [-0.35, -0.62, -0.82, -0.94].into_iter().enumerate() {
        // Away from the middle of the skull: by the sides' thickness at the temples, by the crown's at the top.
        let x = head.half_width(y);
        let (dx, dy) = (x, y + 0.15);
        let length = (dx * dx + dy * dy).sqrt();
        let upward = (dy / length) * (dy / length);
        let off = mix(cut.sides, cut.crown, upward) + curl(head, cut, index as i32 + 10 * sign as i32);
        let swept = if style == HairStyle::Quiff { 0.12 * sign * upward } else { 0.0 };
        points.push((sign * (x + off * dx / length), y + off * dy / length - 0.5 * swept));
    }
    points
}

/// The inner side, from the lower end up along the temple to the forehead.
fn inside(head: &Head, cut: &Cut, style: HairStyle, sign: f32) -> Vec<(f32, f32)> {
    let (end, slant) = (cut.sideburn, sign * cut.slant);
    let line = head.hairline + cut.fringe;
    let temple = head.half_width(-0.2);
    let mut points = if is_long(cut) {
        // A lock that covers the edge of the cheek and ends in a tip.
        vec![
            (sign * 0.96 * head.width, end + 0.04),
            (sign * 0.86 * head.half_width(0.45), 0.5 * end),
            (sign * 0.88 * head.width, 0.05),
        ]
    } else {
        vec![(sign * 0.925 * head.half_width(end), end + 0.01), (sign * 0.945 * head.half_width(0.0), 0.3 * end - 0.02)]
    };
    if style == HairStyle::Fringe {
        points.extend([(sign * 0.86 * temple, -0.16), (sign * 0.72 * temple, -0.235), (sign * 0.36 * temple, line)]);
    } else {
        points.extend([
            (sign * 0.94 * temple, -0.24),
            (sign * 0.84 * temple, mix(-0.3, line, 0.5) + slant),
            (sign * 0.48 * temple, line + 0.03 + slant),
        ]);
    }
    points
}
