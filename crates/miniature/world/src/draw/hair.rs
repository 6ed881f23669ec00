//! Hair of the head: a part behind head and shoulders, and a part in front.

use crate::factors::Headwear;
use crate::identity::HairStyle;
use crate::raster::noise::{cloud, dome, line, mix, plane, step};
use crate::raster::{Canvas, Paint, Region, Rgb, Shape};

use super::cut::{Strand, cap, cut};
use super::head::Head;
use super::tones::visible_style;

fn style(head: &Head) -> HairStyle {
    visible_style(head.identity.hair_style, head.attributes.dye)
}

/// What falls behind the neck and the shoulders.
pub(super) fn behind(canvas: &mut Canvas, head: &Head) {
    let style = style(head);
    let cut = cut(style);
    let side = head.width + cut.sides;
    let shape = match style {
        HairStyle::Bob | HairStyle::Fringe => {
            let low = cut.sideburn + 0.16;
            Shape::smooth(&[
                (-side, -0.3),
                (0.0, -0.9),
                (side, -0.3),
                (1.04 * side, 0.3),
                (1.03 * side, low - 0.12),
                (0.85 * side, low),
                (0.0, low + 0.02),
                (-0.85 * side, low),
                (-1.03 * side, low - 0.12),
                (-1.04 * side, 0.3),
            ])
        }
        HairStyle::LongStraight => Shape::smooth(&[
            (-side, -0.3),
            (0.0, -0.9),
            (side, -0.3),
            (1.06 * side, 0.6),
            (1.14 * side, 1.5),
            (side, 2.0),
            (0.0, 2.05),
            (-side, 2.0),
            (-1.14 * side, 1.5),
            (-1.06 * side, 0.6),
        ]),
        HairStyle::LongWavy => {
            let wave = |sign: f32| {
                [(-0.3, 1.0), (0.1, 1.1), (0.45, 1.02), (0.8, 1.2), (1.15, 1.1), (1.5, 1.3), (1.8, 1.12), (2.0, 0.8)]
                    .map(|(y, x)| (sign * side * x, y))
            };
            let mut outline = wave(1.0).to_vec();
            outline.push((0.0, 2.0));
            outline.extend(wave(-1.0).iter().rev());
            outline.push((0.0, -0.9));
            Shape::smooth(&outline)
        }
        HairStyle::Ponytail => Shape::smooth(&[
            (0.3, -0.75),
            (0.85, -0.75),
            (1.1, -0.35),
            (1.14, 0.3),
            (1.0, 1.1),
            (0.84, 1.25),
            (0.82, 0.5),
            (0.7, -0.1),
        ]),
        HairStyle::Afro | HairStyle::Curly => {
            let radius = |index: usize| {
                let bump = 0.05 * line(head.identity.freckle_seed, index as f32 * 7.3);
                side + bump - if style == HairStyle::Afro { 0.0 } else { 0.06 }
            };
            let middle = if style == HairStyle::Afro { -0.34 } else { -0.22 };
            Shape::smooth(&Shape::ring(0.0, middle, 26, radius))
        }
        HairStyle::Bun => bun(),
        _ => return,
    };
    let shade = |x: f32, y: f32| {
        let Paint { colour, opacity } = texture(head, cut.strand, x, y);
        // Behind the neck it is dark.
        let inner = step(0.55 * head.width, 0.95 * head.width, x.abs()).max(step(-0.5, -0.9, y));
        colour.lit(mix(0.5, 0.96, inner)).veil(opacity)
    };
    canvas.fill(&head.frame, &shape, head.body(), shade);
}

fn bun() -> Shape {
    Shape::ellipse(0.0, -1.17, 0.36, 0.3)
}

/// What lies on the scalp and falls before the ears.
pub(super) fn before(canvas: &mut Canvas, head: &Head) {
    let style = style(head);
    if style == HairStyle::Bald {
        return;
    }
    let cut = cut(style);
    let shape = Shape::smooth(&cap(head, &cut, style));
    // The forehead lies in the shadow of the hair.
    if style != HairStyle::Buzz {
        let shadow = head.frame.at(0.0, 0.035, 1.0, 0.0);
        let veil = head.tones.skin.times(Rgb([0.5, 0.38, 0.35]));
        canvas.fill(&shadow, &shape, Region::Unchanged, |x, y| {
            let inside = step(1.0, 0.9, x.abs() / head.half_width(y + 0.035).max(0.05));
            veil.veil(0.38 * inside * step(-0.98, -0.8, y))
        });
    }
    let strength = if style == HairStyle::Buzz { 0.78 } else { 1.0 };
    canvas.fill(&head.frame, &shape, head.body(), |x, y| {
        let Paint { colour, opacity } = texture(head, cut.strand, x, y);
        colour.veil(strength * opacity)
    });
    if style == HairStyle::Bun {
        let tie = Shape::stroke(&[(-0.24, -1.0, 0.05), (0.0, -0.96, 0.06), (0.24, -1.0, 0.05)]);
        canvas.flat(&head.frame, &tie, head.body(), head.tones.hair.lit(0.45).veil(hidden(head, 0.0, -1.0)));
    }
}

/// The colour of hair: strands, a band of shine, darkness towards the rim; nothing where a hat hides it.
fn texture(head: &Head, strand: Strand, x: f32, y: f32) -> Paint {
    let base = head.tones.hair;
    let seed = head.identity.freckle_seed;
    let rim = (x / (head.width + 0.25)).clamp(-1.0, 1.0);
    let lean = 0.16 * head.light.side * rim;
    let lit = match strand {
        Strand::Straight => {
            // Strands fan out from the crown and hang down at the sides.
            let fan = x / (0.34 + 0.66 * step(-1.15, -0.1, y));
            0.55 * line(seed, 17.0 * fan) + 0.45 * line(seed ^ 3, 41.0 * fan)
        }
        Strand::Wavy => {
            let fan = x / (0.34 + 0.66 * step(-1.15, -0.1, y)) + 0.1 * crate::raster::turn::wave(1.35 * y);
            0.65 * line(seed, 14.0 * fan) + 0.35 * line(seed ^ 3, 36.0 * fan)
        }
        Strand::Curled => {
            let here = cloud(seed, 8.5 * x, 8.5 * y);
            let above = plane(seed, 8.5 * x + 0.25, 8.5 * y + 0.3);
            (0.5 + 1.1 * (here - above) + 0.5 * (here - 0.5)).clamp(0.0, 1.0)
        }
    };
    let shine = match strand {
        Strand::Curled => 0.0,
        Strand::Straight | Strand::Wavy => {
            dome(y + 0.84 - 0.34 * x * x - 0.1 * (lit - 0.5), 0.17)
                + 0.5 * dome(y - 0.55 - 0.3 * lit, 0.5) * step(0.6, 0.9, x.abs())
        }
    };
    let colour = base.lit(mix(0.62, 1.12, lit) + lean - 0.3 * rim * rim * rim * rim);
    let gloss = base.mix(Rgb::WHITE, 0.55);
    colour.mix(gloss, (0.42 * shine * mix(0.5, 1.0, lit)).clamp(0.0, 1.0)).veil(hidden(head, x, y))
}

/// 0 where headwear has taken the place of the hair.
fn hidden(head: &Head, x: f32, y: f32) -> f32 {
    // Beside the brim, hair springs out again little by little.
    let beside = 1.3 * (x.abs() - head.width).max(0.0);
    if head.attributes.headwear == Headwear::None { 1.0 } else { step(-0.66, -0.6, y - beside) }
}
