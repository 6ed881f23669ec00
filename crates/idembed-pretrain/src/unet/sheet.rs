//! Pictures drawn by the whole model as it is, to look at.

use std::path::Path;

use idembed_diffusion::schedulers::SchedulerKind;
use idembed_diffusion::text_to_image::TextToImage;
use idembed_diffusion::{Picture, StableDiffusion};
use idembed_weights::Compute;
use image::{RgbImage, imageops};

use crate::Result;

/// What is drawn, one picture each; four in a row.
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
const COLUMNS: u32 = 4;
const STEPS: usize = 20;
const GUIDANCE: f64 = 4.0;

/// Draws the prompts with the model of a folder, each with a seed of its own.
pub(super) fn draw(folder: &Path, compute: Compute) -> Result<RgbImage> {
    let model = StableDiffusion::load(folder, compute)?;
    let negative = model.condition("")?;
    let side = model.native_size();
    let rows = (PROMPTS.len() as u32).div_ceil(COLUMNS);
    let mut sheet = RgbImage::new(COLUMNS * side as u32, rows * side as u32);
    for (index, prompt) in PROMPTS.iter().enumerate() {
        let prompt = model.condition(prompt)?;
        let request = TextToImage {
            prompt: &prompt,
            negative: &negative,
            guidance_scale: GUIDANCE,
            steps: STEPS,
            scheduler: SchedulerKind::Ddim,
            width: side,
            height: side,
            seeds: &[index as u64],
            batch: 1,
        };
        request.run(&model, &mut (), |_, Picture { width, height, rgb }| {
            let (column, row) = (index as u32 % COLUMNS, index as u32 / COLUMNS);
            if let Some(picture) = RgbImage::from_raw(width, height, rgb) {
                imageops::replace(&mut sheet, &picture, i64::from(column) * side, i64::from(row) * side);
            }
            Ok::<_, idembed_diffusion::Error>(())
        })?;
    }
    Ok(sheet)
}
