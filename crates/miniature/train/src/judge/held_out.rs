//! Pictures that the judge is never trained on, as the world draws them.

use idembed_metrics::judge::Judge;
use idembed_world::{SIDE, Sample, Who};
use image::{Rgb, RgbImage, imageops};

use super::Factor;
use crate::{Check, Result, seeds};

/// How many pictures are judged.
const COUNT: u64 = 2000;
/// How many of them are looked at for the log.
const GLANCE: usize = 160;
/// Pictures on the sheet, side by side and one below the other.
const SHEET: (usize, usize) = (8, 6);
/// Height of the row of answers below a picture, in pixels.
const ANSWERS: u32 = 12;

/// The pictures and their plans.
#[derive(Debug)]
pub(crate) struct HeldOut(Vec<(RgbImage, Sample)>);

impl HeldOut {
    pub(crate) fn draw() -> Result<Self> {
        let samples: Vec<Sample> =
            (0..COUNT).map(|index| Sample::portrait(Who::HeldOut(index), seeds::held_out(index))).collect();
        let drawn = idembed_world::draw_all(&samples, SIDE)?;
        Ok(HeldOut(drawn.into_iter().map(|drawn| (drawn.picture, drawn.truth.sample)).collect()))
    }

    /// The lowest accuracy of a factor, and the mean one, on a few pictures.
    pub(super) fn glance(&self, judge: &Judge) -> Result<Vec<Check>> {
        let scores = Scores::of(judge, &self.0[..GLANCE])?;
        let accuracies = Factor::ALL.map(|factor| scores.accuracy(factor));
        let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
        let lowest = accuracies.into_iter().fold(100.0, f64::min);
        Ok(vec![
            Check { name: "held out, mean", value: mean, unit: "%" },
            Check { name: "lowest", value: lowest, unit: "%" },
        ])
    }

    /// The accuracy of every factor, and the share of right answers among the pictures of the class that is known worst.
    pub(crate) fn check(&self, judge: &Judge) -> Result<Vec<Check>> {
        let scores = Scores::of(judge, &self.0)?;
        let accuracy = |factor: Factor| Check { name: factor.name(), value: scores.accuracy(factor), unit: "%" };
        let mut checks: Vec<Check> = Factor::ALL.into_iter().map(accuracy).collect();
        checks.push(Check { name: "lowest recall of any class", value: scores.lowest_recall(), unit: "%" });
        Ok(checks)
    }

    /// Pictures, and below each a square for every factor: green for right, red for wrong, grey where it cannot be told.
    pub(crate) fn sheet(&self, judge: &Judge) -> Result<RgbImage> {
        let (columns, rows) = SHEET;
        let shown = &self.0[..columns * rows];
        let verdicts = judge.judge(&pictures(shown))?;
        let height = SIDE + ANSWERS;
        let mut sheet = RgbImage::from_pixel(columns as u32 * SIDE, rows as u32 * height, Rgb([255; 3]));
        for (place, ((picture, sample), verdict)) in shown.iter().zip(verdicts).enumerate() {
            let (x, y) = ((place % columns) as u32 * SIDE, (place / columns) as u32 * height);
            imageops::replace(&mut sheet, picture, x.into(), y.into());
            for (factor, left) in Factor::ALL.into_iter().zip((x..).step_by(ANSWERS as usize)) {
                let colour = match factor.class(sample) {
                    None => [190, 190, 190],
                    class if class == verdict.class_index(factor.name()) => [40, 170, 70],
                    Some(_) => [220, 40, 40],
                };
                let square = RgbImage::from_pixel(ANSWERS - 2, ANSWERS - 2, Rgb(colour));
                imageops::replace(&mut sheet, &square, (left + 1).into(), (y + SIDE + 1).into());
            }
        }
        Ok(sheet)
    }
}

fn pictures(held_out: &[(RgbImage, Sample)]) -> Vec<RgbImage> {
    held_out.iter().map(|(picture, _)| picture.clone()).collect()
}

/// For each factor and class, how often it was there, and how often it was found.
struct Scores(Vec<Vec<(u32, u32)>>);

impl Scores {
    fn of(judge: &Judge, held_out: &[(RgbImage, Sample)]) -> Result<Self> {
        let mut scores: Vec<_> = Factor::ALL.into_iter().map(|factor| vec![(0, 0); factor.classes().len()]).collect();
        for (verdict, (_, sample)) in judge.judge(&pictures(held_out))?.iter().zip(held_out) {
            for (factor, scores) in Factor::ALL.into_iter().zip(&mut scores) {
                if let Some(class) = factor.class(sample) {
                    scores[class].0 += 1;
                    scores[class].1 += u32::from(verdict.class_index(factor.name()) == Some(class));
                }
            }
        }
        Ok(Scores(scores))
    }

    /// The share of right answers, in percent.
    fn accuracy(&self, factor: Factor) -> f64 {
        let scores = self.0[factor as usize].iter();
        let (all, found) = scores.fold((0, 0), |(all, found), score| (all + score.0, found + score.1));
        100.0 * f64::from(found) / f64::from(all)
    }

    fn lowest_recall(&self) -> f64 {
        let recalls = self.0.iter().flatten().filter(|(all, _)| *all > 0);
        recalls.map(|(all, found)| 100.0 * f64::from(*found) / f64::from(*all)).fold(100.0, f64::min)
    }
}
