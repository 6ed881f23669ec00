//! How a person stands before the camera.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// How large a head is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Framing {
    /// The head fills most of the picture.
    CloseUp,
    /// Head and shoulders.
    Middle,
    /// Down to the waist.
    Distant,
}

/// Where in the picture a person stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Place {
    Left,
    Centre,
    Right,
}

/// How a head is held: small deviations from looking straight into the camera.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// To the left (-1) or right (1) of the picture, at most about 15 degrees.
    pub turn: f32,
    /// Up (-1) or down (1), at most about 8 degrees.
    pub nod: f32,
    /// Tilt clockwise, in turns.
    pub roll: f32,
}

/// Where the light comes from, and its colour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Light {
    /// From the left (-1) or right (1) of the picture.
    pub side: f32,
    /// From soft (0) to hard (1).
    pub contrast: f32,
    /// From cold (-1) to warm (1).
    pub warmth: f32,
    /// Factor on the brightness of everything, around 1.
    pub exposure: f32,
}

impl Framing {
    /// 55 % close-up, 33 % middle, 12 % distant: features of one to three pixels are hard to learn, so that large
    /// faces are the rule.
    pub(crate) fn draw(chance: &mut Chance) -> Framing {
        chance.weigh([(Framing::CloseUp, 55.0), (Framing::Middle, 33.0), (Framing::Distant, 12.0)])
    }

    /// The height of the head from crown to chin as a share of the side.
    pub(crate) fn head_height(self, chance: &mut Chance) -> f32 {
        match self {
            Framing::CloseUp => chance.between(0.62, 0.74),
            Framing::Middle => chance.between(0.44, 0.52),
            Framing::Distant => chance.between(0.3, 0.36),
        }
    }
}

impl Place {
    /// 60 % in the centre, 20 % on each side.
    pub(crate) fn draw(chance: &mut Chance) -> Place {
        chance.weigh([(Place::Centre, 60.0), (Place::Left, 20.0), (Place::Right, 20.0)])
    }
}

impl Pose {
    pub(crate) fn draw(chance: &mut Chance) -> Pose {
        Pose { turn: chance.around(0.0, 1.0), nod: chance.around(0.0, 1.0), roll: chance.around(0.0, 0.022) }
    }
}

impl Light {
    pub(crate) fn draw(chance: &mut Chance) -> Light {
        Light {
            side: chance.around(0.0, 1.0),
            contrast: chance.unit(),
            warmth: chance.around(0.0, 1.0),
            exposure: chance.between(0.92, 1.08),
        }
    }
}
