//! The stage `recogniser`: the network that tells people apart, whatever else is in a picture.

mod faces;
pub(crate) mod held_out;
mod margin;
mod network;
mod traits;
mod verification;

use std::path::Path;

use idembed_face::recognise::{CompactResNet, Scale};
use idembed_weights::{Compute, Parameters, Weights};
use idembed_world::Who;
use image::RgbImage;
use tch::{Device, Kind, Tensor};

use crate::outputs::{WEIGHTS, make_folder, read_weights, write};
use crate::pixels::to_images;
use crate::recipe::Usual;
use crate::{Check, Choices, Losses, Recipe, Result, Share, Task};
pub(crate) use faces::true_face;
use held_out::HeldOut;
pub use margin::AngularMargin;
pub use network::Learner;
pub use verification::equal_error_rate;

const USUAL: Usual = Usual { samples: 160_000, batch: 32, learning_rate: 2e-3 };
/// What cosines are multiplied by, and the angle between people in the end.
const MARGIN: AngularMargin = AngularMargin { scale: 24.0, angle: 0.3 };
/// The share of the training after which the angle has grown to that from 0.
const MARGIN_GROWS: f64 = 0.3;

/// The recogniser's training.
#[derive(Debug)]
pub struct RecogniserTask {
    people: Vec<Who>,
    /// Their traits, one after the other.
    table: Vec<f32>,
    recipe: Recipe,
    held_out: HeldOut,
}

/// A share of a step.
#[derive(Debug)]
pub struct FaceBatch {
    /// `[batch, 3, side, side]`, bytes.
    pixels: Tensor,
    /// `[batch]`
    classes: Tensor,
    /// As wide as it is at this step.
    margin: AngularMargin,
}

impl RecogniserTask {
    /// The stage for a recipe.
    ///
    /// # Errors
    /// When the held-out pictures cannot be drawn.
    pub fn new(recipe: Recipe) -> Result<Self> {
        let people = faces::people();
        let table = traits::table(&people);
        Ok(RecogniserTask { people, table, recipe, held_out: HeldOut::draw()? })
    }

    /// The recipe with these choices.
    pub fn recipe(choices: &Choices) -> Recipe {
        Recipe::cosine(choices, USUAL)
    }

    /// The margin at a step: it grows while the network learns what people look like at all.
    fn margin_at(&self, step: usize) -> AngularMargin {
        let grown = step as f64 / (MARGIN_GROWS * self.recipe.steps() as f64);
        AngularMargin { angle: MARGIN.angle * grown.min(1.0), ..MARGIN }
    }
}

impl Task for RecogniserTask {
    type Batch = FaceBatch;
    type Network = Learner;

    fn name(&self) -> &'static str {
        "recogniser"
    }

    fn settings(&self) -> Vec<(String, String)> {
        let fields = [
            ("people", self.people.len().to_string()),
            ("traits", traits::COUNT.to_string()),
            ("margin", format!("{MARGIN} {MARGIN_GROWS}")),
        ];
        fields.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    fn build(&self, parameters: &Parameters, kind: Kind) -> Result<Learner> {
        Learner::build(parameters, kind, &self.table)
    }

    fn import(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        read_weights(&parameters.part(network::NETWORK), &folder.join(self.name()).join(WEIGHTS))
    }

    fn draw(&self, step: usize, share: Share) -> Result<FaceBatch> {
        let batch = self.recipe.batch;
        let samples = share.samples(batch);
        let first = (step * batch + samples.start) as u64;
        let (pixels, classes) = faces::draw(&self.people, self.recipe.seed, first, samples.len())?;
        Ok(FaceBatch { pixels, classes, margin: self.margin_at(step) })
    }

    fn losses(&self, network: &Learner, batch: &FaceBatch, device: Device) -> Result<Losses> {
        let faces = to_images(&batch.pixels, device)?.f_to_kind(network.recogniser.compute().kind)?;
        let embeddings = network.recogniser.forward(&faces)?.f_to_kind(Kind::Float)?;
        let classes = batch.classes.f_to_device(device)?;
        let total = batch.margin.loss(&embeddings, &network.centres()?, &classes)?;
        Ok(Losses { parts: vec![("margin", total.shallow_clone())], total })
    }

    fn glance(&self, network: &Learner) -> Result<Vec<Check>> {
        self.held_out.glance(&network.recogniser)
    }

    fn check(&self, network: &Learner) -> Result<Vec<Check>> {
        self.held_out.check(&network.recogniser)
    }

    fn sheet(&self, network: &Learner) -> Result<RgbImage> {
        self.held_out.sheet(&network.recogniser)
    }

    fn export(&self, _: &Learner, parameters: &Parameters, folder: &Path) -> Result<()> {
        let folder = folder.join(self.name());
        make_folder(&folder)?;
        parameters.part(network::NETWORK).save(&folder.join(WEIGHTS), Kind::Half)?;
        write_scale_of(&self.held_out, &folder).map(|_| ())
    }
}

/// Measures how the cosines of the recogniser in `folder` are to be read, and writes it beside the weights.
///
/// # Errors
/// The weights are missing or are no network of this kind, or the file cannot be written.
pub fn write_scale(folder: &Path) -> Result<Scale> {
    write_scale_of(&HeldOut::draw()?, folder)
}

/// The network is read from its file: the numbers are those of the rounded weights, on any machine.
fn write_scale_of(held_out: &HeldOut, folder: &Path) -> Result<Scale> {
    let weights = Weights::open_file(&folder.join(WEIGHTS), Compute::CPU_F32)?;
    let mut scale = held_out.scale(&CompactResNet::from_weights(weights)?)?;
    // More digits would only promise what a rule of thumb cannot keep.
    for number in [&mut scale.same_above, &mut scale.strangers_below] {
        *number = (*number * 100.0).round() / 100.0;
    }
    let content = serde_json::to_string_pretty(&scale)? + "\n";
    write(&folder.join(Scale::FILE), content.as_bytes())?;
    Ok(scale)
}
