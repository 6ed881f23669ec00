//! From the units in which a thing is drawn to pixels and back.

use tiny_skia::Transform;

/// A shift, a turn and a scale: local units to pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    x: f32,
    y: f32,
    scale: f32,
    cos: f32,
    sin: f32,
}

impl Frame {
    /// Local units are shares of the picture's side, the origin is its upper left corner.
    pub(crate) fn picture(side: u32) -> Frame {
        Frame { x: 0.0, y: 0.0, scale: side as f32, cos: 1.0, sin: 0.0 }
    }

    /// A frame inside this one: its origin, the size of its unit and its turn (in turns, clockwise), all as seen from here.
    pub(crate) fn at(self, x: f32, y: f32, scale: f32, turns: f32) -> Frame {
        let (origin_x, origin_y) = self.to_pixels(x, y);
        let (cos, sin) = super::turn::turn(turns);
        Frame {
            x: origin_x,
            y: origin_y,
            scale: self.scale * scale,
            cos: self.cos * cos - self.sin * sin,
            sin: self.sin * cos + self.cos * sin,
        }
    }

    /// Pixels per local unit.
    pub(crate) fn scale(self) -> f32 {
        self.scale
    }

    /// A local point in pixels; pixel edges are whole numbers.
    pub(crate) fn to_pixels(self, x: f32, y: f32) -> (f32, f32) {
        (self.x + self.scale * (self.cos * x - self.sin * y), self.y + self.scale * (self.sin * x + self.cos * y))
    }

    /// The local point of a place in pixels.
    pub(crate) fn to_local(self, x: f32, y: f32) -> (f32, f32) {
        let (x, y) = ((x - self.x) / self.scale, (y - self.y) / self.scale);
        (self.cos * x + self.sin * y, self.cos * y - self.sin * x)
    }

    /// As tiny-skia wants it.
    pub(crate) fn transform(self) -> Transform {
        let (cos, sin) = (self.scale * self.cos, self.scale * self.sin);
        Transform::from_row(cos, sin, -sin, cos, self.x, self.y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_lead_back_to_the_local_point() {
        let frame = Frame::picture(128).at(0.4, 0.6, 0.25, 0.1).at(0.2, -0.1, 1.5, -0.03);
        let (x, y) = frame.to_pixels(0.3, -0.7);
        let (u, v) = frame.to_local(x, y);
        assert!((u - 0.3).abs() < 1e-5 && (v + 0.7).abs() < 1e-5, "{u} {v}");
        let mut point = tiny_skia::Point::from_xy(0.3, -0.7);
        frame.transform().map_point(&mut point);
        assert!((point.x - x).abs() < 1e-3 && (point.y - y).abs() < 1e-3);
    }
}
