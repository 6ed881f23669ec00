//! Eyes and brows.

use crate::raster::noise::{line, mix, step};
use crate::raster::{Canvas, Coverage, Paint, Rgb, Shape};

use super::head::Head;

/// Draws both eyes, open or closed, and the brows.
pub(super) fn draw(canvas: &mut Canvas, head: &Head) {
    for side in [-1.0, 1.0] {
        if head.openness() > 0.0 {
            open(canvas, head, side)
        } else {
            closed(canvas, head, side)
        }
        brow(canvas, head, side);
    }
}

/// The lids: from the inner corner along the upper lid, and back along the lower one; `x` away from the nose.
struct Lids {
    inner: (f32, f32),
    upper: [(f32, f32); 3],
    outer: (f32, f32),
    lower: [(f32, f32); 3],
}

impl Lids {
    fn of(head: &Head) -> Lids {
        let (x, y) = head.eye;
        let wide = head.eye_width;
        let (rise, fall) = (0.088 * head.openness(), 0.052 * mix(1.0, head.openness(), 0.4));
        let tilt = 0.032 * head.identity.eye_tilt;
        Lids {
            inner: (x - wide, y + 0.018),
            upper: [
                (x - 0.55 * wide, y - 0.75 * rise),
                (x, y - rise - 0.3 * tilt),
                (x + 0.58 * wide, y - 0.72 * rise - 0.6 * tilt),
            ],
            outer: (x + wide, y - tilt),
            lower: [(x + 0.5 * wide, y + 0.85 * fall - 0.5 * tilt), (x, y + fall), (x - 0.55 * wide, y + 0.75 * fall)],
        }
    }

    fn outline(&self) -> [(f32, f32); 8] {
        let [a, b, c] = self.upper;
        let [d, e, f] = self.lower;
        [self.inner, a, b, c, self.outer, d, e, f]
    }
}

fn open(canvas: &mut Canvas, head: &Head, side: f32) {
    let lids = Lids::of(head);
    let face = head.face();
    let (x, y) = head.part(side * head.eye.0, head.eye.1);
    let opening = Shape::smooth(&head.parts(side, lids.outline()));
    let opening = Coverage::of(canvas.side(), &head.frame, &opening);
    let upper = head.eye.1 - 0.088 * head.openness();
    // The lid shades the upper part of the white.
    canvas.apply(&head.frame, &opening, face, |u, v| {
        let edge = ((u - x) / head.eye_width).abs();
        let white = Rgb::hex(0xeee8e4).mix(Rgb::hex(0xcf9c94), 0.5 * step(0.55, 1.0, edge));
        white.lit(mix(0.55, 0.98, step(upper, upper + 0.075, v)))
    });
    // The gaze follows the head only half way, as people look into the camera.
    let radius = 0.079 * mix(1.0, head.identity.eye_size, 0.5);
    let (iris_x, iris_y) = (x + 0.012 * head.pose.turn, y - 0.006);
    let iris = Coverage::of(canvas.side(), &head.frame, &Shape::circle(iris_x, iris_y, radius)).within(&opening);
    canvas.apply(&head.frame, &iris, face, |u, v| {
        let (du, dv) = (u - iris_x, v - iris_y);
        let distance = (du * du + dv * dv).sqrt() / radius;
        let ring = head.tones.iris.mix(Rgb::BLACK, 0.6 * step(0.72, 1.0, distance));
        let glow = ring.lit(1.0 + 0.45 * dv / radius).mix(Rgb::BLACK, 0.35 * step(0.0, -0.8, dv / radius));
        glow.mix(Rgb::hex(0x0a0808), step(0.54, 0.36, distance))
    });
    let glint = (iris_x + 0.026 * head.light.side.signum(), iris_y - 0.026);
    let spark = Coverage::of(canvas.side(), &head.frame, &Shape::circle(glint.0, glint.1, 0.02)).within(&opening);
    canvas.apply(&head.frame, &spark, face, |_, _| Rgb::WHITE.veil(0.92));

    let lash = Rgb::hex(0x1c1210);
    let [a, b, c] = lids.upper;
    let strong = if head.is_man() { 0.022 } else { 0.032 };
    let wing = (lids.outer.0 + 0.02, lids.outer.1 - 0.004);
    let upper_lash = head.stroke(
        side,
        [
            (lids.inner.0, lids.inner.1, 0.008),
            (a.0, a.1, 0.75 * strong),
            (b.0, b.1, strong),
            (c.0, c.1, strong),
            (wing.0, wing.1, 0.3 * strong),
        ],
    );
    canvas.flat(&head.frame, &upper_lash, face, lash.veil(0.92));
    let [d, e, f] = lids.lower;
    let lower_lash = head
        .stroke(side, [(lids.outer.0, lids.outer.1, 0.014), (d.0, d.1, 0.014), (e.0, e.1, 0.012), (f.0, f.1, 0.006)]);
    canvas.flat(&head.frame, &lower_lash, face, head.tones.skin.times(Rgb::hex(0x8a5a50)).veil(0.6));
    let lift = 0.035 + 0.02 * head.openness();
    let crease = head.stroke(
        side,
        [
            (lids.inner.0 + 0.02, lids.inner.1 - 0.05, 0.006),
            (a.0, a.1 - lift, 0.016),
            (b.0, b.1 - lift, 0.02),
            (c.0 + 0.02, c.1 - lift, 0.016),
            (lids.outer.0 + 0.03, lids.outer.1 - 0.04, 0.005),
        ],
    );
    canvas.flat(&head.frame, &crease, face, head.tones.skin.times(Rgb::hex(0x8c5c50)).veil(0.6));
}

