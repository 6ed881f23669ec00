//! The parts that a parsed face is made of, and lists of them as the user writes them.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// A part of a portrait; its number is the class that the network gives it.
///
/// The order is that of the CelebAMask-HQ labels (`skin`, `l_brow`, `r_brow`, `l_eye`, `r_eye`, `eye_g`, `l_ear`,
/// `r_ear`, `ear_r`, `nose`, `mouth`, `u_lip`, `l_lip`, `neck`, `neck_l`, `cloth`, `hair`, `hat`) as
/// zllrunning/face-parsing.PyTorch and facexlib number them. Left and right are what that data set calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Part {
    /// Whatever is no part of the person.
    Background,
    /// The skin of the face, without ears and neck.
    Skin,
    /// The left eyebrow.
    LeftBrow,
    /// The right eyebrow.
    RightBrow,
    /// The left eye.
    LeftEye,
    /// The right eye.
    RightEye,
    /// Glasses, the lenses included.
    Glasses,
    /// The left ear.
    LeftEar,
    /// The right ear.
    RightEar,
    /// Earrings.
    Earring,
    /// The nose.
    Nose,
    /// The inside of the open mouth.
    Mouth,
    /// The upper lip.
    UpperLip,
    /// The lower lip.
    LowerLip,
    /// The neck.
    Neck,
    /// A necklace.
    Necklace,
    /// Clothes.
    Clothes,
    /// Hair on the head.
    Hair,
    /// A hat.
    Hat,
}

use Part::*;

/// What a list may name: each part by itself, and pairs by one word, which come before their members.
const WORDS: [(&str, &[Part]); 23] = [
    ("background", &[Background]),
    ("skin", &[Skin]),
    ("brows", &[LeftBrow, RightBrow]),
    ("left-brow", &[LeftBrow]),
    ("right-brow", &[RightBrow]),
    ("eyes", &[LeftEye, RightEye]),
    ("left-eye", &[LeftEye]),
    ("right-eye", &[RightEye]),
    ("glasses", &[Glasses]),
    ("ears", &[LeftEar, RightEar]),
    ("left-ear", &[LeftEar]),
    ("right-ear", &[RightEar]),
    ("earring", &[Earring]),
    ("nose", &[Nose]),
    ("mouth", &[Mouth]),
    ("lips", &[UpperLip, LowerLip]),
    ("upper-lip", &[UpperLip]),
    ("lower-lip", &[LowerLip]),
    ("neck", &[Neck]),
    ("necklace", &[Necklace]),
    ("clothes", &[Clothes]),
    ("hair", &[Hair]),
    ("hat", &[Hat]),
];

impl Part {
    /// Every part, in the order of the classes.
    pub const ALL: [Part; 19] = [
        Background, Skin, LeftBrow, RightBrow, LeftEye, RightEye, Glasses, LeftEar, RightEar, Earring, Nose, Mouth,
        UpperLip, LowerLip, Neck, Necklace, Clothes, Hair, Hat,
    ];

    /// The number that the network gives the part.
    pub fn class(self) -> u8 {
        self as u8
    }

    /// The part's name in lists.
    pub fn name(self) -> &'static str {
        WORDS.iter().find(|(_, parts)| *parts == [self]).map_or("", |(word, _)| word)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Parts of a face, each at most once, in the order of the classes.
///
/// Written as words with commas between them, as in `skin,brows,eyes,left-ear`. The default is the face itself:
/// `skin,brows,eyes,glasses,nose,mouth,lips`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts(Vec<Part>);

/// What can be wrong with a list of parts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// The list names nothing.
    #[error("the list of parts is empty; known are {}", known_words())]
    Empty,
    /// A word that is not known.
    #[error("`{word}` is not a known part; known are {}", known_words())]
    Unknown {
        /// The word.
        word: String,
    },
}

fn known_words() -> String {
    WORDS.map(|(word, _)| word).join(", ")
}

impl Default for Parts {
    fn default() -> Self {
        Parts(vec![Skin, LeftBrow, RightBrow, LeftEye, RightEye, Glasses, Nose, Mouth, UpperLip, LowerLip])
    }
}

impl Deref for Parts {
    type Target = [Part];

    fn deref(&self) -> &[Part] {
        &self.0
    }
}

impl FromStr for Parts {
    type Err = PartsError;

    fn from_str(text: &str) -> Result<Parts, PartsError> {
        if text.trim().is_empty() {
            return Err(PartsError::Empty);
        }
        let mut parts = Vec::new();
        for word in text.split(',').map(str::trim) {
            let (_, meant) = WORDS
                .iter()
                .find(|(known, _)| *known == word)
                .ok_or_else(|| PartsError::Unknown { word: word.to_owned() })?;
            parts.extend_from_slice(meant);
        }
        parts.sort_unstable();
        parts.dedup();
        Ok(Parts(parts))
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.clone();
        let mut words = Vec::new();
        for (word, parts) in WORDS {
            if parts.iter().all(|part| left.contains(part)) {
                left.retain(|part| !parts.contains(part));
                words.push(word);
            }
        }
        out.write_str(&words.join(","))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn classes_and_names_belong_to_one_part_each() {
        for (class, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(part.class()), class);
            assert_eq!(part.name().parse::<Parts>().unwrap().to_vec(), [part]);
        }
    }

    #[test]
    fn a_word_may_mean_a_pair() {
        let parts: Parts = "lips, skin,left-ear ,eyes,left-eye".parse().unwrap();
        assert_eq!(parts.to_vec(), [Skin, LeftEye, RightEye, LeftEar, UpperLip, LowerLip]);
        assert_eq!(parts.to_string(), "skin,eyes,left-ear,lips");
    }

    #[test]
    fn the_default_is_written_as_documented() {
        assert_eq!(Parts::default().to_string(), "skin,brows,eyes,glasses,nose,mouth,lips");
        assert_eq!("skin,brows,eyes,glasses,nose,mouth,lips".parse(), Ok(Parts::default()));
    }

    #[test]
    fn unknown_words_are_named_with_the_known_ones() {
        let error = "skin,chin".parse::<Parts>().unwrap_err();
        assert_eq!(error, PartsError::Unknown { word: "chin".to_owned() });
        let message = error.to_string();
        assert!(message.starts_with("`chin` is not a known part; known are background, skin, brows, left-brow,"));
        assert!(message.ends_with("clothes, hair, hat"), "{message}");
        for text in ["skin,", ",", "Skin", "skin;nose", "eye"] {
            assert!(matches!(text.parse::<Parts>(), Err(PartsError::Unknown { .. })), "{text}");
        }
        for text in ["", "  "] {
            assert_eq!(text.parse::<Parts>(), Err(PartsError::Empty));
        }
    }

    proptest! {
        #[test]
        fn a_list_is_read_as_it_is_written(parts in proptest::sample::subsequence(Part::ALL.to_vec(), 1..19)) {
            let parts = Parts(parts);
            prop_assert_eq!(parts.to_string().parse::<Parts>(), Ok(parts));
        }
    }
}
