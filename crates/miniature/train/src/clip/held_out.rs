//! How well pictures and texts find each other, on pictures of people that are never trained on.

use idembed_clip::{ClipModel, ClipPreprocessor, Tokenizer};
use idembed_world::factors::{Object, Scene, Style};
use idembed_world::{SIDE, Sample, Subject, Who, draw_all};
use image::{Rgb, RgbImage, imageops};
use tch::{Kind, Tensor};

use crate::pixels::to_planes;
use crate::{Check, Result, seeds};

/// Pictures: each scene with each object three times, in half of the styles.
const COUNT: usize = 3 * Scene::ALL.len() * Object::ALL.len();
/// Captions that a picture has to choose from, and pictures for a caption.
const CHOICE: usize = 64;
/// Pictures looked at together.
const BATCH: usize = 64;
/// Captions on the sheet, and how many pictures are found for each.
const SHEET: (usize, usize) = (8, 6);
/// Pixels between pictures.
const GAP: u32 = 4;
/// Around a picture that was found.
const FOUND: Rgb<u8> = Rgb([0, 160, 60]);

/// The pictures, and what each shows.
#[derive(Debug)]
pub(super) struct HeldOut {
    tokenizer: Tokenizer,
    preprocessor: ClipPreprocessor,
    pictures: Vec<RgbImage>,
    /// Main captions.
    captions: Vec<String>,
    dealt: Vec<Dealt>,
}

impl HeldOut {
    pub(super) fn draw(tokenizer: Tokenizer, preprocessor: ClipPreprocessor) -> Result<Self> {
        let dealt: Vec<Dealt> = (0..COUNT).map(Dealt::of).collect();
        let samples: Vec<Sample> = dealt.iter().enumerate().map(|(index, dealt)| dealt.sample(index as u64)).collect();
        let drawn = draw_all(&samples, SIDE)?;
        let (pictures, captions) = drawn.into_iter().map(|drawn| (drawn.picture, drawn.truth.captions.main)).unzip();
        Ok(HeldOut { tokenizer, preprocessor, pictures, captions, dealt })
    }

    /// How often a caption finds its picture among a few, and what those hold is named: the hardest of all.
    pub(super) fn glance(&self, model: &ClipModel) -> Result<Vec<Check>> {
        let group = group(0);
        let (pictures, captions) = (self.pictures(model, &group)?, self.captions(model, &group)?);
        let objects = self.named(model, &pictures, &group, &objects(), |dealt| dealt.object)?;
        Ok(vec![
            Check { name: "held out", value: 100.0 * found(&captions, &pictures)?, unit: "% found" },
            Check { name: "objects", value: 100.0 * objects, unit: "%" },
        ])
    }

    /// All figures, in per cent.
    pub(super) fn check(&self, model: &ClipModel) -> Result<Vec<Check>> {
        let groups = COUNT / CHOICE;
        let (mut by_caption, mut by_picture) = (0.0, 0.0);
        for index in 0..groups {
            let group = group(index);
            let (pictures, captions) = (self.pictures(model, &group)?, self.captions(model, &group)?);
            by_caption += found(&captions, &pictures)? / groups as f64;
            by_picture += found(&pictures, &captions)? / groups as f64;
        }
        let (all, pictures) = (all(), self.pictures(model, &all())?);
        let scenes = Scene::ALL.map(|scene| format!("a photo of a person {}", scene.phrase()));
        let styles = Style::ALL.map(|style| format!("{} of a person", style.phrase()));
        let named = |prompts: &[String], right| self.named(model, &pictures, &all, prompts, right);
        let figures = [
            ("pictures found by their captions, of 64", by_caption),
            ("captions found by their pictures, of 64", by_picture),
            ("scenes named, of 18", named(&scenes, |dealt| dealt.scene)?),
            ("objects named, of 6", named(&objects(), |dealt| dealt.object)?),
            ("styles named, of 6", named(&styles, |dealt| dealt.style)?),
        ];
        Ok(figures.map(|(name, share)| Check { name, value: 100.0 * share, unit: "%" }).to_vec())
    }

    /// Each row: a picture, and those that its caption finds first among all; with a green frame if it is the same.
    pub(super) fn sheet(&self, model: &ClipModel) -> Result<RgbImage> {
        let (rows, columns) = SHEET;
        let cell = SIDE + 2 * GAP;
        let described: Vec<usize> = (0..rows).map(|row| row * COUNT / rows).collect();
        let (pictures, captions) = (self.pictures(model, &all())?, self.captions(model, &described)?);
        let (_, best) = captions.f_matmul(&pictures.f_transpose(0, 1)?)?.f_topk(columns as i64, 1, true, true)?;
        let mut sheet = RgbImage::from_pixel(cell * (1 + columns as u32), cell * rows as u32, Rgb([255; 3]));
        for (row, &own) in described.iter().enumerate() {
            let best: Vec<i64> = best.f_get(row as i64)?.try_into()?;
            let shown = std::iter::once(own).chain(best.into_iter().map(|index| index as usize));
            for (column, index) in shown.enumerate() {
                let (x, y) = (cell * column as u32, cell * row as u32);
                if column > 0 && index == own {
                    imageops::replace(&mut sheet, &RgbImage::from_pixel(cell, cell, FOUND), x.into(), y.into());
                }
                imageops::replace(&mut sheet, &self.pictures[index], (x + GAP).into(), (y + GAP).into());
            }
        }
        Ok(sheet)
    }

