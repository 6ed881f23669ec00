//! Faces of people who are never trained on.

use idembed_face::recognise::{CompactResNet, Recogniser as _, Scale};
use idembed_world::factors::Style;
use idembed_world::{SIDE, Sample, Who};
use image::{Rgb, RgbImage, imageops};
use ndarray::{Array2, ArrayView2, s};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::faces::cut_out;
use super::verification::equal_error_rate;
use crate::{Check, Result, seeds};

/// How many people.
const PEOPLE: usize = 100;
/// Pictures of each.
const PICTURES: usize = 8;
/// How many people are looked at for the log.
const GLANCE: usize = 24;
/// Rows on the sheet.
const ROWS: usize = 16;
/// Strangers in each row.
const STRANGERS: usize = 4;

/// The faces, those of one person after the other.
#[derive(Debug)]
pub(crate) struct HeldOut {
    /// In pictures as the world draws them.
    any: Vec<RgbImage>,
    /// In the same pictures as photos.
    photos: Vec<RgbImage>,
}

impl HeldOut {
    pub(crate) fn draw() -> Result<Self> {
        Ok(HeldOut { any: faces(None)?, photos: faces(Some(Style::Photo))? })
    }

    /// The error among a few people.
    pub(super) fn glance(&self, network: &CompactResNet) -> Result<Vec<Check>> {
        let embeddings = network.embed(&self.any[..GLANCE * PICTURES])?;
        Ok(vec![Check { name: "held out, equal error", value: 100.0 * error_rate(embeddings.view()), unit: "%" }])
    }

    /// The error among all people.
    pub(crate) fn check(&self, network: &CompactResNet) -> Result<Vec<Check>> {
        let rate = |faces: &[RgbImage]| -> Result<f64> { Ok(100.0 * error_rate(network.embed(faces)?.view())) };
        Ok(vec![
            Check { name: "held-out people, equal error over all factors", value: rate(&self.any)?, unit: "%" },
            Check { name: "in photos alone", value: rate(&self.photos)?, unit: "%" },
        ])
    }

    /// How alike pictures of one person and of two are, whatever else is in them.
    pub(super) fn scale(&self, network: &CompactResNet) -> Result<Scale> {
        let (same, strangers) = pairs(network.embed(&self.any)?.view());
        let share = 100.0 * Scale::USUALLY;
        let source = format!(
            "{share:.0} % of all pairs among {PICTURES} drawn pictures of each of {PEOPLE} people whom it has never seen"
        );
        Ok(Scale::of_pairs(&same, &strangers, source))
    }

    /// In each row a person: one picture, the others from the nearest to the farthest, and behind a gap the nearest
    /// pictures of others.
    pub(crate) fn sheet(&self, network: &CompactResNet) -> Result<RgbImage> {
        let embeddings = network.embed(&self.any)?;
        let side = CompactResNet::SIDE;
        let width = (PICTURES + STRANGERS) as u32 * side + side / 2;
        let mut sheet = RgbImage::from_pixel(width, ROWS as u32 * side, Rgb([255; 3]));
        for row in 0..ROWS {
            let first = row * PICTURES;
            let cosines = embeddings.dot(&embeddings.row(first));
            let mut order: Vec<usize> = (0..self.any.len()).collect();
            order.sort_by(|a, b| cosines[*b].total_cmp(&cosines[*a]));
            let (own, others): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|index| index / PICTURES == row);
            let places = own.into_iter().chain(others.into_iter().take(STRANGERS));
            for (column, index) in places.enumerate() {
                let gap = if column < PICTURES { 0 } else { side / 2 };
                let x = column as u32 * side + gap;
                imageops::replace(&mut sheet, &self.any[index], x.into(), (row as u32 * side).into());
            }
        }
        Ok(sheet)
    }
}

/// The faces in pictures of a style, or of any.
fn faces(style: Option<Style>) -> Result<Vec<RgbImage>> {
    let sample = |index: usize| {
        let sample = Sample::portrait(Who::HeldOut((index / PICTURES) as u64), seeds::held_out(index as u64));
        Sample { style: style.unwrap_or(sample.style), ..sample }
    };
    let samples: Vec<Sample> = (0..PEOPLE * PICTURES).map(sample).collect();
    let drawn = idembed_world::draw_all(&samples, SIDE)?;
    let cut = drawn.iter().map(|drawn| cut_out(drawn, &mut ChaCha8Rng::seed_from_u64(drawn.truth.sample.seed)));
    Ok(cut.collect())
}

/// The equal error rate over all pairs of pictures.
fn error_rate(embeddings: ArrayView2<'_, f32>) -> f64 {
    let (same, different) = pairs(embeddings);
    equal_error_rate(&same, &different)
}

/// The cosines of all pairs of pictures: those of one person, and those of two.
fn pairs(embeddings: ArrayView2<'_, f32>) -> (Vec<f32>, Vec<f32>) {
    let cosines: Array2<f32> = embeddings.dot(&embeddings.t());
    let (mut same, mut different) = (Vec::new(), Vec::new());
    for (index, row) in cosines.outer_iter().enumerate() {
        for (other, cosine) in row.slice(s![..index]).iter().enumerate() {
            let list = if index / PICTURES == other / PICTURES { &mut same } else { &mut different };
            list.push(*cosine);
        }
    }
    (same, different)
}
