//! How often each trait occurs.

use super::{EyeColour, FacialHair, Gender, HairColour, HairStyle, Identity, Mole};
use crate::chance::Chance;

/// The identity of a seed in a crowd.
///
/// Half are men. Of the traits that tell people apart at a glance, rare ones are frequent here: freckles 25 %, a mole
/// 30 %, red hair up to 14 %. Light hair and eyes are rare on dark skin, as among real people.
pub(super) fn identity(seed: u64, crowd: &str) -> Identity {
    let chance = &mut Chance::new(seed, crowd);
    let gender = chance.pick([Gender::Woman, Gender::Man]);
    let skin = chance.unit();
    Identity {
        gender,
        skin,
        undertone: chance.around(0.0, 1.0),
        face_width: chance.between(0.84, 1.13),
        jaw: match gender {
            Gender::Woman => chance.between(0.0, 0.7),
            Gender::Man => chance.between(0.25, 1.0),
        },
        ears: chance.between(0.75, 1.3),
        hairline: chance.unit(),
        hair_style: hair_style(chance, gender),
        hair_colour: hair_colour(chance, skin),
        eye_colour: eye_colour(chance, skin),
        eye_size: chance.between(0.82, 1.2),
        eye_spacing: chance.between(0.87, 1.14),
        eye_openness: chance.between(0.68, 1.25),
        eye_tilt: chance.between(-1.0, 1.0),
        brow_thickness: match gender {
            Gender::Woman => chance.between(0.45, 1.3),
            Gender::Man => chance.between(0.7, 1.85),
        },
        brow_slope: chance.between(-1.0, 1.0),
        nose_length: chance.between(0.82, 1.18),
        nose_width: chance.between(0.68, 1.42),
        mouth_width: chance.between(0.74, 1.26),
        lip_size: chance.between(0.55, 1.55),
        lip_colour: match gender {
            Gender::Woman => chance.between(0.2, 1.0),
            Gender::Man => chance.between(0.0, 0.35),
        },
        freckles: if chance.happens(0.25) { chance.between(0.35, 1.0) } else { 0.0 },
        freckle_seed: chance.bits() as u32,
        mole: mole(chance),
        facial_hair: match gender {
            Gender::Woman => FacialHair::None,
            Gender::Man => chance.weigh([
                (FacialHair::None, 5.0),
                (FacialHair::Stubble, 2.0),
                (FacialHair::Moustache, 1.5),
                (FacialHair::Goatee, 1.5),
            ]),
        },
    }
}

fn hair_style(chance: &mut Chance, gender: Gender) -> HairStyle {
    use HairStyle::*;
    match gender {
        Gender::Woman => chance.weigh([
            (LongStraight, 4.0),
            (LongWavy, 4.0),
            (Bob, 3.0),
            (Fringe, 3.0),
            (Ponytail, 2.5),
            (Bun, 2.5),
            (Curly, 2.0),
            (Afro, 2.0),
            (SideParting, 1.5),
            (Short, 1.0),
        ]),
        Gender::Man => chance.weigh([
            (Short, 4.0),
            (SideParting, 3.5),
            (Quiff, 3.0),
            (Buzz, 2.5),
            (Bald, 2.5),
            (Curly, 2.5),
            (Afro, 2.0),
            (LongStraight, 1.0),
            (LongWavy, 1.0),
        ]),
    }
}

fn hair_colour(chance: &mut Chance, skin: f32) -> HairColour {
    use HairColour::*;
    let light = 1.0 - 0.9 * skin;
    chance.weigh([
        (Black, 2.0 + 4.0 * skin),
        (DarkBrown, 3.0),
        (Brown, 1.0 + 2.0 * light),
        (Auburn, 1.2),
        (Red, 1.8 * light),
        (Blond, 2.8 * light),
        (Platinum, 1.0 * light),
    ])
}

fn eye_colour(chance: &mut Chance, skin: f32) -> EyeColour {
    use EyeColour::*;
    let light = 1.0 - 0.85 * skin;
    chance.weigh([
        (Brown, 1.5 + 3.0 * skin),
        (Hazel, 1.2),
        (Amber, 0.8),
        (Green, 1.8 * light),
        (Blue, 2.4 * light),
        (Grey, 1.0 * light),
    ])
}

fn mole(chance: &mut Chance) -> Option<Mole> {
    let side = chance.pick([-1.0, 1.0]);
    // Cheek, beside the mouth, chin, above the brow.
    let (x, y) = chance.pick([(0.42, 0.32), (0.33, 0.5), (0.2, 0.83), (0.3, -0.38)]);
    let place = (side * chance.around(x, 0.06), chance.around(y, 0.05));
    let radius = chance.between(0.024, 0.036);
    chance.happens(0.3).then_some(Mole { x: place.0, y: place.1, radius })
}
