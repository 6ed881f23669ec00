//! What a person wears.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// The colour of a shirt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Shirt {
    Red,
    Blue,
    Green,
    Yellow,
    Purple,
    Orange,
    Black,
    White,
}

impl Shirt {
    /// All colours.
    pub const ALL: [Shirt; 8] = [
        Shirt::Red,
        Shirt::Blue,
        Shirt::Green,
        Shirt::Yellow,
        Shirt::Purple,
        Shirt::Orange,
        Shirt::Black,
        Shirt::White,
    ];

    /// Each colour is as likely.
    pub(crate) fn draw(chance: &mut Chance) -> Shirt {
        chance.pick(Shirt::ALL)
    }

    /// The words a caption uses.
    pub fn phrase(self) -> &'static str {
        match self {
            Shirt::Red => "a red shirt",
            Shirt::Blue => "a blue shirt",
            Shirt::Green => "a green shirt",
            Shirt::Yellow => "a yellow shirt",
            Shirt::Purple => "a purple shirt",
            Shirt::Orange => "an orange shirt",
            Shirt::Black => "a black shirt",
            Shirt::White => "a white shirt",
        }
    }
}
