//! What a face does and wears.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// What a caption can ask of a face. The six factors are drawn independently, except that dyed hair comes without
/// headwear, which would hide it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attributes {
    /// What the mouth says.
    pub expression: Expression,
    /// Whether and how the eyes can be seen.
    pub eyes: Eyes,
    /// On the head.
    pub headwear: Headwear,
    /// Dyed hair.
    pub dye: Dye,
    /// Grey and wrinkled.
    pub old: bool,
    /// A full beard.
    pub beard: bool,
}

/// What the mouth says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Expression {
    #[default]
    Neutral,
    Smiling,
    /// With an open mouth.
    Laughing,
    Sad,
}

/// Whether and how the eyes can be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Eyes {
    #[default]
    Open,
    Closed,
    Sunglasses,
}

/// On the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Headwear {
    #[default]
    None,
    Hat,
    Cap,
}

/// Dyed hair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Dye {
    #[default]
    None,
    Blue,
    Pink,
    Green,
}

impl Attributes {
    /// Expression: 40 % neutral, 26 % smiling, 17 % laughing, 17 % sad. Eyes: 14 % closed, 14 % behind sunglasses.
    /// Headwear: 12 % hat, 12 % cap. Without headwear: 7 % blue, 7 % pink, 7 % green hair. Old 14 %, beard 12 %.
    pub(crate) fn draw(chance: &mut Chance) -> Attributes {
        let expression = chance.weigh([
            (Expression::Neutral, 40.0),
            (Expression::Smiling, 26.0),
            (Expression::Laughing, 17.0),
            (Expression::Sad, 17.0),
        ]);
        let eyes = chance.weigh([(Eyes::Open, 72.0), (Eyes::Closed, 14.0), (Eyes::Sunglasses, 14.0)]);
        let headwear = chance.weigh([(Headwear::None, 76.0), (Headwear::Hat, 12.0), (Headwear::Cap, 12.0)]);
        let dye = chance.weigh([(Dye::None, 79.0), (Dye::Blue, 7.0), (Dye::Pink, 7.0), (Dye::Green, 7.0)]);
        let dye = if headwear == Headwear::None { dye } else { Dye::None };
        Attributes { expression, eyes, headwear, dye, old: chance.happens(0.14), beard: chance.happens(0.12) }
    }

    /// The words a caption uses, in its order; a default has none.
    pub fn phrases(&self) -> Vec<&'static str> {
        let expression = match self.expression {
            Expression::Neutral => None,
            Expression::Smiling => Some("smiling"),
            Expression::Laughing => Some("laughing with open mouth"),
            Expression::Sad => Some("looking sad"),
        };
        let eyes = match self.eyes {
            Eyes::Open => None,
            Eyes::Closed => Some("with eyes closed"),
            Eyes::Sunglasses => Some("wearing sunglasses"),
        };
        let headwear = match self.headwear {
            Headwear::None => None,
            Headwear::Hat => Some("wearing a hat"),
            Headwear::Cap => Some("wearing a cap"),
        };
        let dye = match self.dye {
            Dye::None => None,
            Dye::Blue => Some("with blue hair"),
            Dye::Pink => Some("with pink hair"),
            Dye::Green => Some("with green hair"),
        };
        let beard = self.beard.then_some("with a beard");
        [expression, dye, beard, eyes, headwear].into_iter().flatten().collect()
    }
}
