//! The traits of a face, as plain data.

use serde::{Deserialize, Serialize};

/// A face. Measures are factors around 1 unless stated otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// How the person is spoken of.
    pub gender: Gender,
    /// From very light (0) to very dark (1).
    pub skin: f32,
    /// From pinkish (-1) to olive (1).
    pub undertone: f32,
    /// Width of the head.
    pub face_width: f32,
    /// From a pointed (0) to a square jaw (1).
    pub jaw: f32,
    /// Size of the ears.
    pub ears: f32,
    /// From a low (0) to a high (1) forehead.
    pub hairline: f32,
    /// Cut of the hair.
    pub hair_style: HairStyle,
    /// Colour of hair, brows and beard.
    pub hair_colour: HairColour,
    /// Colour of the iris.
    pub eye_colour: EyeColour,
    /// Width of the eyes.
    pub eye_size: f32,
    /// Distance of the eyes.
    pub eye_spacing: f32,
    /// How far the lids are open.
    pub eye_openness: f32,
    /// From drooping (-1) to rising (1) outer corners.
    pub eye_tilt: f32,
    /// Thickness of the brows.
    pub brow_thickness: f32,
    /// From falling (-1) to rising (1) towards the temples.
    pub brow_slope: f32,
    /// Length of the nose.
    pub nose_length: f32,
    /// Width of the nose.
    pub nose_width: f32,
    /// Width of the mouth.
    pub mouth_width: f32,
    /// Fullness of the lips.
    pub lip_size: f32,
    /// From the skin's own colour (0) to a strong red (1).
    pub lip_colour: f32,
    /// Share of the cheeks that freckles cover; 0 for none.
    pub freckles: f32,
    /// Where each freckle lies.
    pub freckle_seed: u32,
    /// A dark spot.
    pub mole: Option<Mole>,
    /// Hair on lip, chin and cheeks, short of a full beard.
    pub facial_hair: FacialHair,
}

/// How a person is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Gender {
    /// "a woman"
    Woman,
    /// "a man"
    Man,
}

/// Cuts of hair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum HairStyle {
    Bald,
    Buzz,
    Short,
    SideParting,
    Quiff,
    Curly,
    Afro,
    Bob,
    Fringe,
    LongStraight,
    LongWavy,
    Ponytail,
    Bun,
}

/// Natural colours of hair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum HairColour {
    Black,
    DarkBrown,
    Brown,
    Auburn,
    Red,
    Blond,
    Platinum,
}

/// Colours of the iris.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum EyeColour {
    Brown,
    Hazel,
    Amber,
    Green,
    Blue,
    Grey,
}

/// Hair of the face. A full beard is no trait but something a caption asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum FacialHair {
    None,
    Stubble,
    Moustache,
    Goatee,
}

/// A dark spot of the skin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mole {
    /// To the right of the middle of the face, in half heights of the head.
    pub x: f32,
    /// Below the eyes, in half heights of the head.
    pub y: f32,
    /// Radius in half heights of the head.
    pub radius: f32,
}
