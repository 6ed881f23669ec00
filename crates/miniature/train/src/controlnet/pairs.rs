//! Pictures drawn along given edges, and the same without them.

use idembed_diffusion::controlnet::{Control, ControlNet};
use idembed_studio::edges;
use idembed_world::{Captions, SIDE, Sample, Who};
use image::{GrayImage, RgbImage};

use crate::pixels::to_planes;
use crate::report::Painter;
use crate::{Result, seeds};

/// Draws pictures of people who were never trained on, along their edges and without.
#[derive(Debug)]
pub(crate) struct Pairs<'a> {
    pub(crate) painter: &'a Painter<'a>,
    pub(crate) net: &'a ControlNet,
}

/// A picture of the world, and two that were drawn for its caption with the same seed.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) picture: RgbImage,
    pub(crate) edges: GrayImage,
    /// Along the edges.
    pub(crate) along: RgbImage,
    /// Without them.
    pub(crate) without: RgbImage,
}

impl Pairs<'_> {
    /// The pair of a number.
    ///
    /// # Errors
    /// What the model reports, or a wish to stop.
    pub(crate) fn draw(&self, index: u64) -> Result<Drawn> {
        // Beyond all other pictures that figures are measured on.
        let sample = Sample::portrait(Who::HeldOut(index), seeds::held_out((1 << 33) + index));
        let prompt = Captions::of(&sample).main;
        let picture = idembed_world::draw(&sample, SIDE)?.picture;
        let edges = edges(&picture);
        let shown = image::DynamicImage::from(edges.clone()).into_rgb8();
        let shown = to_planes(shown.as_raw(), 1, SIDE.into())?.f_to_kind(tch::Kind::Float)?.f_div_scalar(255.0)?;
        let control = Control { net: self.net, picture: &shown, scale: 1.0, start: 0.0, end: 1.0 };
        Ok(Drawn {
            along: self.painter.draw_along(&prompt, index, &[control])?,
            without: self.painter.draw(&prompt, index)?,
            picture,
            edges,
        })
    }
}
