//! How much of each pixel a shape covers.

use tiny_skia::{FillRule, Mask, Transform};

use super::{Frame, Shape};

/// The part of a picture that a shape touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    left: u32,
    top: u32,
    width: u32,
    alpha: Vec<u8>,
}

impl Coverage {
    /// Rasterises a shape, smooth at its edges; parts outside the picture are cut off.
    pub(crate) fn of(side: u32, frame: &Frame, shape: &Shape) -> Coverage {
        Coverage::try_of(side, frame, shape).unwrap_or_default()
    }

    fn try_of(side: u32, frame: &Frame, shape: &Shape) -> Option<Coverage> {
        let path = shape.0.clone()?.transform(frame.transform())?;
        let bounds = path.bounds();
        let limit = side as f32;
        let low = |edge: f32| edge.floor().clamp(0.0, limit) as u32;
        let high = |edge: f32| edge.ceil().clamp(0.0, limit) as u32;
        let (left, top) = (low(bounds.left()), low(bounds.top()));
        let (width, height) = (high(bounds.right()).checked_sub(left)?, high(bounds.bottom()).checked_sub(top)?);
        let mut mask = Mask::new(width, height)?;
        mask.fill_path(&path, FillRule::Winding, true, Transform::from_translate(-(left as f32), -(top as f32)));
        Some(Coverage { left, top, width, alpha: mask.take() })
    }

    /// Keeps what both cover.
    pub(crate) fn within(mut self, other: &Coverage) -> Coverage {
        for index in 0..self.alpha.len() as u32 {
            let (x, y) = (self.left + index % self.width, self.top + index / self.width);
            let alpha = &mut self.alpha[index as usize];
            *alpha = ((u32::from(*alpha) * u32::from(other.at(x, y)) + 127) / 255) as u8;
        }
        self
    }

    fn at(&self, x: u32, y: u32) -> u8 {
        let inside = x >= self.left && x < self.left + self.width && y >= self.top;
        let index = || ((y - self.top) * self.width + x - self.left) as usize;
        if inside { self.alpha.get(index()).copied().unwrap_or(0) } else { 0 }
    }

    /// Rows of touched pixels: the first pixel's place and the coverage from there on.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u32, u32, &[u8])> {
        let rows = self.alpha.chunks(self.width.max(1) as usize);
        rows.zip(self.top..).map(|(row, y)| (self.left, y, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(coverage: &Coverage) -> f32 {
        coverage.alpha.iter().map(|&alpha| f32::from(alpha) / 255.0).sum()
    }

    #[test]
    fn covers_the_area_of_the_shape() {
        let frame = Frame::picture(64);
        let disc = Coverage::of(64, &frame, &Shape::circle(0.5, 0.5, 0.25));
        assert!((sum(&disc) - std::f32::consts::PI * 256.0).abs() < 8.0, "{}", sum(&disc));
        let half = Coverage::of(64, &frame, &Shape::rectangle(0.0, 0.0, 0.5, 1.0));
        assert!((sum(&disc.clone().within(&half)) - sum(&disc) / 2.0).abs() < 3.0);
        assert_eq!(sum(&half.within(&Coverage::default())), 0.0);
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let frame = Frame::picture(64);
        let corner = Coverage::of(64, &frame, &Shape::circle(0.0, 0.0, 0.25));
        assert!((sum(&corner) - std::f32::consts::PI * 64.0).abs() < 4.0, "{}", sum(&corner));
        assert_eq!(sum(&Coverage::of(64, &frame, &Shape::circle(3.0, 3.0, 0.25))), 0.0);
        assert_eq!(sum(&Coverage::of(64, &frame, &Shape::polygon(&[]))), 0.0);
    }
}
