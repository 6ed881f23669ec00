//! Nose, mouth and what age leaves around them.

use crate::raster::noise::{mix, step};
use crate::raster::{Canvas, Coverage, Rgb, Shape};

use super::head::Head;

/// Nostrils and wings; the rest of a nose is light and shadow.
pub(super) fn nose(canvas: &mut Canvas, head: &Head) {
    let wide = head.identity.nose_width;
    let y = head.nose;
    let dark = head.tones.skin.times(Rgb::hex(0x55302a));
    let fold = head.tones.skin.times(Rgb::hex(0x8e5c50));
    for side in [-1.0, 1.0] {
        let wing = head.stroke(
            side,
            [
                (0.125 * wide, y - 0.085, 0.008),
                (0.168 * wide, y - 0.03, 0.02),
                (0.155 * wide, y + 0.02, 0.022),
                (0.115 * wide, y + 0.03, 0.008),
            ],
        );
        canvas.flat(&head.frame, &wing, head.face(), fold.veil(0.5));
        let nostril = head.stroke(
            side,
            [(0.03 * wide, y + 0.026, 0.01), (0.07 * wide, y + 0.012, 0.036), (0.115 * wide, y + 0.022, 0.012)],
        );
        canvas.flat(&head.frame, &nostril, head.face(), dark.veil(0.82));
    }
    let base =
        head.stroke(1.0, [(-0.07 * wide, y + 0.034, 0.008), (0.0, y + 0.052, 0.018), (0.07 * wide, y + 0.034, 0.008)]);
    canvas.flat(&head.frame, &base, head.face(), fold.veil(0.5));
}

/// Lips, and between them teeth or a wide open mouth.
pub(super) fn mouth(canvas: &mut Canvas, head: &Head) {
    let (wide, corner) = head.mouth_corner();
    let (gap, fullness) = (head.mood.gap, head.identity.lip_size);
    let middle = head.mouth + 0.012;
    // Where the lips meet, or the edges of the opening.
    let (above, below) = (middle - 0.3 * gap, middle + 0.85 * gap);
    let (thin, full) = (0.058 * fullness, 0.078 * fullness);
    let lips = head.tones.lips;
    let whole = head.parts(
        1.0,
        [
            (-wide, corner),
            (-0.55 * wide, mix(corner, above, 0.55) - 0.72 * thin),
            (-0.18 * wide, above - thin),
            (0.0, above - 0.8 * thin),
            (0.18 * wide, above - thin),
            (0.55 * wide, mix(corner, above, 0.55) - 0.72 * thin),
            (wide, corner),
            (0.6 * wide, mix(corner, below, 0.72) + 0.62 * full),
            (0.0, below + full),
            (-0.6 * wide, mix(corner, below, 0.72) + 0.62 * full),
        ],
    );
    let (centre_x, line_y) = head.part(0.0, middle);
    let lean = 0.3 * head.light.side;
    canvas.fill(&head.frame, &Shape::smooth(&whole), head.face(), |u, v| {
        let across = (u - centre_x) / wide;
        if v < line_y {
            // The upper lip faces the ground.
            lips.lit(0.74 - 0.1 * (across - lean).abs())
        } else {
            let down = ((v - line_y - 0.9 * gap) / full).clamp(0.0, 1.0);
            let swell = 4.0 * down * (1.0 - down) * (1.0 - across * across).max(0.0);
            let lit = lips.lit(mix(0.88, 0.72, step(0.6, 1.0, down)) + 0.2 * swell);
            lit.mix(Rgb::WHITE, 0.22 * swell * step(0.55, 0.0, (across - lean).abs()))
        }
    });
    if gap > 0.0 {
        opening(canvas, head, (wide, corner), (above, below));
    } else {
        let line = head.stroke(
            1.0,
            [
                (-1.02 * wide, corner + 0.002, 0.012),
                (-0.5 * wide, mix(corner, middle, 0.7), 0.02),
                (0.0, middle + 0.004, 0.022),
                (0.5 * wide, mix(corner, middle, 0.7), 0.02),
                (1.02 * wide, corner + 0.002, 0.012),
            ],
        );
        canvas.flat(&head.frame, &line, head.face(), lips.times(Rgb::hex(0x5a3030)).veil(0.9));
    }
    for side in [-1.0, 1.0] {
        let dimple = head.stroke(side, [(wide, corner - 0.02, 0.02), (wide + 0.03, corner + 0.01, 0.012)]);
        canvas.flat(&head.frame, &dimple, head.face(), head.tones.skin.times(Rgb::hex(0x7a4a42)).veil(0.55));
    }
}

