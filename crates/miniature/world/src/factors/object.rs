//! What a person holds.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// A thing held in a hand, on the right side of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Object {
    Basketball,
    Cup,
    Book,
    Guitar,
    Flower,
    Balloon,
}

impl Object {
    /// All objects.
    pub const ALL: [Object; 6] =
        [Object::Basketball, Object::Cup, Object::Book, Object::Guitar, Object::Flower, Object::Balloon];

    /// Half of the people hold something; each object is as likely.
    pub(crate) fn draw(chance: &mut Chance) -> Option<Object> {
        let object = chance.pick(Object::ALL);
        chance.happens(0.5).then_some(object)
    }

    /// The words a caption uses.
    pub fn phrase(self) -> &'static str {
        match self {
            Object::Basketball => "a basketball",
            Object::Cup => "a cup",
            Object::Book => "a book",
            Object::Guitar => "a guitar",
            Object::Flower => "a flower",
            Object::Balloon => "a balloon",
        }
    }
}
