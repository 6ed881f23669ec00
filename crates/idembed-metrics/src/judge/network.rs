//! The network that answers, and how to ask it.

use std::path::Path;
use std::sync::Arc;

use idembed_face::input::{PixelScale, batch};
use idembed_face::residual::{ResidualTrunk, TrunkShape};
use idembed_layers::Linear;
use idembed_weights::{Compute, Weights};
use image::RgbImage;
use tch::{Device, Kind, Tensor};

use super::{Factor, Factors, Verdict};
use crate::Result;

/// Pictures that are looked at together.
const BATCH: usize = 16;
/// `x / 127.5 - 1`
const PIXELS: PixelScale = PixelScale::grey(127.5, 127.5);

/// Tells of a picture of one person where it is, what the person does, wears and holds, and how the picture is made.
///
/// One trunk for all questions, and a head of its own for each: what a picture shows is the same for all of them. What the
/// questions are stands in a file beside the weights.
#[derive(Debug)]
pub struct Judge {
    factors: Arc<Factors>,
    trunk: ResidualTrunk,
    /// One for each factor.
    heads: Vec<Linear>,
    compute: Compute,
    /// Tensors may lie in its map.
    _weights: Weights,
}

impl Judge {
    /// Width and height of the pictures that it looks at.
    pub const SIDE: u32 = 128;
    /// The sizes of its trunk.
    pub const TRUNK: TrunkShape =
        TrunkShape { stem: 16, stem_stride: 2, stages: [(32, 1), (64, 2), (128, 2), (128, 1)], group: 8 };

    /// Reads a judge from its folder: `model.safetensors` and `factors.json`.
    ///
    /// # Errors
    /// A file cannot be read, or they do not fit together.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        Self::from_weights(Factors::read(folder)?, Weights::open(folder, "model", compute)?)
    }

    /// Builds the network for these questions on its weights: from a file, or parameters that are trained.
    ///
    /// # Errors
    /// A tensor is missing, extra or misshapen.
    pub fn from_weights(factors: Factors, weights: Weights) -> Result<Self> {
        let root = weights.root();
        let trunk = ResidualTrunk::load(&(&root / "trunk"), &Self::TRUNK)?;
        let features = Self::TRUNK.outputs() * (i64::from(Self::SIDE) / Self::TRUNK.downscale()).pow(2);
        let head = |factor: &Factor| {
            Linear::load(&(&root / "heads" / factor.name.as_str()), features, factor.classes.len() as i64)
        };
        let heads = factors.as_slice().iter().map(head).collect::<std::result::Result<_, _>>()?;
        weights.check_all_used(&[])?;
        Ok(Judge { factors: Arc::new(factors), trunk, heads, compute: weights.compute(), _weights: weights })
    }

    /// What it can be asked.
    pub fn factors(&self) -> &Factors {
        &self.factors
    }

    /// For each factor, the logarithms of the probabilities but for a sum.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, SIDE, SIDE]` in -1..1
    /// - returns: `[batch, classes]` each, f32
    pub fn logits(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        let features = self.trunk.forward(&images.f_to_kind(self.compute.kind)?)?.f_flatten(1, -1)?;
        let answer = |head: &Linear| Ok(head.forward(&features)?.f_to_kind(Kind::Float)?);
        self.heads.iter().map(answer).collect()
    }

    /// The answers on pictures.
    ///
    /// Only pictures of the size that it was trained on are judged: scaled ones look unlike those, and how much the answers
    /// suffer was not measured.
    ///
    /// # Errors
    /// A picture is not [`SIDE`](Self::SIDE) x [`SIDE`](Self::SIDE) pixels, or libtorch refused an operation.
    pub fn judge(&self, pictures: &[RgbImage]) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::with_capacity(pictures.len());
        for some in pictures.chunks(BATCH) {
            let images = batch(some, Self::SIDE, &PIXELS, self.compute)?;
            let mut probabilities = vec![Vec::with_capacity(self.heads.len()); some.len()];
            for logits in tch::no_grad(|| self.logits(&images))? {
                let values = logits.f_softmax(-1, Kind::Float)?.f_to_device(Device::Cpu)?;
                for (of_picture, row) in probabilities.iter_mut().zip(Vec::<Vec<f32>>::try_from(values)?) {
                    of_picture.push(row);
                }
            }
            verdicts.extend(
                probabilities.into_iter().map(|probabilities| Verdict { factors: self.factors.clone(), probabilities }),
            );
        }
        Ok(verdicts)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_weights::Parameters;
    use image::Rgb;

    use super::*;

    const SIDE: u32 = Judge::SIDE;

    fn judge() -> Judge {
        let factor = |name: &str, classes: usize| Factor {
            name: name.to_owned(),
            classes: (0..classes).map(|class| format!("{name} {class}")).collect(),
        };
        let factors = Factors::new(vec![factor("scene", 5), factor("beard", 2)]).unwrap();
        let parameters = Parameters::new(1, Device::Cpu);
        Judge::from_weights(factors, Weights::from_parameters(&parameters, Kind::Float)).unwrap()
    }

    #[test]
    fn answers_are_probabilities_and_the_same_alone_and_together() {
        let judge = judge();
        let picture = |index: u32| RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([(x * index) as u8, y as u8, index as u8]));
        // One more than are looked at together.
        let pictures: Vec<RgbImage> = (0..=BATCH as u32).map(picture).collect();
        let verdicts = judge.judge(&pictures).unwrap();
        assert_eq!(verdicts.len(), pictures.len());
        for (picture, verdict) in pictures.iter().zip(&verdicts) {
            let alone = judge.judge(std::slice::from_ref(picture)).unwrap().remove(0);
            for Factor { name, classes } in judge.factors().as_slice() {
                let (together, alone) = (verdict.probabilities(name).unwrap(), alone.probabilities(name).unwrap());
                assert_eq!(together.len(), classes.len());
                assert!((together.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                assert!(together.iter().zip(alone).all(|(a, b)| (a - b).abs() < 1e-5));
                let best = verdict.class_index(name).unwrap();
                assert!(together.iter().all(|other| *other <= together[best]));
                assert_eq!(verdict.class(name), Some(classes[best].as_str()));
            }
        }
        assert!(judge.judge(&[]).unwrap().is_empty());
    }

    #[test]
    fn another_size_is_refused() {
        let error = judge().judge(&[RgbImage::new(SIDE, SIDE), RgbImage::new(64, SIDE)]).unwrap_err();
        assert_eq!(error.to_string(), "a picture of 64 x 128 pixels was given to a network for 128 x 128");
    }

    #[test]
    fn factors_that_do_not_fit_the_weights_are_refused() {
        let mini = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini/judge"));
        let mut factors = Factors::read(mini).unwrap().as_slice().to_vec();
        let open = || Weights::open(mini, "model", Compute::CPU_F32).unwrap();
        let refused =
            |factors: &[Factor]| Judge::from_weights(Factors::new(factors.to_vec()).unwrap(), open()).is_err();
        assert!(!refused(&factors));
        factors[1].classes.push("a sword".to_owned());
        assert!(refused(&factors));
        factors[1].classes.truncate(7);
        factors[1].name = "thing".to_owned();
        assert!(refused(&factors));
        factors.remove(1);
        assert!(refused(&factors));
    }
}