fn opening(canvas: &mut Canvas, head: &Head, (wide, corner): (f32, f32), (above, below): (f32, f32)) {
    let inner = 0.92 * wide;
    let shape = Shape::smooth(&head.parts(
        1.0,
        [
            (-inner, corner + 0.008),
            (-0.5 * inner, mix(corner, above, 0.75)),
            (0.0, above),
            (0.5 * inner, mix(corner, above, 0.75)),
            (inner, corner + 0.008),
            (0.55 * inner, mix(corner, below, 0.78)),
            (0.0, below),
            (-0.55 * inner, mix(corner, below, 0.78)),
        ],
    ));
    let opening = Coverage::of(canvas.side(), &head.frame, &shape);
    let (centre_x, top) = head.part(0.0, above);
    let (_, bottom) = head.part(0.0, below);
    let laughing = head.mood.gap > 0.1;
    // The rows of teeth bend up with the smile.
    let arch = (above - corner) / (inner * inner);
    canvas.apply(&head.frame, &opening, head.face(), |u, v| {
        let off = u - centre_x;
        let bent = v + 0.6 * arch * off * off;
        let edge = (off / inner) * (off / inner);
        let teeth = Rgb::hex(0xf3ede4).lit(1.0 - 0.45 * edge);
        if !laughing {
            return teeth;
        }
        let depth = Rgb::hex(0x3a0d12);
        let tongue = Rgb::hex(0xb8484e).lit(0.95 - 0.5 * edge);
        let inside = depth.mix(tongue, step(0.45, 0.8, (bent - top) / (bottom - top)));
        inside.mix(teeth, step(0.082, 0.066, bent - top))
    });
}

/// Wrinkles of the forehead, beside the eyes, below them and beside the mouth.
pub(super) fn wrinkles(canvas: &mut Canvas, head: &Head) {
    let furrow = head.tones.skin.times(Rgb::hex(0x7c5046));
    let (eye_x, eye_y) = head.eye;
    let (wide, corner) = head.mouth_corner();
    for step in 0..3 {
        let y = mix(head.brow - 0.1, head.hairline + 0.05, (step as f32 + 0.5) / 3.0);
        let line =
            head.stroke(1.0, [(-0.34, y + 0.02, 0.004), (-0.12, y, 0.018), (0.12, y, 0.018), (0.34, y + 0.02, 0.004)]);
        canvas.flat(&head.frame, &line, head.face(), furrow.veil(0.55));
    }
    for side in [-1.0, 1.0] {
        let lines = [
            [
                (eye_x + 0.19, eye_y - 0.01, 0.014),
                (eye_x + 0.24, eye_y - 0.04, 0.01),
                (eye_x + 0.3, eye_y - 0.06, 0.003),
            ],
            [
                (eye_x + 0.19, eye_y + 0.02, 0.014),
                (eye_x + 0.25, eye_y + 0.025, 0.01),
                (eye_x + 0.31, eye_y + 0.03, 0.003),
            ],
            [(eye_x - 0.13, eye_y + 0.085, 0.005), (eye_x, eye_y + 0.135, 0.02), (eye_x + 0.13, eye_y + 0.1, 0.004)],
            [
                (0.19, head.nose - 0.02, 0.006),
                (0.27, mix(head.nose, corner, 0.5), 0.024),
                (wide + 0.05, corner + 0.03, 0.006),
            ],
            [
                (wide + 0.01, corner + 0.07, 0.006),
                (wide - 0.01, corner + 0.14, 0.018),
                (wide - 0.03, corner + 0.2, 0.004),
            ],
        ];
        for line in lines {
            canvas.flat(&head.frame, &head.stroke(side, line), head.face(), furrow.veil(0.55));
        }
    }
}
