//! The words that become tokens.

use std::collections::BTreeMap;

use idembed_clip::WordSplitter;
use idembed_world::identity::{NAMED, name};
use idembed_world::{Captions, Sample};

use crate::{Result, seeds};

/// Pictures whose captions are read: enough to meet each phrase of each factor dozens of times.
const SAMPLES: u64 = 4000;

/// What people are likely to write, beyond the captions. A word that is in neither falls into letters, of which each
/// takes one of the 75 places of a prompt, and the class word of an identity should be a single place.
const PROMPT_WORDS: &str = "
    the an and or but not no with without this that it its his her their my your i me you he she they we is are was being
    has have having who what there one two three on at in of to for from by near under over above behind beside between
    inside outside into around front back left right middle centre center next up down out off far away
    person people man men woman women boy girl child baby guy lady someone somebody human actor actress celebrity king queen
    friend friends couple family model
    face faces head hair eye eyes eyebrows nose mouth lips teeth ears chin skin hand hands shoulders body freckles mole
    moustache mustache beard bald blond blonde curly long short young old elderly beautiful handsome happy sad angry
    surprised serious smile smiling laugh laughing crying closed open looking
    photo photograph picture image portrait selfie closeup close profile shot view camera sketch drawing painting watercolor
    oil pencil comic cartoon poster statue pixel art pop style anime black white color colour grey gray red blue green
    yellow purple orange pink brown gold golden dark light bright soft sharp blurry detailed realistic high low quality best
    good bad
    wearing holding standing sitting walking running playing reading
    shirt dress jacket coat suit tie scarf hat cap helmet crown glasses sunglasses mask
    ball basketball cup mug book guitar flower flowers balloon phone umbrella bag
    background wall room house street city town park garden forest tree trees mountain mountains snow snowy beach sea ocean
    lake desert sand sky sun moon stars space night day sunset rain
    kitchen library garage office cafe school castle eiffel tower paris london new york cat dog bear bird horse car bicycle
    train boat animal
";

/// How often each word occurs in captions, names and [`PROMPT_WORDS`].
pub(super) fn words() -> Result<BTreeMap<String, u64>> {
    let splitter = WordSplitter::new()?;
    let mut counts = BTreeMap::new();
    let mut count = |text: &str| -> Result<()> {
        for word in splitter.split(text)? {
            *counts.entry(word).or_default() += 1;
        }
        Ok(())
    };
    count(PROMPT_WORDS)?;
    (0..NAMED).try_for_each(|index| count(&name(index)))?;
    for index in 0..SAMPLES {
        let Captions { main, complete, brief } = Captions::of(&Sample::training(seeds::training(0, index)));
        [main].iter().chain(&complete).chain(&brief).try_for_each(|caption| count(caption))?;
    }
    Ok(counts)
}
