//! Subjects that are no people, so that another class of thing can be learned as well.

use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// A cat or a bear; the traits make it this one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Animal {
    /// Cat or bear.
    pub species: Species,
    /// Colour of the fur: an index of the species' palette, 0 to 4.
    pub fur: u8,
    /// How the fur is marked.
    pub marking: Marking,
    /// Colour of the eyes: 0 to 3.
    pub eyes: u8,
    /// Width of the head, around 1.
    pub width: f32,
    /// Size of the ears, around 1.
    pub ears: f32,
}

/// Kinds of animals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Species {
    Cat,
    Bear,
}

/// Patterns of fur.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Marking {
    /// One colour.
    Plain,
    /// Dark stripes.
    Striped,
    /// A white muzzle and chest.
    WhiteMuzzle,
    /// A dark patch over one eye.
    Patch,
}

/// A car seen from the side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Car {
    /// Colour of the body: 0 to 6.
    pub colour: u8,
    /// Form of the roof.
    pub body: CarBody,
    /// Radius of the wheels, around 1.
    pub wheels: f32,
    /// A stripe along the side.
    pub stripe: bool,
}

/// Forms of cars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum CarBody {
    Saloon,
    Hatchback,
    Van,
}

impl Animal {
    /// The cat of a seed.
    pub fn cat(seed: u64) -> Animal {
        Animal::draw(Species::Cat, &mut Chance::new(seed, "cat"))
    }

    /// The bear of a seed.
    pub fn bear(seed: u64) -> Animal {
        Animal::draw(Species::Bear, &mut Chance::new(seed, "bear"))
    }

    fn draw(species: Species, chance: &mut Chance) -> Animal {
        Animal {
            species,
            fur: chance.pick([0, 1, 2, 3, 4]),
            marking: match species {
                Species::Cat => chance.pick([Marking::Plain, Marking::Striped, Marking::WhiteMuzzle, Marking::Patch]),
                Species::Bear => chance.pick([Marking::Plain, Marking::WhiteMuzzle, Marking::Patch]),
            },
            eyes: chance.pick([0, 1, 2, 3]),
            width: chance.between(0.92, 1.1),
            ears: chance.between(0.8, 1.25),
        }
    }
}

impl Car {
    /// The car of a seed.
    pub fn of(seed: u64) -> Car {
        let chance = &mut Chance::new(seed, "car");
        Car {
            colour: chance.pick([0, 1, 2, 3, 4, 5, 6]),
            body: chance.pick([CarBody::Saloon, CarBody::Hatchback, CarBody::Van]),
            wheels: chance.between(0.9, 1.15),
            stripe: chance.happens(0.35),
        }
    }
}
