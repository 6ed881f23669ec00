//! Decoding large pictures part by part, so that memory does not grow with their size.
//!
//! Each part is decoded by itself, and normalises by itself: the picture is slightly another one than that of
//! [`Vae::decode`]. Source: `AutoencoderKL.tiled_decode` in diffusers 0.42.

use tch::Tensor;

use super::model::Vae;
use crate::Result;

/// Square parts of the latents. The last quarter of each lies under the next one, where both are blended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// A quarter of their sides, in latents; at least 1.
    pub quarter: i64,
}

impl Tiles {
    /// Pictures of 512 pixels each, where a latent stands for 8: what Stable Diffusion 1.x decodes at once.
    pub const USUAL: Tiles = Tiles { quarter: 16 };

    /// Latents along each side.
    pub fn side(self) -> i64 {
        4 * self.quarter
    }

    /// Whether pictures of so many latents are decoded in more than one.
    pub fn divide(self, height: i64, width: i64) -> bool {
        height > self.side() || width > self.side()
    }
}

impl Vae {
    /// As [`Vae::decode`], in tiles where the latents are larger than one.
    ///
    /// # Errors
    /// As [`Vae::decode`].
    pub fn decode_in_tiles(&self, latents: &Tensor, tiles: Tiles) -> Result<Tensor> {
        let (_, _, height, width) = latents.size4()?;
        if !tiles.divide(height, width) {
            return self.decode(latents);
        }
        let overlap = tiles.quarter * self.config().downscale();
        let starts = |length: i64| (0..length).step_by(3 * tiles.quarter as usize);
        let part =
            |x: &Tensor, dim: i64, start: i64| x.f_narrow(dim, start, tiles.side().min(x.size()[dim as usize] - start));
        let (mut rows, mut above): (Vec<Tensor>, Vec<Tensor>) = (Vec::new(), Vec::new());
        for top in starts(height) {
            let band = part(latents, 2, top)?;
            let mut row: Vec<Tensor> = Vec::new();
            for (index, left) in starts(width).enumerate() {
                let mut tile = self.decode(&part(&band, 3, left)?)?;
                if let Some(upper) = above.get(index) {
                    tile = blended(upper, &tile, 2, overlap)?;
                }
                if let Some(left) = row.last() {
                    tile = blended(left, &tile, 3, overlap)?;
                }
                row.push(tile);
            }
            let kept = row.iter().map(|tile| first(&first(tile, 2, 3 * overlap)?, 3, 3 * overlap));
            rows.push(Tensor::f_cat(&kept.collect::<Result<Vec<_>>>()?, 3)?);
            above = row;
        }
        Ok(Tensor::f_cat(&rows, 2)?)
    }
}

/// The first rows or columns, or all if there are fewer.
fn first(x: &Tensor, dim: i64, length: i64) -> Result<Tensor> {
    Ok(x.f_narrow(dim, 0, length.min(x.size()[dim as usize]))?)
}

/// `tile`, whose beginning along a dimension passes into it from the end of `before`.
fn blended(before: &Tensor, tile: &Tensor, dim: i64, overlap: i64) -> Result<Tensor> {
    let length = |x: &Tensor| x.size()[dim as usize];
    let overlap = overlap.min(length(before)).min(length(tile));
    let mut shape = [1, 1, 1, 1];
    shape[dim as usize] = overlap;
    let weight =
        Tensor::f_arange(overlap, (tile.kind(), tile.device()))?.f_div_scalar(overlap as f64)?.f_view(shape)?;
    let end = before.f_narrow(dim, length(before) - overlap, overlap)?;
    let passing = end.f_add(&tile.f_narrow(dim, 0, overlap)?.f_sub(&end)?.f_mul(&weight)?)?;
    Ok(Tensor::f_cat(&[passing, tile.f_narrow(dim, overlap, length(tile) - overlap)?], dim)?)
}
