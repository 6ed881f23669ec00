//! Whether pictures show what their prompts ask for, as the judge sees it.

use idembed_metrics::judge::Judge;
use image::RgbImage;

use super::metric::{Metric, Target, percent};
use super::painter::Painter;
use super::wishes::{Wish, wish};
use crate::Result;
use crate::judge::Factor;

/// Prompts that are drawn.
const PROMPTS: usize = 500;
/// Pictures judged at once.
const BATCH: usize = 20;
/// Pictures that are shown.
const SHOWN: usize = 48;

/// A picture with its prompt and what it lacks of that.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) picture: RgbImage,
    pub(super) caption: String,
}

/// The figures, and the first pictures.
pub(super) fn follow(
    painter: &Painter<'_>,
    judge: &Judge,
    say: &mut dyn FnMut(&str),
) -> Result<(Vec<Metric>, Vec<Shown>)> {
    let (mut answers, mut shown, mut unasked) = (Vec::new(), Vec::new(), Vec::new());
    for first in (0..PROMPTS).step_by(BATCH) {
        let wishes: Vec<Wish> = (first..PROMPTS.min(first + BATCH)).map(wish).collect();
        let draw = |(offset, wish): (usize, &Wish)| painter.draw(&wish.prompt, (first + offset) as u64);
        let pictures: Vec<RgbImage> = wishes.iter().enumerate().map(draw).collect::<Result<_>>()?;
        for ((wish, verdict), picture) in wishes.into_iter().zip(judge.judge(&pictures)?).zip(pictures) {
            let found = wish
                .expected
                .iter()
                .map(|&(factor, class)| (factor, verdict.class_index(factor.name()) == Some(class)));
            let found: Vec<(Factor, bool)> = found.collect();
            let special = |(factor, usual): &(Factor, usize)| verdict.class_index(factor.name()) != Some(*usual);
            unasked.extend(wish.unasked.iter().map(|of| (of.0, special(of))));
            if shown.len() < SHOWN {
                shown.push(Shown { picture, caption: caption(&wish.prompt, &found) });
            }
            answers.extend(found);
        }
        say(&format!("{} of {PROMPTS} prompts drawn", first + BATCH));
    }
    let share = |name: &str, least: f64, counts: fn(Factor) -> bool| {
        let of_kind = answers.iter().filter(|(factor, _)| counts(*factor)).map(|(_, right)| *right);
        Metric::new(format!("prompts followed: {name}"), percent(of_kind), "%", Target::AtLeast(least))
    };
    let mut figures = vec![
        share("scene", 95.0, |factor| factor == Factor::Scene),
        share("object", 85.0, |factor| factor == Factor::Object),
        share("attributes", 80.0, |factor| !matches!(factor, Factor::Scene | Factor::Object | Factor::Style)),
        share("style", 90.0, |factor| factor == Factor::Style),
    ];
    for factor in [Factor::Expression, Factor::Eyes, Factor::Headwear, Factor::Dye, Factor::Old, Factor::Beard] {
        let own = answers.iter().filter(|(of, _)| *of == factor).map(|(_, right)| *right);
        figures.push(Metric::new(format!("among the attributes: {}", factor.name()), percent(own), "%", None));
    }
    let share = |name: &str, counts: fn(Factor) -> bool| {
        let of_kind = unasked.iter().filter(|(factor, _)| counts(*factor)).map(|(_, special)| *special);
        Metric::new(format!("drawn unasked: {name}"), percent(of_kind), "%", None)
    };
    figures.extend([
        share("objects", |factor| factor == Factor::Object),
        share("attributes, each", |factor| factor != Factor::Object),
    ]);
    Ok((figures, shown))
}

/// The prompt, and what the judge does not see.
fn caption(prompt: &str, found: &[(Factor, bool)]) -> String {
    let missing: Vec<&str> = found.iter().filter(|(_, right)| !right).map(|(factor, _)| factor.name()).collect();
    if missing.is_empty() { prompt.to_owned() } else { format!("{prompt} \u{2014} not the {}", missing.join(", ")) }
}
