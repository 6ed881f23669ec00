//! The stage `judge`: trains the network that says what a picture shows, to tell whether a prompt was followed.

mod factor;
pub(crate) mod held_out;
mod pictures;

use std::path::Path;

use idembed_metrics::judge::Judge;
use idembed_weights::{Parameters, Weights};
use image::RgbImage;
use tch::{Device, Kind, Reduction, Tensor};

use crate::outputs::{WEIGHTS, make_folder, read_weights};
use crate::pixels::to_images;
use crate::recipe::Usual;
use crate::{Check, Choices, Losses, Recipe, Result, Share, Task};
pub use factor::Factor;
use held_out::HeldOut;

const USUAL: Usual = Usual { samples: 120_000, batch: 32, learning_rate: 2e-3 };

/// The judge's training.
#[derive(Debug)]
pub struct JudgeTask {
    recipe: Recipe,
    held_out: HeldOut,
}

/// A share of a step.
#[derive(Debug)]
pub struct PictureBatch {
    /// `[batch, 3, side, side]`, bytes.
    pixels: Tensor,
    /// `[batch, factors]`
    classes: Tensor,
}

impl JudgeTask {
    /// The stage for a recipe.
    ///
    /// # Errors
    /// When the held-out pictures cannot be drawn.
    pub fn new(recipe: Recipe) -> Result<Self> {
        Ok(JudgeTask { recipe, held_out: HeldOut::draw()? })
    }

    /// The recipe with these choices.
    pub fn recipe(choices: &Choices) -> Recipe {
        Recipe::cosine(choices, USUAL)
    }
}

impl Task for JudgeTask {
    type Batch = PictureBatch;
    type Network = Judge;

    fn name(&self) -> &'static str {
        "judge"
    }

    fn settings(&self) -> Vec<(String, String)> {
        vec![("network".to_owned(), format!("{:?}", Judge::TRUNK))]
    }

    fn build(&self, parameters: &Parameters, kind: Kind) -> Result<Judge> {
        Ok(Judge::from_weights(Factor::described()?, Weights::from_parameters(parameters, kind))?)
    }

    fn import(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        read_weights(parameters, &folder.join(self.name()).join(WEIGHTS))
    }

    fn draw(&self, step: usize, share: Share) -> Result<PictureBatch> {
        let batch = self.recipe.batch;
        let samples = share.samples(batch);
        let (pixels, classes) = pictures::draw(self.recipe.seed, (step * batch + samples.start) as u64, samples.len())?;
        Ok(PictureBatch { pixels, classes })
    }

    /// The sum of the cross-entropies of all factors.
    fn losses(&self, network: &Judge, batch: &PictureBatch, device: Device) -> Result<Losses> {
        let classes = batch.classes.f_to_device(device)?;
        let count = batch.classes.size()[0] as f64;
        let mut parts = Vec::with_capacity(Factor::ALL.len());
        for (index, logits) in network.logits(&to_images(&batch.pixels, device)?)?.iter().enumerate() {
            let class = classes.f_select(1, index as i64)?;
            // Divided by all samples: there may be none that shows this factor.
            let sum = logits.f_cross_entropy_loss(&class, None::<&Tensor>, Reduction::Sum, pictures::UNKNOWN, 0.0)?;
            parts.push((Factor::ALL[index].name(), sum.f_div_scalar(count)?));
        }
        let terms: Vec<&Tensor> = parts.iter().map(|(_, loss)| loss).collect();
        let total = Tensor::f_stack(&terms, 0)?.f_sum(Kind::Float)?;
        Ok(Losses { total, parts })
    }

    fn glance(&self, network: &Judge) -> Result<Vec<Check>> {
        self.held_out.glance(network)
    }

    fn check(&self, network: &Judge) -> Result<Vec<Check>> {
        self.held_out.check(network)
    }

    fn sheet(&self, network: &Judge) -> Result<RgbImage> {
        self.held_out.sheet(network)
    }

    fn export(&self, judge: &Judge, parameters: &Parameters, folder: &Path) -> Result<()> {
        let folder = folder.join(self.name());
        make_folder(&folder)?;
        judge.factors().write(&folder)?;
        Ok(parameters.save(&folder.join(WEIGHTS), Kind::Half)?)
    }
}
