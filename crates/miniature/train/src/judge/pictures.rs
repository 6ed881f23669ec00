//! What the judge learns from: pictures of one person in which nothing is rare.

use idembed_world::factors::{Dye, Expression, Eyes, Headwear, Scene, Style};
use idembed_world::identity::NAMED;
use idembed_world::{SIDE, Sample, Subject, Who};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tch::{Kind, Tensor};

use super::Factor;
use crate::degrade::degrade;
use crate::pixels::to_planes;
use crate::{Result, seeds};

/// Stands for the class where a picture cannot tell it; libtorch leaves it out of the loss.
pub(super) const UNKNOWN: i64 = -100;
/// How often each factor is drawn evenly over its classes instead of as the world does.
const EVEN: f64 = 0.5;

/// Pictures `first` and following of a run, and what they show.
///
/// # Shapes
/// - returns: `[count, 3, SIDE, SIDE]`, bytes; `[count, factors]`, classes or [`UNKNOWN`]
pub(super) fn draw(run: u64, first: u64, count: usize) -> Result<(Tensor, Tensor)> {
    let mut pixels = Vec::with_capacity(count * 3 * (SIDE * SIDE) as usize);
    let mut classes = Vec::with_capacity(count * Factor::ALL.len());
    for index in first..first + count as u64 {
        let seed = seeds::training(run, index);
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let sample = plan(seed, &mut chance);
        let mut drawn = idembed_world::draw(&sample, SIDE)?;
        degrade(&mut drawn.picture, &mut chance);
        pixels.extend_from_slice(drawn.picture.as_raw());
        let class = |factor: Factor| factor.class(&sample).map_or(UNKNOWN, |class| class as i64);
        classes.extend(Factor::ALL.map(class));
    }
    let classes = Tensor::f_from_slice(&classes)?.f_view([count as i64, Factor::ALL.len() as i64])?;
    Ok((to_planes(&pixels, count as i64, SIDE.into())?, classes.f_to_kind(Kind::Int64)?))
}

/// A portrait of anyone but a held-out person, some of its factors drawn anew.
fn plan(seed: u64, chance: &mut ChaCha8Rng) -> Sample {
    let who = if chance.random() { Who::Named(chance.random_range(0..NAMED)) } else { Who::Passer(chance.random()) };
    let mut sample = Sample::portrait(who, seed);
    redraw(&mut sample.scene, Scene::ALL, chance);
    redraw(&mut sample.style, Style::ALL, chance);
    if let Subject::Person(person) = &mut sample.subject {
        let attributes = &mut person.attributes;
        let expressions = [Expression::Neutral, Expression::Smiling, Expression::Laughing, Expression::Sad];
        redraw(&mut attributes.expression, expressions, chance);
        redraw(&mut attributes.eyes, [Eyes::Open, Eyes::Closed, Eyes::Sunglasses], chance);
        redraw(&mut attributes.headwear, [Headwear::None, Headwear::Hat, Headwear::Cap], chance);
        redraw(&mut attributes.dye, [Dye::None, Dye::Blue, Dye::Pink, Dye::Green], chance);
        redraw(&mut attributes.old, [false, true], chance);
        redraw(&mut attributes.beard, [false, true], chance);
        // As in the world: headwear would hide it.
        if attributes.headwear != Headwear::None {
            attributes.dye = Dye::None;
        }
    }
    sample
}

fn redraw<T: Copy, const N: usize>(factor: &mut T, classes: [T; N], chance: &mut ChaCha8Rng) {
    if chance.random_bool(EVEN) {
        *factor = classes.choose(chance).copied().unwrap_or(*factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_rare_and_nothing_new() {
        let plans: Vec<Sample> = (0..3000).map(|seed| plan(seed, &mut ChaCha8Rng::seed_from_u64(seed))).collect();
        for factor in Factor::ALL {
            let classes: Vec<usize> = plans.iter().filter_map(|plan| factor.class(plan)).collect();
            for class in 0..factor.classes().len() {
                let share = classes.iter().filter(|other| **other == class).count() as f64 / classes.len() as f64;
                assert!(share > 0.25 / factor.classes().len() as f64, "{factor:?} {class}: {share}");
            }
        }
        let worn = plans.iter().flat_map(Sample::people).map(|person| person.attributes);
        assert!(worn.clone().all(|worn| worn.headwear == Headwear::None || worn.dye == Dye::None));
        assert!(plans.iter().flat_map(Sample::people).all(|person| !matches!(person.who, Who::HeldOut(_))));
    }
}
