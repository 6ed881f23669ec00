//! Pictures drawn by the whole model as it is, to look at.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use idembed_diffusion::StableDiffusion;
use idembed_weights::Compute;
use idembed_world::SIDE;
use image::{RgbImage, imageops};

use crate::Result;
use crate::report::Painter;

/// What is drawn, one picture each.
const PROMPTS: [&str; 16] = [
    "a photo of a man at the beach",
    "a close-up photo of a woman in a forest",
    "a photo of a woman in a blue shirt in front of the Eiffel Tower",
    "a close-up photo of a man wearing sunglasses in space",
    "a photo of a man holding a basketball in a garage",
    "a photo of a woman holding a cup in a kitchen",
    "a photo of a woman holding a balloon in a garden",
    "a photo of a man holding a guitar in front of a white wall",
    "a close-up photo of a woman with eyes closed in a library",
    "a close-up photo of a man wearing a hat in front of a red wall",
    "a close-up photo of a woman laughing with open mouth in a city at night",
    "a close-up photo of an old man with a beard in the desert",
    "a sketch of a woman in a garden",
    "a pop art picture of a man in front of a yellow wall",
    "an oil painting of a woman with pink hair in a forest",
    "a photo of a cat at the beach",
];
/// Pictures side by side.
const COLUMNS: usize = 4;
/// As the model is used.
pub(crate) const STEPS: usize = 20;
pub(crate) const GUIDANCE: f64 = 4.0;

/// Draws the prompts with the model of a folder, each with a seed of its own.
pub(super) fn draw(folder: &Path, compute: Compute) -> Result<RgbImage> {
    let model = StableDiffusion::load(folder, compute)?;
    let stop = AtomicBool::new(false);
    let painter = Painter::new(&model, GUIDANCE, STEPS, &stop)?;
    let rows = PROMPTS.len().div_ceil(COLUMNS) as u32;
    let mut sheet = RgbImage::new(COLUMNS as u32 * SIDE, rows * SIDE);
    for (index, prompt) in PROMPTS.iter().enumerate() {
        let picture = painter.draw(prompt, index as u64)?;
        let (column, row) = ((index % COLUMNS) as i64, (index / COLUMNS) as i64);
        imageops::replace(&mut sheet, &picture, column * i64::from(SIDE), row * i64::from(SIDE));
    }
    Ok(sheet)
}
