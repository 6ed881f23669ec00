//! The colours of a person.

use crate::factors::{Dye, Shirt};
use crate::identity::{EyeColour, HairColour, HairStyle};
use crate::raster::Rgb;
use crate::sample::Person;

/// The colours of a person.
#[derive(Clone, Copy)]
pub(super) struct Tones {
    /// Lit skin.
    pub(super) skin: Rgb,
    /// Hair of the head.
    pub(super) hair: Rgb,
    /// Brows and beard.
    pub(super) brow: Rgb,
    /// Lips.
    pub(super) lips: Rgb,
    /// Iris.
    pub(super) iris: Rgb,
    /// Shirt.
    pub(super) shirt: Rgb,
}

/// From very light to very dark.
const SKINS: [u32; 8] = [0xf7d9c6, 0xefc5a8, 0xe2ae8a, 0xcf946c, 0xb67d56, 0x976343, 0x7a4e36, 0x603d2c];

impl Tones {
    pub(super) fn of(person: &Person) -> Tones {
        let identity = person.identity;
        let skin = skin(identity.skin, identity.undertone);
        let natural = match identity.hair_colour {
            HairColour::Black => 0x1d1a1c,
            HairColour::DarkBrown => 0x3a271d,
            HairColour::Brown => 0x6a452b,
            HairColour::Auburn => 0x7c3420,
            HairColour::Red => 0xb9532a,
            HairColour::Blond => 0xcfa45e,
            HairColour::Platinum => 0xe8d8b0,
        };
        let old = person.attributes.old;
        let natural = if old { Rgb::hex(0xbfc0c2).mix(Rgb::hex(natural), 0.12) } else { Rgb::hex(natural) };
        let hair = match person.attributes.dye {
            Dye::None => natural,
            Dye::Blue => Rgb::hex(0x2f6be0),
            Dye::Pink => Rgb::hex(0xf26bb0),
            Dye::Green => Rgb::hex(0x3fae4c),
        };
        let lips =
            skin.times(Rgb::hex(0xe59a90)).mix(Rgb::hex(0xb02a3c), 0.6 * identity.lip_colour * identity.lip_colour);
        Tones {
            skin,
            hair,
            brow: apart(natural.mix(Rgb::hex(0x2a1b14), if old { 0.3 } else { 0.45 }), skin, old),
            lips,
            iris: Rgb::hex(match identity.eye_colour {
                EyeColour::Brown => 0x5a3417,
                EyeColour::Hazel => 0x86682c,
                EyeColour::Amber => 0xb87a24,
                EyeColour::Green => 0x4f9150,
                EyeColour::Blue => 0x3f86d0,
                EyeColour::Grey => 0x8296a4,
            }),
            shirt: shirt(person.shirt),
        }
    }
}

/// The cut that is visible: dye on a shaven head needs hair to hold on to.
pub(crate) fn visible_style(person_style: HairStyle, dye: Dye) -> HairStyle {
    match person_style {
        HairStyle::Bald | HairStyle::Buzz if dye != Dye::None => HairStyle::Short,
        style => style,
    }
}

/// Hair of the face must stand out from the skin: grey hair lighter, other hair darker, where there is room.
fn apart(hair: Rgb, skin: Rgb, grey: bool) -> Rgb {
    const DISTANCE: f32 = 0.2;
    let (own, ground) = (hair.luma(), skin.luma());
    let (dark, light) = (ground - DISTANCE, ground + DISTANCE);
    if (own - ground).abs() >= DISTANCE {
        hair
    } else if dark > 0.06 && !(grey && light < 0.85) {
        hair.lit(dark / own)
    } else {
        hair.mix(Rgb::WHITE, (light - own) / (1.0 - own))
    }
}

fn skin(darkness: f32, undertone: f32) -> Rgb {
    let place = darkness.clamp(0.0, 1.0) * (SKINS.len() - 1) as f32;
    let index = (place as usize).min(SKINS.len() - 2);
    let tone = Rgb::hex(SKINS[index]).mix(Rgb::hex(SKINS[index + 1]), place - index as f32);
    let olive = Rgb([1.0, 1.0 + 0.025 * undertone, 1.0 - 0.05 * undertone]);
    tone.times(olive)
}

fn shirt(shirt: Shirt) -> Rgb {
    Rgb::hex(match shirt {
        Shirt::Red => 0xc7262c,
        Shirt::Blue => 0x2f57b8,
        Shirt::Green => 0x2f8a4a,
        Shirt::Yellow => 0xf0c636,
        Shirt::Purple => 0x7e43a5,
        Shirt::Orange => 0xea7a26,
        Shirt::Black => 0x26262b,
        Shirt::White => 0xeeeeea,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sample;

    #[test]
    fn brows_and_beards_stand_out_from_every_skin() {
        for person in (0..3000).map(Sample::training).flat_map(|sample| sample.people().to_vec()) {
            let tones = Tones::of(&person);
            let distance = (tones.brow.luma() - tones.skin.luma()).abs();
            assert!(distance > 0.19, "{distance} for {:?}", person.identity);
        }
    }
}
