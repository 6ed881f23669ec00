//! Faces in drawn pictures: found by the detector that was trained on photos, and told apart by the recogniser.

use idembed_face::detect::Mtcnn;
use idembed_face::recognise::Recogniser;
use idembed_face::{Search, search};
use idembed_world::factors::{Framing, Scene, Style};
use idembed_world::identity::NAMED;
use idembed_world::{Drawn, FaceTruth, SIDE, Sample, Who};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::metric::{Metric, Target, percent};
use super::painter::Painter;
use crate::recogniser::true_face;
use crate::{Result, seeds};

/// Pictures that the detector looks at.
const DETECTED: u64 = 400;
/// How much the pictures are enlarged for it.
const ENLARGEMENT: u32 = 2;
/// The least overlap of a found face with the true one: intersection over union.
const OVERLAP: f64 = 0.4;
/// Drawn pictures of each named person that generated ones are compared with.
const GALLERY: u64 = 6;
/// People on the sheet.
const SHOWN: usize = 24;

/// The share of drawn faces that the detector finds: people that are never trained on, in photos, close and middle.
pub(super) fn detection(detector: &Mtcnn) -> Result<Metric> {
    let mut found = Vec::new();
    for index in 0..DETECTED {
        let mut sample = Sample::portrait(Who::HeldOut(index), seeds::held_out(index));
        sample.style = Style::Photo;
        if sample.framing == Framing::Distant {
            sample.framing = Framing::Middle;
        }
        let drawn = idembed_world::draw(&sample, SIDE)?;
        let size = ENLARGEMENT * SIDE;
        let faces = detector.detect(&imageops::resize(&drawn.picture, size, size, FilterType::CatmullRom))?;
        found.extend(drawn.truth.faces.iter().map(|truth| {
            let truth = truth.bounds.map(|edge| f64::from(edge) * f64::from(ENLARGEMENT));
            faces.iter().any(|face| {
                let face = face.bounds;
                overlap(truth, [face.left, face.top, face.right, face.bottom]) >= OVERLAP
            })
        }));
    }
    Ok(Metric::new("the photo detector finds drawn faces", percent(found), "%", Target::AtLeast(95.0)))
}

/// The intersection of two boxes over their union.
fn overlap(a: [f64; 4], b: [f64; 4]) -> f64 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let area = |[left, top, right, bottom]: [f64; 4]| (right - left) * (bottom - top);
    let both = width * height;
    both / (area(a) + area(b) - both)
}

/// How alike faces before and behind the autoencoder are; a mean of cosines.
pub(super) fn kept_likeness(recogniser: &dyn Recogniser, pairs: &[(RgbImage, RgbImage, FaceTruth)]) -> Result<Metric> {
    let cut = |picture: &RgbImage, truth: &FaceTruth| recogniser.crop(picture, &true_face(truth));
    let before: Vec<RgbImage> = pairs.iter().map(|(before, _, truth)| cut(before, truth)).collect();
    let behind: Vec<RgbImage> = pairs.iter().map(|(_, behind, truth)| cut(behind, truth)).collect();
    let (before, behind) = (recogniser.embed(&before)?, recogniser.embed(&behind)?);
    let sum: f64 = before.outer_iter().zip(behind.outer_iter()).map(|(a, b)| f64::from(a.dot(&b))).sum();
    let mean = sum / pairs.len().max(1) as f64;
    Ok(Metric::new("likeness of faces behind the autoencoder", mean, "", Target::AtLeast(0.9)))
}

