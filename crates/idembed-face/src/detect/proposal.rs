//! The first stage: P-Net over all sizes of the picture.

use image::RgbImage;
use tch::Device;

use super::candidate::{self, Candidate};
use super::networks::{Findings, ProposalNet};
use super::pyramid::{self, CELL, MtcnnOptions, STRIDE, Scale};
use super::suppression::Overlap;
use super::{ACROSS_SCALES, WITHIN_SCALE, area};
use crate::FaceResult;

/// The boxes that P-Net takes for faces, moved to where it sees them and squared.
pub(super) fn propose(
    network: &ProposalNet,
    picture: &RgbImage,
    options: &MtcnnOptions,
    device: Device,
) -> FaceResult<Vec<Candidate>> {
    let mut proposed = Vec::new();
    for scale in pyramid::scales(picture.width(), picture.height(), options) {
        let mut found = Vec::new();
        for (first_row, rows) in scale.bands() {
            let pixels = area::scale_rows(picture, (scale.width, scale.height), rows);
            let (findings, columns) = network.forward(&pixels.into_tensor(device)?)?;
            collect(&findings, columns, first_row, scale, options.thresholds[0], &mut found);
        }
        proposed.extend(candidate::thin_out(found, WITHIN_SCALE, Overlap::Union));
    }
    let kept = candidate::thin_out(proposed, ACROSS_SCALES, Overlap::Union);
    Ok(kept.iter().map(|candidate| candidate.moved(0.0).squared()).collect())
}

/// Turns the cells with a score of at least `threshold` into boxes on the picture.
fn collect(
    findings: &Findings,
    columns: usize,
    first_row: usize,
    scale: Scale,
    threshold: f64,
    found: &mut Vec<Candidate>,
) {
    // The whole pixel of the picture that lies under a pixel of this size.
    let on_picture = |pixel: usize| (pixel as f32 / scale.factor as f32).floor();
    for (cell, (&score, &shift)) in findings.scores.iter().zip(&findings.shifts).enumerate() {
        if f64::from(score) >= threshold {
            let [left, top] = [cell % columns, first_row + cell / columns].map(|cell| cell * STRIDE);
            let corners = [left + 1, top + 1, left + CELL, top + CELL].map(on_picture);
            found.push(Candidate { corners, score, shift });
        }
    }
}
