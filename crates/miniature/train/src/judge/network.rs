//! The network that answers, and how to ask it.

use std::path::Path;

use idembed_face::residual::{ResidualTrunk, TrunkShape};
use idembed_layers::Linear;
use idembed_weights::{Compute, Weights};
use idembed_world::SIDE;
use image::RgbImage;
use tch::{Device, Kind, Tensor};

use super::Factor;
use crate::pixels::{to_images, to_planes};
use crate::{PretrainError, Result};

pub(super) const TRUNK: TrunkShape =
    TrunkShape { stem: 16, stem_stride: 2, stages: [(32, 1), (64, 2), (128, 2), (128, 1)], group: 8 };
/// Pictures that are looked at together.
const BATCH: usize = 16;

/// Tells of a picture of one person where it is, what the person does, wears and holds, and how the picture is made.
///
/// One trunk for all questions, and a head of its own for each: what a picture shows is the same for all of them.
#[derive(Debug)]
pub struct Judge {
    trunk: ResidualTrunk,
    /// One for each of [`Factor::ALL`].
    heads: Vec<Linear>,
    compute: Compute,
    /// Tensors may lie in its map.
    _weights: Weights,
}

/// The answers on one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// For each of [`Factor::ALL`], the probability of each class.
    probabilities: Vec<Vec<f32>>,
}

impl Verdict {
    /// How likely each class of a factor is; they sum to 1.
    pub fn probabilities(&self, factor: Factor) -> &[f32] {
        &self.probabilities[factor as usize]
    }

    /// The most likely class of a factor.
    pub fn class(&self, factor: Factor) -> usize {
        let probabilities = self.probabilities(factor).iter().enumerate();
        probabilities.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(class, _)| class)
    }
}

impl Judge {
    /// Reads a judge from a safetensors file.
    ///
    /// # Errors
    /// The file cannot be read, or its tensors are not exactly those of the network.
    pub fn load(path: &Path, compute: Compute) -> Result<Self> {
        Self::from_weights(Weights::open_file(path, compute)?)
    }

    /// Builds the network on its weights: from a file, or parameters that are trained.
    ///
    /// # Errors
    /// A tensor is missing, extra or misshapen.
    pub fn from_weights(weights: Weights) -> Result<Self> {
        let root = weights.root();
        let trunk = ResidualTrunk::load(&(&root / "trunk"), &TRUNK)?;
        let features = TRUNK.outputs() * (i64::from(SIDE) / TRUNK.downscale()).pow(2);
        let head = |factor: Factor| -> Result<Linear> {
            Ok(Linear::load(&(&root / "heads" / factor.name()), features, factor.classes() as i64)?)
        };
        let heads = Factor::ALL.into_iter().map(head).collect::<Result<_>>()?;
        weights.check_all_used(&[])?;
        Ok(Judge { trunk, heads, compute: weights.compute(), _weights: weights })
    }

    /// For each of [`Factor::ALL`], the logarithms of the probabilities but for a sum.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, SIDE, SIDE]` in -1..1
    /// - returns: `[batch, classes]` each, f32
    pub fn logits(&self, images: &Tensor) -> Result<Vec<Tensor>> {
        let features = self.trunk.forward(&images.f_to_kind(self.compute.kind)?)?.f_flatten(1, -1)?;
        let answer = |head: &Linear| Ok(head.forward(&features)?.f_to_kind(Kind::Float)?);
        self.heads.iter().map(answer).collect()
    }

    /// The answers on images as a decoder makes them.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, SIDE, SIDE]` in -1..1
    ///
    /// # Errors
    /// Another shape, or libtorch refused an operation.
    pub fn judge_images(&self, images: &Tensor) -> Result<Vec<Verdict>> {
        let (shape, side) = (images.size(), i64::from(SIDE));
        let [count, 3, height, width] = shape[..] else { return Err(other_size(format!("{shape:?}"))) };
        if (height, width) != (side, side) {
            return Err(other_size(format!("{shape:?}")));
        }
        let mut verdicts = vec![Verdict { probabilities: Vec::new() }; count as usize];
        for (logits, factor) in tch::no_grad(|| self.logits(images))?.iter().zip(Factor::ALL) {
            let classes = factor.classes();
            let mut values = vec![0.0; count as usize * classes];
            let probabilities = logits.f_softmax(-1, Kind::Float)?.f_to_device(Device::Cpu)?.f_contiguous()?;
            probabilities.f_copy_data(&mut values, count as usize * classes)?;
            for (verdict, values) in verdicts.iter_mut().zip(values.chunks_exact(classes)) {
                verdict.probabilities.push(values.to_vec());
            }
        }
        Ok(verdicts)
    }

    /// The answers on pictures.
    ///
    /// # Errors
    /// A picture is not [`SIDE`] x [`SIDE`] pixels, or libtorch refused an operation.
    pub fn judge(&self, pictures: &[RgbImage]) -> Result<Vec<Verdict>> {
        if let Some((width, height)) = pictures.iter().map(RgbImage::dimensions).find(|size| *size != (SIDE, SIDE)) {
            return Err(other_size(format!("{width} x {height}")));
        }
        let mut verdicts = Vec::with_capacity(pictures.len());
        for some in pictures.chunks(BATCH) {
            let bytes: Vec<u8> = some.iter().flat_map(|picture| picture.as_raw()).copied().collect();
            let planes = to_planes(&bytes, some.len() as i64, SIDE.into())?;
            verdicts.extend(self.judge_images(&to_images(&planes, self.compute.device)?)?);
        }
        Ok(verdicts)
    }
}

fn other_size(got: String) -> PretrainError {
    PretrainError::Setting { what: "the size of a picture to judge", got, expected: format!("{SIDE} x {SIDE}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_weights::Parameters;
    use image::Rgb;

    use super::*;

    fn judge() -> Judge {
        let parameters = Parameters::new(1, Device::Cpu);
        Judge::from_weights(Weights::from_parameters(&parameters, Kind::Float)).unwrap()
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
            for factor in Factor::ALL {
                let (together, alone) = (verdict.probabilities(factor), alone.probabilities(factor));
                assert_eq!(together.len(), factor.classes());
                assert!((together.iter().sum::<f32>() - 1.0).abs() < 1e-5);
                assert!(together.iter().zip(alone).all(|(a, b)| (a - b).abs() < 1e-5));
                let best = together[verdict.class(factor)];
                assert!(together.iter().all(|other| *other <= best));
            }
        }
        assert!(judge.judge(&[]).unwrap().is_empty());
    }

    #[test]
    fn another_size_is_refused() {
        let judge = judge();
        let error = judge.judge(&[RgbImage::new(SIDE, SIDE), RgbImage::new(64, SIDE)]).unwrap_err();
        assert_eq!(error.to_string(), "the size of a picture to judge is 64 x 128, expected 128 x 128");
        for shape in [vec![1, 4, 128, 128], vec![1, 3, 128, 64], vec![3, 128, 128]] {
            assert!(judge.judge_images(&Tensor::zeros(shape, (Kind::Float, Device::Cpu))).is_err());
        }
    }
}
