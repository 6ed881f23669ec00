//! The first stage: P-Net over all sizes of the picture.

use image::RgbImage;
use rayon::prelude::*;
use tch::Device;

use super::area::{self, Pixels};
use super::candidate::{self, Candidate};
use super::networks::{Findings, ProposalNet};
use super::pyramid::{self, Band, CELL, MtcnnOptions, STRIDE, Scale};
use super::suppression::Overlap;
use super::{ACROSS_SCALES, WITHIN_SCALE};
use crate::FaceResult;

/// Bands that are scaled before P-Net sees the first of them. Our threads and libtorch's get in each other's way for a
/// while when they take turns.
const BANDS_AT_ONCE: usize = 16;

/// The boxes that P-Net takes for faces, moved to where it sees them and squared.
pub(super) fn propose(
    network: &ProposalNet,
    picture: &RgbImage,
    options: &MtcnnOptions,
    device: Device,
) -> FaceResult<Vec<Candidate>> {
    let scales = pyramid::scales(picture.width(), picture.height(), options);
    let bands: Vec<(usize, Band)> =
        scales.iter().enumerate().flat_map(|(scale, size)| size.bands().map(move |band| (scale, band))).collect();
    let mut found = vec![Vec::new(); scales.len()];
    for group in bands.chunks(BANDS_AT_ONCE) {
        let scaled = group.par_iter().map(|(scale, band)| {
            let Scale { width, height, .. } = scales[*scale];
            area::scale_rows(picture, (width, height), band.rows.clone())
        });
        for ((scale, band), pixels) in group.iter().zip(scaled.collect::<Vec<Pixels>>()) {
            let (findings, columns) = network.forward(&pixels.into_tensor(device)?)?;
            let threshold = options.thresholds[0] as f32;
            collect(&findings, columns, band.first, scales[*scale].factor, threshold, &mut found[*scale]);
        }
    }
    let within = found.into_iter().flat_map(|found| candidate::thin_out(found, WITHIN_SCALE, Overlap::Union));
    let proposed = within.collect();
    let kept = candidate::thin_out(proposed, ACROSS_SCALES, Overlap::Union);
    Ok(kept.iter().map(|candidate| candidate.moved(0.0).squared()).collect())
}

/// Turns the cells with a score of at least `threshold` into boxes on the picture.
fn collect(
    findings: &Findings,
    columns: usize,
    first_row: usize,
    factor: f64,
    threshold: f32,
    found: &mut Vec<Candidate>,
) {
    // The whole pixel of the picture that lies under a pixel of this size of it.
    let on_picture = |pixel: usize| (pixel as f32 / factor as f32).floor();
    for (cell, (&score, &shift)) in findings.scores.iter().zip(&findings.shifts).enumerate() {
        if score >= threshold {
            let [left, top] = [cell % columns, first_row + cell / columns].map(|cell| cell * STRIDE);
            let corners = [left + 1, top + 1, left + CELL, top + CELL].map(on_picture);
            found.push(Candidate { corners, score, shift });
        }
    }
}
