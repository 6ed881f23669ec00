//! What makes a person this person: everything that stays the same from picture to picture.

mod draw;
mod names;
mod traits;

pub use names::{NAMED, name};
pub use traits::{EyeColour, FacialHair, Gender, HairColour, HairStyle, Identity, Mole};

use serde::{Deserialize, Serialize};

/// Which person; decides the [`Identity`] completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Who {
    /// One of the [`NAMED`] people, whom a model may learn by name.
    Named(u32),
    /// Anyone else, to be called "a person", "a man" or "a woman".
    Passer(u64),
    /// Kept out of all training: who the users of a model are.
    HeldOut(u64),
}

impl Who {
    /// The traits of this person.
    pub fn identity(self) -> Identity {
        // The purpose keeps the three crowds apart: the same number is another sequence of draws.
        match self {
            Who::Named(index) => draw::identity(u64::from(index), "named identity"),
            Who::Passer(seed) => draw::identity(seed, "passing identity"),
            Who::HeldOut(seed) => draw::identity(seed, "held-out identity"),
        }
    }

    /// The name, of those who have one.
    pub fn name(self) -> Option<String> {
        match self {
            Who::Named(index) => Some(name(index)),
            Who::Passer(_) | Who::HeldOut(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Bits of the continuous traits: equal only where the draws are.
    fn key(identity: &Identity) -> [u32; 4] {
        [identity.skin, identity.face_width, identity.eye_spacing, identity.nose_length].map(f32::to_bits)
    }

    #[test]
    fn no_held_out_identity_is_drawn_in_training() {
        let seen: HashSet<_> = (0..NAMED).map(Who::Named).chain((0..5000).map(Who::Passer)).collect();
        let seen: HashSet<_> = seen.into_iter().map(|who| key(&who.identity())).collect();
        assert!(seen.len() > 5100);
        assert!((0..1000).all(|seed| !seen.contains(&key(&Who::HeldOut(seed).identity()))));
    }

    #[test]
    fn only_the_named_have_names() {
        assert!(Who::Named(3).name().is_some());
        assert!(Who::Passer(3).name().is_none() && Who::HeldOut(3).name().is_none());
    }
}
