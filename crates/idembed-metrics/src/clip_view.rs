//! What a CLIP sees in pictures and texts, as numbers to compare.

use idembed_clip::ClipScorer;
use idembed_face::recognise::cosine;
use image::RgbImage;
use ndarray::{Array2, ArrayView1};
use tch::{Device, Tensor};

use crate::Result;
use crate::request::Request;

/// The pictures and the texts of one prompt, each looked at once.
#[derive(Debug)]
pub(crate) struct ClipView {
    /// `[pictures, width]`
    pub(crate) pictures: Array2<f32>,
    /// With the class word, and without it: `[2, width]`
    pub(crate) texts: Array2<f32>,
}

impl ClipView {
    pub(crate) fn of(clip: &ClipScorer, request: &Request, pictures: &[RgbImage]) -> Result<Self> {
        let texts = rows(&clip.text_embeds(&[&request.with_class, &request.deleted])?)?;
        Ok(ClipView { pictures: image_embeds(clip, pictures)?, texts })
    }
}

/// # Shapes
/// - returns: `[pictures, width]`
pub(crate) fn image_embeds(clip: &ClipScorer, pictures: &[RgbImage]) -> Result<Array2<f32>> {
    rows(&clip.image_embeds(pictures)?)
}

/// The cosine of two embeddings.
pub(crate) fn alike(a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f64 {
    cosine(a, b).into()
}

/// The numbers of a tensor `[rows, columns]`, f32.
fn rows(embeds: &Tensor) -> Result<Array2<f32>> {
    let (rows, columns) = embeds.size2()?;
    let mut array = Array2::zeros((rows as usize, columns as usize));
    if let Some(values) = array.as_slice_mut() {
        embeds.f_to_device(Device::Cpu)?.f_contiguous()?.f_copy_data(values, (rows * columns) as usize)?;
    }
    Ok(array)
}
