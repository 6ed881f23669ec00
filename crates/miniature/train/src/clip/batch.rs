//! Pictures with a caption each.

use idembed_clip::Tokenizer;
use idembed_world::{SIDE, Sample, Subject, draw};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use crate::degrade::degrade;
use crate::pixels::to_planes;
use crate::{Result, captions, seeds};

/// Pictures in a row that may be alike.
const GROUP: u64 = 8;
/// How likely it is for each of scene, style, shirt and framing that a group of alike pictures has it in common.
const COMMON: f64 = 0.75;

/// A share of a step.
#[derive(Debug)]
pub struct CaptionedBatch {
    /// `[batch, 3, SIDE, SIDE]`, bytes.
    pub(super) pixels: Tensor,
    /// `[batch, tokens]`, as many as the longest caption has.
    pub(super) ids: Tensor,
    /// `[batch, tokens]`: 1 for the tokens between start and end, else 0.
    pub(super) words: Tensor,
}

impl CaptionedBatch {
    /// The pictures of a run from `first` on.
    ///
    /// `alike` is how likely it is that a group of pictures has much in common. With none of them, captions are told apart
    /// by scene, style and shirt alone, and what is held was not learned; with all of them, nothing is easy at first.
    pub(super) fn draw(run: u64, first: u64, count: usize, alike: f64, tokenizer: &Tokenizer) -> Result<Self> {
        let (mut pixels, mut texts) = (Vec::new(), Vec::new());
        for index in first..first + count as u64 {
            let sample = plan(run, index, alike);
            let mut chance = ChaCha8Rng::seed_from_u64(sample.seed);
            let mut drawn = draw(&sample, SIDE)?;
            texts.push(captions::choose(&drawn.truth.captions, &mut chance).to_owned());
            // It is to judge pictures that come out of an autoencoder.
            degrade(&mut drawn.picture, &mut chance);
            pixels.extend_from_slice(drawn.picture.as_raw());
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let ids = tokenizer.batch(&texts)?;
        Ok(CaptionedBatch {
            pixels: to_planes(&pixels, count as i64, SIDE.into())?,
            // Padding is the end token once more, and no caption holds a start token.
            words: ids.f_lt(tokenizer.bos())?.f_to_kind(Kind::Float)?,
            ids,
        })
    }
}

/// A sample with what it has in common with the first one of its group.
fn plan(run: u64, index: u64, alike: f64) -> Sample {
    let mut sample = Sample::training(seeds::training(run, index));
    let first = Sample::training(seeds::training(run, index - index % GROUP));
    let mut chance = ChaCha8Rng::seed_from_u64(first.seed);
    // Other numbers than those that choose its caption.
    chance.set_stream(1);
    let alike = chance.random_bool(alike);
    let [scene, style, shirt, framing] = [(); 4].map(|()| alike && chance.random_bool(COMMON));
    if scene {
        sample.scene = first.scene;
    }
    if style {
        sample.style = first.style;
    }
    // Two people stand where they do.
    if let (Subject::Person(person), Subject::Person(other)) = (&mut sample.subject, &first.subject) {
        if shirt {
            person.shirt = other.shirt;
        }
        if framing {
            (sample.framing, sample.place) = (first.framing, first.place);
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_are_alike_have_most_scenes_in_common() {
        for (alike, expected) in [(0.0, 0.0..0.2), (0.5, 0.3..0.6), (1.0, 0.7..0.9)] {
            let (mut within, mut between) = ((0, 0), (0, 0));
            for index in 0..3000 {
                let same = u32::from(plan(0, index, alike).scene == plan(0, index + 1, alike).scene);
                let count = if (index + 1) % GROUP == 0 { &mut between } else { &mut within };
                *count = (count.0 + same, count.1 + 1);
            }
            let share = |(same, all): (u32, u32)| f64::from(same) / f64::from(all);
            assert!(expected.contains(&share(within)) && share(between) < 0.2, "{alike}: {within:?} {between:?}");
        }
    }

    #[test]
    fn objects_and_people_are_as_in_the_world() {
        for index in 0..200 {
            let (ours, world) = (plan(3, index, 1.0), Sample::training(seeds::training(3, index)));
            let told = |sample: &Sample| -> Vec<_> {
                sample.people().iter().map(|person| (person.who, person.object, person.attributes)).collect()
            };
            assert_eq!(told(&ours), told(&world));
        }
    }
}
