//! Finding faces and their landmarks: MTCNN, a cascade of three small networks.
//!
//! P-Net looks at the picture in many sizes and proposes boxes, R-Net looks at each proposal and discards most, O-Net
//! decides and places five landmarks. Nothing is held that grows with the picture times the number of sizes: P-Net gets
//! bands of rows, the other two get batches of proposals.
//!
//! # Source
//! arXiv 1604.02878; weights, thresholds and every convention about pixels as in `facenet-pytorch` 2.6.0.

mod area;
mod candidate;
mod networks;
mod proposal;
mod pyramid;
mod suppression;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::path::Path;

use candidate::Candidate;
use idembed_weights::{Compute, Weights};
use image::RgbImage;
use networks::{CropNet, Findings, ProposalNet};
pub use pyramid::MtcnnOptions;
pub use suppression::{Overlap, ScoredBox, suppress};
use tch::{Device, Kind};

use crate::{Face, FaceResult};

/// Side of R-Net's input, in pixels.
const REFINE_SIDE: u32 = 24;
/// Side of O-Net's input, in pixels.
const OUTPUT_SIDE: u32 = 48;
/// Proposals that a network looks at together.
const BATCH: usize = 128;
/// Overlap (intersection over union) from which two boxes of one size of the picture count as one.
const WITHIN_SCALE: f32 = 0.5;
/// The same for boxes of all sizes.
const ACROSS_SCALES: f32 = 0.7;

/// The face detector.
#[derive(Debug)]
pub struct Mtcnn {
    proposal: ProposalNet,
    refine: CropNet,
    output: CropNet,
    options: MtcnnOptions,
    device: Device,
    /// The networks' tensors lie in its maps.
    _weights: [Weights; 3],
}

impl Mtcnn {
    /// Reads `pnet.safetensors`, `rnet.safetensors` and `onet.safetensors`, named as in `facenet-pytorch`.
    ///
    /// The networks compute in f32 on `compute.device` whatever number format `compute` says: they are tiny, and half
    /// precision would move the landmarks of a large face by a pixel.
    ///
    /// # Errors
    /// A file is missing or damaged, or its tensors are not exactly those of the network.
    pub fn load(folder: &Path, compute: Compute) -> FaceResult<Self> {
        let compute = Compute { kind: Kind::Float, ..compute };
        let open = |stem| Weights::open(folder, stem, compute);
        let weights = [open("pnet")?, open("rnet")?, open("onet")?];
        let [pnet, rnet, onet] = &weights;
        let proposal = ProposalNet::load(&pnet.root())?;
        let refine = CropNet::load_refine(&rnet.root())?;
        let output = CropNet::load_output(&onet.root())?;
        weights.iter().try_for_each(|weights| weights.check_all_used(&[]))?;
        let (options, device) = (MtcnnOptions::default(), compute.device);
        Ok(Mtcnn { proposal, refine, output, options, device, _weights: weights })
    }

    /// The same networks with other options.
    ///
    /// # Errors
    /// An option is out of its range.
    pub fn with_options(self, options: MtcnnOptions) -> FaceResult<Self> {
        options.check()?;
        Ok(Mtcnn { options, ..self })
    }

    /// The faces of a picture, the largest first.
    ///
    /// Boxes may reach over the picture's edge. A picture that is smaller than the smallest face has no face.
    ///
    /// # Errors
    /// libtorch refused an operation, as for want of memory.
    pub fn detect(&self, picture: &RgbImage) -> FaceResult<Vec<Face>> {
        let mut found = tch::no_grad(|| {
            let proposed = proposal::propose(&self.proposal, picture, &self.options, self.device)?;
            let refined = self.refine(picture, proposed)?;
            self.decide(picture, refined)
        })?;
        // Of boxes with equal areas the last comes first, as in the reference.
        found.sort_by(|(a, _), (b, _)| a.area().total_cmp(&b.area()));
        Ok(found.into_iter().rev().filter_map(|(candidate, landmarks)| candidate.into_face(&landmarks)).collect())
    }

    /// What R-Net leaves of the proposals, each moved to where it sees the face.
    fn refine(&self, picture: &RgbImage, proposed: Vec<Candidate>) -> FaceResult<Vec<Candidate>> {
        let looked = self.look(&self.refine, REFINE_SIDE, picture, proposed)?;
        let passed = looked.into_iter().map(|(candidate, _)| candidate);
        let passed = passed.filter(|candidate| candidate.score > self.options.thresholds[1] as f32).collect();
        let kept = candidate::thin_out(passed, ACROSS_SCALES, Overlap::Union);
        Ok(kept.iter().map(|candidate| candidate.moved(1.0).squared()).collect())
    }

    /// What O-Net leaves of them, with the landmarks: five `x`, five `y`.
    ///
    /// Landmarks are shares of the box that O-Net looked at, so they are placed before the box moves for the last time.
    fn decide(&self, picture: &RgbImage, refined: Vec<Candidate>) -> FaceResult<Vec<(Candidate, [f32; 10])>> {
        let looked = self.look(&self.output, OUTPUT_SIDE, picture, refined)?;
        let passed = looked.into_iter().filter(|(candidate, _)| candidate.score > self.options.thresholds[2] as f32);
        let found: Vec<_> =
            passed.map(|(candidate, shares)| (candidate.moved(1.0), candidate.place(&shares))).collect();
        let boxes: Vec<ScoredBox> = found.iter().map(|(candidate, _)| candidate.scored()).collect();
        Ok(suppress(&boxes, ACROSS_SCALES, Overlap::Smaller).into_iter().map(|index| found[index]).collect())
    }

    /// Scores and shifts of `network` for every candidate that has a part of the picture in it, and its landmarks.
    fn look(
        &self,
        network: &CropNet,
        side: u32,
        picture: &RgbImage,
        candidates: Vec<Candidate>,
    ) -> FaceResult<Vec<(Candidate, [f32; 10])>> {
        let (width, height) = picture.dimensions();
        let visible: Vec<_> =
            candidates.into_iter().filter_map(|one| Some((one, one.visible_part(width, height)?))).collect();
        let mut looked = Vec::with_capacity(visible.len());
        for batch in visible.chunks(BATCH) {
            let parts: Vec<_> = batch.iter().map(|&(_, part)| part).collect();
            let pixels = area::scale_parts(picture, &parts, side);
            let findings = network.forward(&pixels.into_tensor(self.device)?)?;
            let Findings { scores, shifts, landmarks } = findings;
            let found = scores.iter().zip(shifts).zip(landmarks);
            looked.extend(batch.iter().zip(found).map(|((candidate, _), ((&score, shift), landmarks))| {
                (Candidate { score, shift, ..*candidate }, landmarks)
            }));
        }
        Ok(looked)
    }
}