/// Only the lashes and the crease of the lid are left.
fn closed(canvas: &mut Canvas, head: &Head, side: f32) {
    let (x, y) = head.eye;
    let wide = head.eye_width;
    let tilt = 0.03 * head.identity.eye_tilt;
    let skin = head.tones.skin;
    let lid = Shape::smooth(&head.parts(
        side,
        [
            (x - wide, y + 0.01),
            (x - 0.5 * wide, y - 0.05),
            (x + 0.1 * wide, y - 0.07),
            (x + 0.7 * wide, y - 0.045 - tilt),
            (x + wide, y + 0.01 - tilt),
            (x + 0.5 * wide, y + 0.058),
            (x - 0.4 * wide, y + 0.056),
        ],
    ));
    canvas.fill(&head.frame, &lid, head.face(), |_, v| {
        skin.times(Rgb::hex(0xeac2b4)).lit(mix(0.88, 1.02, step(y - 0.07, y + 0.01, v))).veil(0.85)
    });
    let lashes = head.stroke(
        side,
        [
            (x - wide, y + 0.012, 0.012),
            (x - 0.5 * wide, y + 0.052, 0.03),
            (x + 0.1 * wide, y + 0.066, 0.036),
            (x + 0.6 * wide, y + 0.046 - 0.5 * tilt, 0.036),
            (x + 1.12 * wide, y + 0.006 - tilt, 0.012),
        ],
    );
    canvas.flat(&head.frame, &lashes, head.face(), Rgb::hex(0x1c1210).veil(0.92));
    let crease = head.stroke(
        side,
        [(x - 0.8 * wide, y - 0.035, 0.006), (x, y - 0.082, 0.018), (x + 0.9 * wide, y - 0.035 - tilt, 0.006)],
    );
    canvas.flat(&head.frame, &crease, head.face(), skin.times(Rgb::hex(0x8c5c50)).veil(0.55));
}

fn brow(canvas: &mut Canvas, head: &Head, side: f32) {
    let thick = 0.062 * head.identity.brow_thickness;
    let slope = 0.05 * head.identity.brow_slope;
    let worry = head.mood.worry;
    let (x, y) = (head.eye.0, head.brow);
    let brow = head.stroke(
        side,
        [
            (x - 0.185, y + 0.03 + 0.6 * slope - worry, 0.65 * thick),
            (x - 0.07, y - 0.002 + 0.3 * slope - 0.5 * worry, thick),
            (x + 0.09, y - 0.028 - 0.5 * slope, 0.86 * thick),
            (x + 0.225, y + 0.035 - slope + 0.3 * worry, 0.2 * thick),
        ],
    );
    let colour = head.tones.brow;
    canvas.fill(&head.frame, &brow, head.face(), |u, v| -> Paint {
        let hairs = line(head.identity.freckle_seed, 45.0 * (u * side + 0.6 * v));
        colour.lit(mix(0.75, 1.1, hairs)).veil(mix(0.72, 0.95, hairs))
    });
}
