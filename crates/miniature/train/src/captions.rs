//! Which of a picture's captions is learned from.

use idembed_world::Captions;
use rand::Rng;

/// The share of short captions: they are what people write, but leave much out that could be learned.
const BRIEF: f64 = 0.4;

/// One of a picture's captions.
pub(crate) fn choose<'a>(captions: &'a Captions, chance: &mut impl Rng) -> &'a str {
    if chance.random_bool(BRIEF) {
        return &captions.brief[chance.random_range(0..captions.brief.len())];
    }
    let complete: Vec<&String> = captions.complete.iter().chain([&captions.main]).collect();
    complete[chance.random_range(0..complete.len())]
}
