//! A face on its head: skin, spots, eyes, nose, mouth and beard.

use crate::chance::Chance;
use crate::identity::FacialHair;
use crate::raster::noise::{mix, plane, step};
use crate::raster::{Canvas, Rgb, Shape};

use super::head::Head;
use super::relief::Relief;
use super::{eyes, mouth};

/// Draws ears, scalp and the whole face.
pub(super) fn draw(canvas: &mut Canvas, head: &Head) {
    ears(canvas, head);
    let relief = Relief::of(head);
    // The scalp is no face: it reaches a little below the hairline so that no seam shows.
    let scalp: Vec<_> = scalp(head);
    canvas.fill(&head.frame, &Shape::polygon(&scalp), head.body(), |x, y| relief.colour(x, y));
    let outline = head.outline(head.hairline);
    canvas.fill(&head.frame, &Shape::polygon(&outline), head.face(), |x, y| relief.colour(x, y));
    spots(canvas, head);
    if head.attributes.old {
        mouth::wrinkles(canvas, head);
    }
    beard(canvas, head);
    mouth::nose(canvas, head);
    mouth::mouth(canvas, head);
    eyes::draw(canvas, head);
}

fn scalp(head: &Head) -> Vec<(f32, f32)> {
    const STEPS: usize = 12;
    let low = head.hairline + 0.06;
    let height = |index: usize| {
        let t = index as f32 / STEPS as f32;
        -1.0 + (low + 1.0) * t * t
    };
    let right = (0..=STEPS).map(|index| (head.half_width(height(index)), height(index)));
    let left = (1..=STEPS).rev().map(|index| (-head.half_width(height(index)), height(index)));
    right.chain(left).collect()
}

fn ears(canvas: &mut Canvas, head: &Head) {
    let size = head.identity.ears;
    let skin = head.tones.skin;
    for side in [-1.0, 1.0] {
        // The ear on the far side hides behind a turning head.
        let out = 0.055 * size * (1.0 - 0.7 * side * head.pose.turn) + head.half_width(0.15);
        let (x, y) = (side * (out - 0.03), 0.12);
        let (rx, ry) = (0.095 * size, 0.215 * size);
        let outline = Shape::smooth(&[
            (x - side * rx, y - 0.6 * ry),
            (x + side * 0.5 * rx, y - ry),
            (x + side * rx, y - 0.5 * ry),
            (x + side * 0.7 * rx, y + 0.35 * ry),
            (x + side * 0.1 * rx, y + ry),
            (x - side * rx, y + 0.6 * ry),
        ]);
        let lit = 0.82 - 0.12 * side * -head.light.side;
        canvas.fill(&head.frame, &outline, head.body(), |u, v| {
            let (du, dv) = ((u - x) / rx, (v - y) / ry);
            let hollow = step(0.75, 0.2, (du + 0.2 * side) * (du + 0.2 * side) + dv * dv);
            skin.times(Rgb([1.0, 0.9, 0.88])).lit(lit - 0.24 * hollow)
        });
    }
}

/// Freckles and a mole.
fn spots(canvas: &mut Canvas, head: &Head) {
    let identity = &head.identity;
    let mut chance = Chance::new(u64::from(identity.freckle_seed), "freckles");
    let freckle = head.tones.skin.times(Rgb::hex(0xa8683f));
    for _ in 0..(46.0 * identity.freckles) as usize {
        let side = chance.pick([-1.0, 1.0]);
        let (x, y) = (side * chance.around(0.28, 0.3), chance.around(0.25, 0.2));
        let (x, y) = head.part(x, y);
        let radius = chance.between(0.013, 0.024);
        canvas.flat(&head.frame, &Shape::circle(x, y, radius), head.face(), freckle.veil(0.78));
    }
    if let Some(mole) = identity.mole {
        let (x, y) = head.part(mole.x, mole.y);
        let dark = head.tones.skin.times(Rgb::hex(0x4a2a1c));
        canvas.flat(&head.frame, &Shape::circle(x, y, mole.radius), head.face(), dark.veil(0.95));
    }
}

/// Stubble, moustache, goatee or a full beard.
fn beard(canvas: &mut Canvas, head: &Head) {
    let identity = &head.identity;
    let colour = head.tones.brow;
    let seed = identity.freckle_seed;
    let (wide, mouth) = (head.mouth_width(), head.mouth);
    let hair = |x: f32, y: f32| {
        let strands = plane(seed, 34.0 * x, 13.0 * y);
        colour.lit(0.78 + 0.5 * strands)
    };
    let full = head.attributes.beard;
    if full || identity.facial_hair == FacialHair::Stubble {
        // Below a line from the ears down the cheeks to under the nose; soft for stubble.
        let (strength, soft, low) = if full { (0.96, 0.05, 0.11) } else { (0.36, 0.13, 0.0) };
        let mut outline = head.outline(0.02);
        for (x, y) in &mut outline {
            *x *= 1.0 + 0.35 * low * step(0.1, 0.5, *y);
            *y += low * step(0.5, 1.0, *y);
        }
        canvas.fill(&head.frame, &Shape::polygon(&outline), head.face(), |x, y| {
            let beside = step(0.52 * head.width, 0.97 * head.width, x.abs());
            let edge = mix(mouth - 0.13, 0.08, beside);
            let across = (x / head.half_width(y).max(0.2)).clamp(-1.0, 1.0);
            hair(x, y).lit(1.08 - 0.35 * across * across).veil(strength * step(edge - soft, edge + soft, y))
        });
    }
    let moustache = full || matches!(identity.facial_hair, FacialHair::Moustache | FacialHair::Goatee);
    if moustache {
        let y = mouth - 0.075;
        for side in [-1.0, 1.0] {
            let half = head.stroke(
                side,
                [
                    (-0.005, y - 0.01, 0.055),
                    (0.5 * wide, y + 0.008, 0.075),
                    (1.12 * wide, y + 0.07 - head.mood.lift, 0.02),
                ],
            );
            canvas.fill(&head.frame, &half, head.face(), |x, y| hair(x, y).veil(0.93));
        }
    }
    if identity.facial_hair == FacialHair::Goatee && !full {
        let top = mouth + 0.15 + head.mood.gap;
        let low = head.chin + 0.05;
        let outline =
            [(-0.15, top + 0.04), (0.0, top), (0.15, top + 0.04), (0.19, low - 0.1), (0.0, low), (-0.19, low - 0.1)];
        let outline = head.parts(1.0, outline);
        canvas.fill(&head.frame, &Shape::smooth(&outline), head.face(), |x, y| hair(x, y).veil(0.93));
    }
}
