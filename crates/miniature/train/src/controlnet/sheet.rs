//! Pictures drawn along the edges of others, to look at.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::controlnet::ControlNet;
use idembed_weights::Compute;
use idembed_world::SIDE;
use image::{DynamicImage, RgbImage, imageops};

use super::pairs::{Drawn, Pairs};
use crate::Result;
use crate::unet::sheet::{GUIDANCE, STEPS};

/// Pictures whose edges are followed, one in each row.
const ROWS: usize = 8;

/// In each row a picture, its edges, what is drawn along them, and what is drawn without them.
pub(super) fn draw(model: &Path, net: &ControlNet, compute: Compute) -> Result<RgbImage> {
    let model = StableDiffusion::load(model, compute)?;
    let stop = AtomicBool::new(false);
    let painter = crate::report::Painter::new(&model, GUIDANCE, STEPS, &stop)?;
    let pairs = Pairs { painter: &painter, net };
    let rows = (0..ROWS).map(|index| pairs.draw(index as u64)).collect::<Result<Vec<_>>>()?;
    Ok(sheet(&rows))
}

/// A row for each of them.
pub(crate) fn sheet(rows: &[Drawn]) -> RgbImage {
    let mut sheet = RgbImage::new(4 * SIDE, rows.len() as u32 * SIDE);
    for (row, Drawn { picture, edges, along, without, .. }) in rows.iter().enumerate() {
        let edges = DynamicImage::from(edges.clone()).into_rgb8();
        for (column, part) in [picture, &edges, along, without].into_iter().enumerate() {
            imageops::replace(&mut sheet, part, column as i64 * i64::from(SIDE), row as i64 * i64::from(SIDE));
        }
    }
    sheet
}
