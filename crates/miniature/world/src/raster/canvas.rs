//! The picture in the making: colours, and which thing each pixel shows.

use image::{GrayImage, RgbImage};

use super::colour::byte;
use super::{Coverage, Frame, Paint, Rgb, Shape};

/// What a stroke of paint belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// Whatever lies behind.
    Backdrop,
    /// The face of a person: the first or the second.
    Face(usize),
    /// Anything of a person, an animal or a car that is no face.
    Body(usize),
    /// What is held in a hand.
    Object,
    /// A shadow: only colours change, the pixels go on showing what they showed.
    Unchanged,
}

/// Red, green, blue, and the share of each region but the backdrop.
type Pixel = [f32; 8];

impl Region {
    /// The place in a [`Pixel`].
    fn channel(self) -> Option<usize> {
        match self {
            Region::Backdrop | Region::Unchanged => None,
            Region::Face(person) => Some(3 + person.min(1)),
            Region::Body(person) => Some(5 + person.min(1)),
            Region::Object => Some(7),
        }
    }
}

/// A square picture in the making.
pub(crate) struct Canvas {
    side: u32,
    pixels: Vec<Pixel>,
}

impl Canvas {
    /// A black picture of the backdrop.
    pub(crate) fn new(side: u32) -> Canvas {
        Canvas { side, pixels: vec![[0.0; 8]; (side * side) as usize] }
    }

    /// Pixels along an edge.
    pub(crate) fn side(&self) -> u32 {
        self.side
    }

    /// Fills a shape. `paint` gets the local coordinates of each pixel's centre.
    pub(crate) fn fill<P: Into<Paint>>(
        &mut self,
        frame: &Frame,
        shape: &Shape,
        region: Region,
        paint: impl Fn(f32, f32) -> P,
    ) {
        self.apply(frame, &Coverage::of(self.side, frame, shape), region, paint);
    }

    /// Fills a shape with one colour.
    pub(crate) fn flat(&mut self, frame: &Frame, shape: &Shape, region: Region, paint: impl Into<Paint>) {
        let paint = paint.into();
        self.fill(frame, shape, region, |_, _| paint);
    }

    /// Fills what is covered.
    pub(crate) fn apply<P: Into<Paint>>(
        &mut self,
        frame: &Frame,
        coverage: &Coverage,
        region: Region,
        paint: impl Fn(f32, f32) -> P,
    ) {
        let mut goal: Pixel = [0.0; 8];
        if let Some(channel) = region.channel() {
            goal[channel] = 1.0;
        }
        let channels = if region == Region::Unchanged { 3 } else { goal.len() };
        for (left, y, row) in coverage.rows() {
            let start = (y * self.side + left) as usize;
            for ((pixel, &alpha), x) in self.pixels[start..].iter_mut().zip(row).zip(left..) {
                if alpha == 0 {
                    continue;
                }
                let (u, v) = frame.to_local(x as f32 + 0.5, y as f32 + 0.5);
                let Paint { colour, opacity } = paint(u, v).into();
                let opacity = opacity * f32::from(alpha) / 255.0;
                goal[..3].copy_from_slice(&colour.0);
                for (value, goal) in pixel.iter_mut().zip(goal).take(channels) {
                    *value += opacity * (goal - *value);
                }
            }
        }
    }

    /// Passes every pixel's colour, with its place as a share of the side, through a function.
    pub(crate) fn recolour(&mut self, change: impl Fn(f32, f32, Rgb) -> Rgb) {
        let unit = 1.0 / self.side as f32;
        for (index, pixel) in self.pixels.iter_mut().enumerate() {
            let (x, y) = (index as u32 % self.side, index as u32 / self.side);
            let colour = Rgb([pixel[0], pixel[1], pixel[2]]);
            pixel[..3].copy_from_slice(&change((x as f32 + 0.5) * unit, (y as f32 + 0.5) * unit, colour).0);
        }
    }

    /// The colours alone, row by row.
    pub(crate) fn colours(&self) -> Vec<Rgb> {
        self.pixels.iter().map(|pixel| Rgb([pixel[0], pixel[1], pixel[2]])).collect()
    }

    /// Puts colours in place of the present ones, row by row.
    pub(crate) fn set_colours(&mut self, colours: &[Rgb]) {
        for (pixel, colour) in self.pixels.iter_mut().zip(colours) {
            pixel[..3].copy_from_slice(&colour.0);
        }
    }

    /// The picture in bytes.
    pub(crate) fn picture(&self) -> RgbImage {
        let mut picture = RgbImage::new(self.side, self.side);
        for (bytes, pixel) in picture.pixels_mut().zip(&self.pixels) {
            bytes.0 = Rgb([pixel[0], pixel[1], pixel[2]]).bytes();
        }
        picture
    }

    /// How much of each pixel shows any of these regions: 0 to 255.
    pub(crate) fn mask(&self, regions: &[Region]) -> GrayImage {
        let share = |pixel: &Pixel, region: &Region| match region.channel() {
            Some(channel) => pixel[channel],
            None => 1.0 - pixel[3..].iter().sum::<f32>(),
        };
        let mut mask = GrayImage::new(self.side, self.side);
        for (value, pixel) in mask.pixels_mut().zip(&self.pixels) {
            let covered: f32 = regions.iter().map(|region| share(pixel, region)).sum();
            value.0 = [byte(covered)];
        }
        mask
    }
}
