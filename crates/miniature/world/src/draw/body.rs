//! Neck, shoulders and shirt.

use crate::raster::noise::{cloud, dome, mix, step};
use crate::raster::{Canvas, Rgb, Shape};

use super::head::Head;

/// Draws the body below a head; `seed` chooses the collar and the folds.
pub(super) fn draw(canvas: &mut Canvas, head: &Head, seed: u32) {
    let skin = head.tones.skin;
    let neck = if head.is_man() { 0.47 } else { 0.39 } * head.identity.face_width;
    let shoulder = if head.is_man() { 1.72 } else { 1.5 };
    let side_light = 0.16 * head.light.side;
    let torso = Shape::smooth(&[
        (-neck, 1.22),
        (-0.62 * shoulder, 1.42),
        (-0.95 * shoulder, 1.66),
        (-1.12 * shoulder, 2.3),
        (-1.2 * shoulder, 3.4),
        (-1.2 * shoulder, 6.5),
        (1.2 * shoulder, 6.5),
        (1.2 * shoulder, 3.4),
        (1.12 * shoulder, 2.3),
        (0.95 * shoulder, 1.66),
        (0.62 * shoulder, 1.42),
        (neck, 1.22),
        (0.0, 1.3),
    ]);
    let shirt = head.tones.shirt;
    canvas.fill(&head.frame, &torso, head.body(), |x, y| {
        let across = x / (1.15 * shoulder);
        let folds = cloud(seed, 2.6 * x + 0.8 * y, 0.9 * y - 0.6 * x);
        // Arms hang beside the chest: a valley between the two.
        let valley = dome(x.abs() - 0.78 * shoulder - 0.03 * (y - 2.0), 0.16) * step(1.9, 2.4, y);
        let lit = 0.96 + side_light * across - 0.34 * across * across + 0.3 * (folds - 0.5) - 0.22 * valley;
        let lit = lit - 0.1 * step(1.6, 3.6, y) + 0.06 * step(1.9, 1.4, y);
        shirt.lit(lit).mix(Rgb::WHITE, 0.04)
    });
    let throat = Shape::smooth(&[
        (-neck, 0.6),
        (-0.95 * neck, 1.1),
        (-1.25 * neck, 1.32),
        (-0.55 * neck, 1.52),
        (0.0, 1.6),
        (0.55 * neck, 1.52),
        (1.25 * neck, 1.32),
        (0.95 * neck, 1.1),
        (neck, 0.6),
    ]);
    canvas.fill(&head.frame, &throat, head.body(), |x, y| {
        let across = x / neck;
        let cast = step(1.42, 0.95, y + 0.25 * x * x) * 0.42;
        let lit = 0.94 + side_light * across - 0.24 * across * across - cast;
        skin.times(Rgb([0.62, 0.5, 0.47])).mix(skin, step(0.2, 1.0, lit)).lit(mix(0.6, 1.0, lit.clamp(0.0, 1.0)))
    });
    collar(canvas, head, neck, seed);
}

/// A round neck, a V or a shirt's collar.
fn collar(canvas: &mut Canvas, head: &Head, neck: f32, seed: u32) {
    let shirt = head.tones.shirt;
    let rim = shirt.lit(0.72).mix(Rgb::WHITE, 0.05);
    match seed % 3 {
        0 => {
            let line = Shape::stroke(&[
                (-1.28 * neck, 1.3, 0.07),
                (-0.6 * neck, 1.53, 0.08),
                (0.0, 1.61, 0.08),
                (0.6 * neck, 1.53, 0.08),
                (1.28 * neck, 1.3, 0.07),
            ]);
            canvas.flat(&head.frame, &line, head.body(), rim);
        }
        1 => {
            let skin = head.tones.skin;
            let opening = Shape::polygon(&[(-0.62 * neck, 1.48), (0.62 * neck, 1.48), (0.0, 2.0)]);
            canvas.fill(&head.frame, &opening, head.body(), |x, _| skin.lit(0.9 - 0.5 * x * x));
            for side in [-1.0, 1.0] {
                let edge = Shape::stroke(&[
                    (side * 1.25 * neck, 1.31, 0.07),
                    (side * 0.62 * neck, 1.51, 0.07),
                    (0.0, 2.03, 0.07),
                ]);
                canvas.flat(&head.frame, &edge, head.body(), rim);
            }
        }
        _ => {
            for side in [-1.0, 1.0] {
                let flap = Shape::polygon(&[
                    (side * 1.02 * neck, 1.1),
                    (side * 1.35 * neck, 1.32),
                    (side * 0.85 * neck, 1.78),
                    (0.0, 1.56),
                    (side * 0.5 * neck, 1.46),
                ]);
                canvas
                    .fill(&head.frame, &flap, head.body(), |x, _| shirt.lit(1.02 - 0.2 * x.abs()).mix(Rgb::WHITE, 0.1));
                let edge = Shape::stroke(&[
                    (side * 1.35 * neck, 1.32, 0.02),
                    (side * 0.85 * neck, 1.78, 0.04),
                    (0.0, 1.56, 0.03),
                ]);
                canvas.flat(&head.frame, &edge, head.body(), rim.veil(0.8));
            }
        }
    }
}