/// The share of named people that are recognised among all of them in generated pictures; and pairs of a drawn and a
/// generated picture to look at.
pub(super) fn names(
    painter: &Painter<'_>,
    detector: &Mtcnn,
    recogniser: &dyn Recogniser,
    say: &mut dyn FnMut(&str),
) -> Result<(Vec<Metric>, RgbImage)> {
    let mut centres = Vec::with_capacity(NAMED as usize);
    let mut drawn_ones = Vec::with_capacity(SHOWN);
    for who in 0..NAMED {
        let photo = |index| plain_photo(Who::Named(who), u64::from(who) * GALLERY + index);
        let samples: Vec<Sample> = (0..GALLERY).map(photo).collect();
        let drawn = idembed_world::draw_all(&samples, SIDE)?;
        let crop = |drawn: &Drawn| Some(recogniser.crop(&drawn.picture, &true_face(drawn.truth.faces.first()?)));
        let crops: Vec<RgbImage> = drawn.iter().filter_map(crop).collect();
        centres.push(centre(&recogniser.embed(&crops)?));
        drawn_ones.extend(drawn.into_iter().next().map(|drawn| drawn.picture));
    }
    let (mut first, mut found, mut likeness) = (Vec::new(), 0u32, 0.0);
    let mut sheet = Sheet::new(SHOWN);
    for who in 0..NAMED as usize {
        let name = Who::Named(who as u32).name().unwrap_or_default();
        let scene = Scene::ALL[7 * who % Scene::ALL.len()];
        let picture = painter.draw(&format!("a close-up photo of {name} {}", scene.phrase()), who as u64)?;
        let Search { picture, faces, .. } = search(detector, picture)?;
        let face = faces.into_iter().next();
        let nearest = match &face {
            None => None,
            Some(face) => {
                let embedding = recogniser.embed(&[recogniser.crop(&picture, face)])?;
                found += 1;
                likeness += f64::from(embedding.row(0).dot(&centres[who]));
                nearest(embedding.row(0), &centres)
            }
        };
        first.push(nearest == Some(who));
        sheet.add(&drawn_ones[who], &picture, nearest == Some(who));
        if (who + 1) % 20 == 0 {
            say(&format!("{} of {NAMED} named people drawn", who + 1));
        }
    }
    let figures = vec![
        Metric::new("named people recognised in new scenes among all", percent(first), "%", Target::AtLeast(70.0)),
        Metric::new("their faces found", 100.0 * f64::from(found) / f64::from(NAMED), "%", None),
        Metric::new("their likeness, where found", likeness / f64::from(found), "", None),
    ];
    Ok((figures, sheet.finish()))
}

/// A photo from near that shows a face as it is; not one that was trained on.
pub(super) fn plain_photo(who: Who, index: u64) -> Sample {
    Sample::plain(who, seeds::held_out(index))
}

/// The direction of the mean embedding.
pub(super) fn centre(embeddings: &Array2<f32>) -> Array1<f32> {
    let sum = embeddings.sum_axis(Axis(0));
    let length = sum.dot(&sum).sqrt().max(f32::MIN_POSITIVE);
    sum / length
}

fn nearest(embedding: ArrayView1<'_, f32>, centres: &[Array1<f32>]) -> Option<usize> {
    let likeness = centres.iter().map(|centre| embedding.dot(centre));
    likeness.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(index, _)| index)
}

/// Pairs of pictures in rows, a line below each: green for right, red for wrong.
struct Sheet {
    picture: RgbImage,
    added: usize,
    room: usize,
}

impl Sheet {
    const COLUMNS: usize = 4;
    const LINE: u32 = 4;

    fn new(room: usize) -> Self {
        let rows = room.div_ceil(Self::COLUMNS) as u32;
        let picture = RgbImage::from_pixel(2 * Self::COLUMNS as u32 * SIDE, rows * (SIDE + Self::LINE), Rgb([255; 3]));
        Sheet { picture, added: 0, room }
    }

    fn add(&mut self, drawn: &RgbImage, generated: &RgbImage, right: bool) {
        if self.added == self.room {
            return;
        }
        let (column, row) = (self.added % Self::COLUMNS, self.added / Self::COLUMNS);
        let (x, y) = (2 * column as i64 * i64::from(SIDE), row as i64 * i64::from(SIDE + Self::LINE));
        imageops::replace(&mut self.picture, drawn, x, y);
        imageops::replace(&mut self.picture, generated, x + i64::from(SIDE), y);
        let colour = Rgb(if right { [40, 170, 70] } else { [220, 40, 40] });
        let line = RgbImage::from_pixel(2 * SIDE - 2, Self::LINE - 1, colour);
        imageops::replace(&mut self.picture, &line, x, y + i64::from(SIDE));
        self.added += 1;
    }

    fn finish(self) -> RgbImage {
        self.picture
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn boxes_overlap_by_what_they_share() {
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]), 1.0 / 3.0);
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 3.0, 3.0]), 0.0);
        assert_eq!(overlap([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]), 1.0);
    }

    #[test]
    fn the_nearest_centre_is_that_of_the_smallest_angle() {
        let centres = [centre(&array![[3.0, 0.0], [1.0, 0.0]]), centre(&array![[0.0, 2.0], [1.0, 2.0]])];
        assert_eq!(centres[0], array![1.0, 0.0]);
        assert_eq!(nearest(array![0.1, 1.0].view(), &centres), Some(1));
        assert_eq!(nearest(array![0.9, 0.1].view(), &centres), Some(0));
        assert_eq!(nearest(array![0.9, 0.1].view(), &[]), None);
    }
}
