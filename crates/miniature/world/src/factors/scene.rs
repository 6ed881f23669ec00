//! Where a picture is taken.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// What lies behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Scene {
    Beach,
    Forest,
    Mountains,
    NightCity,
    EiffelTower,
    Garage,
    Garden,
    Kitchen,
    Library,
    Space,
    Desert,
    Wall(Wall),
}

/// The colour of a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Wall {
    White,
    Grey,
    Red,
    Blue,
    Green,
    Yellow,
    Purple,
}

impl Scene {
    /// All scenes.
    pub const ALL: [Scene; 18] = [
        Scene::Beach,
        Scene::Forest,
        Scene::Mountains,
        Scene::NightCity,
        Scene::EiffelTower,
        Scene::Garage,
        Scene::Garden,
        Scene::Kitchen,
        Scene::Library,
        Scene::Space,
        Scene::Desert,
        Scene::Wall(Wall::White),
        Scene::Wall(Wall::Grey),
        Scene::Wall(Wall::Red),
        Scene::Wall(Wall::Blue),
        Scene::Wall(Wall::Green),
        Scene::Wall(Wall::Yellow),
        Scene::Wall(Wall::Purple),
    ];

    /// A wall in 22 % of the pictures, otherwise one of the eleven places.
    pub(crate) fn draw(chance: &mut Chance) -> Scene {
        let wall =
            chance.pick([Wall::White, Wall::Grey, Wall::Red, Wall::Blue, Wall::Green, Wall::Yellow, Wall::Purple]);
        let place = chance.pick([
            Scene::Beach,
            Scene::Forest,
            Scene::Mountains,
            Scene::NightCity,
            Scene::EiffelTower,
            Scene::Garage,
            Scene::Garden,
            Scene::Kitchen,
            Scene::Library,
            Scene::Space,
            Scene::Desert,
        ]);
        if chance.happens(0.22) { Scene::Wall(wall) } else { place }
    }

    /// The words a caption uses.
    pub fn phrase(self) -> &'static str {
        match self {
            Scene::Beach => "at the beach",
            Scene::Forest => "in a forest",
            Scene::Mountains => "in front of snowy mountains",
            Scene::NightCity => "in a city at night",
            Scene::EiffelTower => "in front of the Eiffel Tower",
            Scene::Garage => "in a garage",
            Scene::Garden => "in a garden",
            Scene::Kitchen => "in a kitchen",
            Scene::Library => "in a library",
            Scene::Space => "in space",
            Scene::Desert => "in the desert",
            Scene::Wall(Wall::White) => "in front of a white wall",
            Scene::Wall(Wall::Grey) => "in front of a grey wall",
            Scene::Wall(Wall::Red) => "in front of a red wall",
            Scene::Wall(Wall::Blue) => "in front of a blue wall",
            Scene::Wall(Wall::Green) => "in front of a green wall",
            Scene::Wall(Wall::Yellow) => "in front of a yellow wall",
            Scene::Wall(Wall::Purple) => "in front of a purple wall",
        }
    }
}