    /// The share of pictures to which the right prompt is nearest.
    fn named(
        &self,
        model: &ClipModel,
        pictures: &Tensor,
        indices: &[usize],
        prompts: &[String],
        right: fn(&Dealt) -> usize,
    ) -> Result<f64> {
        let prompts = self.texts(model, prompts.iter().map(String::as_str))?;
        let right: Vec<i64> = indices.iter().map(|&index| right(&self.dealt[index]) as i64).collect();
        share_equal(&nearest(pictures, &prompts)?, &Tensor::f_from_slice(&right)?)
    }

    /// # Shapes
    /// - returns: `[indices, projection_dim]`
    fn pictures(&self, model: &ClipModel, indices: &[usize]) -> Result<Tensor> {
        let embeds = indices.chunks(BATCH).map(|indices| {
            let pictures = indices.iter().map(|&index| &self.pictures[index]);
            let bytes: Vec<u8> = pictures.flat_map(|picture| picture.as_raw()).copied().collect();
            let pixels = to_planes(&bytes, indices.len() as i64, SIDE.into())?;
            Ok(model.image_embeds(&self.preprocessor.normalise(&pixels)?)?)
        });
        Ok(Tensor::f_cat(&embeds.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// # Shapes
    /// - returns: `[indices, projection_dim]`
    fn captions(&self, model: &ClipModel, indices: &[usize]) -> Result<Tensor> {
        self.texts(model, indices.iter().map(|&index| self.captions[index].as_str()))
    }

    fn texts<'a>(&self, model: &ClipModel, texts: impl Iterator<Item = &'a str>) -> Result<Tensor> {
        Ok(model.text_embeds(&self.tokenizer.batch(&texts.collect::<Vec<_>>())?)?)
    }
}

/// Prompts for what is held.
fn objects() -> [String; 6] {
    Object::ALL.map(|object| format!("a photo of a person holding {}", object.phrase()))
}

fn all() -> Vec<usize> {
    (0..COUNT).collect()
}

/// [`CHOICE`] pictures that differ in scene, object and style.
fn group(index: usize) -> Vec<usize> {
    (0..CHOICE).map(|picture| picture * (COUNT / CHOICE) + index).collect()
}

/// What is in a picture: places in the lists of the world.
#[derive(Debug)]
struct Dealt {
    scene: usize,
    object: usize,
    style: usize,
}

impl Dealt {
    /// All factors evenly over the pictures.
    fn of(index: usize) -> Self {
        let (scenes, objects) = (Scene::ALL.len(), Object::ALL.len());
        let (scene, object) = (index % scenes, index / scenes % objects);
        let style = (scene + object + index / (scenes * objects)) % Style::ALL.len();
        Dealt { scene, object, style }
    }

    fn sample(&self, index: u64) -> Sample {
        let mut sample = Sample::portrait(Who::HeldOut(index), seeds::held_out(index));
        sample.scene = Scene::ALL[self.scene];
        sample.style = Style::ALL[self.style];
        if let Subject::Person(person) = &mut sample.subject {
            person.object = Some(Object::ALL[self.object]);
        }
        sample
    }
}

/// For each row of `from`, which row of `to` is nearest.
fn nearest(from: &Tensor, to: &Tensor) -> Result<Tensor> {
    Ok(from.f_matmul(&to.f_transpose(0, 1)?)?.f_argmax(1, false)?)
}

/// The share of rows of `from` whose nearest row of `to` is their own.
fn found(from: &Tensor, to: &Tensor) -> Result<f64> {
    let nearest = nearest(from, to)?;
    share_equal(&nearest, &Tensor::f_arange(nearest.size()[0], (Kind::Int64, nearest.device()))?)
}

fn share_equal(left: &Tensor, right: &Tensor) -> Result<f64> {
    let equal = left.f_eq_tensor(&right.f_to_device(left.device())?)?;
    Ok(equal.f_to_kind(Kind::Double)?.f_mean(Kind::Double)?.f_double_value(&[])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_factors_are_dealt_out_evenly() {
        let dealt: Vec<Dealt> = (0..COUNT).map(Dealt::of).collect();
        let count = |fits: &dyn Fn(&Dealt) -> bool| dealt.iter().filter(|dealt| fits(dealt)).count();
        assert!((0..18).all(|scene| count(&|dealt| dealt.scene == scene) == COUNT / 18));
        assert!((0..6).all(|object| count(&|dealt| dealt.object == object) == COUNT / 6));
        assert!((0..6).all(|style| count(&|dealt| dealt.style == style) == COUNT / 6));
        // Knowing one of them says nothing of another.
        let styled = |scene, style| count(&|dealt| dealt.scene == scene && dealt.style == style);
        assert!((0..18).all(|scene| (0..6).all(|style| styled(scene, style) == 3)));
        assert!(group(COUNT / CHOICE - 1).into_iter().all(|index| index < COUNT));
    }

    #[test]
    fn found_counts_rows_that_are_nearest_to_their_own() {
        let rows = |rows: &[[f32; 2]]| Tensor::from_slice2(rows);
        let from = rows(&[[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]]);
        let to = rows(&[[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [0.7, 0.7]]);
        assert!(matches!(found(&from, &to), Ok(share) if share == 0.75), "{:?}", found(&from, &to));
    }
}
