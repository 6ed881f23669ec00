//! The surface of a face, and how light falls on it.

use crate::identity::HairStyle;
use crate::raster::Rgb;
use crate::raster::noise::{dome, mix, step};

use super::head::Head;

/// A hill (or a hollow) of the surface: `height (1 - r^2)^2` within an ellipse.
struct Hill {
    x: f32,
    y: f32,
    /// One over the half axes.
    inverse: (f32, f32),
    height: f32,
}

/// A lit surface.
pub(super) struct Relief<'a> {
    head: &'a Head,
    hills: Vec<Hill>,
    light: [f32; 3],
    ambient: f32,
    flush: Rgb,
    shade: Rgb,
}

impl<'a> Relief<'a> {
    pub(super) fn of(head: &'a Head) -> Relief<'a> {
        let light = [0.75 * head.light.side, -0.55, 0.9];
        let length = light.iter().map(|part| part * part).sum::<f32>().sqrt();
        let skin = head.tones.skin;
        Relief {
            head,
            hills: hills(head),
            light: light.map(|part| part / length),
            ambient: mix(0.62, 0.46, head.light.contrast),
            flush: skin.times(Rgb([1.02, 0.8, 0.78])),
            shade: skin.times(Rgb([0.62, 0.5, 0.47])),
        }
    }

    /// The colour of the skin at a point of the head.
    pub(super) fn colour(&self, x: f32, y: f32) -> Rgb {
        let head = self.head;
        let across = (x / head.half_width(y).max(0.05)).clamp(-1.0, 1.0);
        let down = if y > 0.0 { y / head.chin } else { y };
        let (mut slope_x, mut slope_y) =
            (0.22 * across + 0.75 * across * across * across, 0.1 * down + 0.5 * down * down * down);
        for hill in &self.hills {
            let (u, v) = ((x - hill.x) * hill.inverse.0, (y - hill.y) * hill.inverse.1);
            let left = 1.0 - u * u - v * v;
            if left > 0.0 {
                let rise = 4.0 * left * hill.height;
                slope_x += rise * u * hill.inverse.0;
                slope_y += rise * v * hill.inverse.1;
            }
        }
        let length = (slope_x * slope_x + slope_y * slope_y + 1.0).sqrt();
        let facing = (slope_x * self.light[0] + slope_y * self.light[1] + self.light[2]) / length;
        let lit = self.ambient + (1.0 - self.ambient) * (1.25 * facing - 0.1).clamp(0.0, 1.15);
        let lit = lit * (1.0 - self.shadow(x, y)) * (1.0 - 0.22 * across * across * across * across);
        let shine = (facing - 0.86).max(0.0) * 7.0;
        let skin = head.tones.skin.mix(self.flush, self.blush(x, y));
        let colour = self.shade.mix(skin, step(0.25, 1.0, lit)).lit(0.55 + 0.47 * lit);
        colour.mix(Rgb::WHITE, 0.11 * (shine * shine).min(1.0))
    }

    /// Where other parts of the face keep light away: 0 for none.
    fn shadow(&self, x: f32, y: f32) -> f32 {
        let head = self.head;
        let (nose_x, nose_y) = head.part(0.0, head.nose);
        let (mouth_x, mouth_y) = head.part(0.0, head.mouth);
        let lean = 0.06 * head.light.side;
        let below_nose = 0.34 * dome((x - nose_x + lean) / 0.17, 1.0) * dome((y - nose_y - 0.05) / 0.1, 1.0);
        let below_lip =
            0.2 * dome((x - mouth_x) / 0.2, 1.0) * dome((y - mouth_y - 0.17 - 0.8 * head.mood.gap) / 0.06, 1.0);
        let mut sockets = 0.0;
        for side in [-1.0, 1.0] {
            let (eye_x, eye_y) = head.part(side * (head.eye.0 - 0.02), head.eye.1 - 0.05);
            let (u, v) = ((x - eye_x) / 0.24, (y - eye_y) / 0.13);
            let left = (1.0 - u * u - v * v).max(0.0);
            sockets += 0.3 * left;
        }
        let under_hair =
            if head.identity.hair_style == HairStyle::Bald { 0.0 } else { 0.22 * step(0.16, 0.0, y - head.hairline) };
        below_nose + below_lip + sockets + under_hair
    }

    /// How reddish the skin is: cheeks and nose.
    fn blush(&self, x: f32, y: f32) -> f32 {
        let head = self.head;
        let (nose_x, nose_y) = head.part(0.0, head.nose - 0.06);
        let cheek = |side: f32| {
            let (cheek_x, cheek_y) = head.part(side * 0.42, 0.3);
            let (u, v) = ((x - cheek_x) / 0.26, (y - cheek_y) / 0.2);
            (1.0 - u * u - v * v).max(0.0)
        };
        let (u, v) = ((x - nose_x) / 0.16, (y - nose_y) / 0.14);
        0.45 * (cheek(-1.0) + cheek(1.0)) + 0.3 * (1.0 - u * u - v * v).max(0.0)
    }
}

/// The hills of a face: brow, sockets, nose, cheeks, lips and chin.
fn hills(head: &Head) -> Vec<Hill> {
    let identity = &head.identity;
    let mut hills = Vec::with_capacity(24);
    let mut add = |x: f32, y: f32, rx: f32, ry: f32, height: f32| {
        let (x, y) = head.part(x, y);
        hills.push(Hill { x, y, inverse: (1.0 / rx, 1.0 / ry), height });
    };
    let wide = identity.nose_width;
    let (nose, mouth) = (head.nose, head.mouth);
    add(0.0, -0.46, 0.5, 0.32, 0.035);
    add(0.0, 0.42 * nose, 0.115 + 0.03 * wide, 0.78 * nose, 0.085);
    add(0.0, nose - 0.05, 0.115 * wide + 0.02, 0.13, 0.085);
    add(0.0, mouth - 0.02, 0.36, 0.24, 0.04);
    add(0.0, mouth - 0.045, 0.24, 0.055, 0.014 * identity.lip_size);
    add(0.0, mouth + 0.06 + head.mood.gap, 0.2, 0.07, 0.022 * identity.lip_size);
    add(0.0, mouth + 0.165 + head.mood.gap, 0.2, 0.06, -0.022);
    add(0.0, head.chin - 0.13, 0.21, 0.15, 0.05);
    for side in [-1.0, 1.0] {
        add(side * 0.3, head.brow + 0.01, 0.3, 0.13, 0.032);
        add(side * (head.eye.0 - 0.01), head.eye.1, 0.25, 0.17, -0.05);
        add(side * head.eye.0, head.eye.1 + 0.005, 0.19, 0.1, 0.03);
        add(side * 0.115 * wide, nose - 0.02, 0.075, 0.08, 0.035);
        let cheeks = head.mood.cheeks;
        add(side * 0.43, mix(0.26, 0.22, cheeks), 0.3, 0.24, mix(0.045, 0.07, cheeks));
        // The fold from the nose to the corner of the mouth.
        let fold = if head.attributes.old { 0.03 } else { 0.008 } + 0.022 * cheeks;
        add(side * (0.27 + 0.04 * cheeks), mix(nose, mouth, 0.45), 0.07, 0.16, -fold);
    }
    hills
}
