//! The plan of one picture: who and what is in it, as plain data.

use serde::{Deserialize, Serialize};

use crate::chance::{Chance, scramble};
use crate::factors::{Attributes, Framing, Light, Object, Place, Pose, Scene, Shirt, Style};
use crate::identity::{Identity, NAMED, Who};
use crate::things::{Animal, Car};

/// Everything that decides a picture. The fields may be changed before drawing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// What is not worth a factor of its own: where each tree stands, the exact size of a head.
    pub seed: u64,
    /// Who or what is shown.
    pub subject: Subject,
    /// Where.
    pub scene: Scene,
    /// How the picture is made.
    pub style: Style,
    /// How near.
    pub framing: Framing,
    /// Where in the picture.
    pub place: Place,
    /// How it is lit.
    pub light: Light,
}

/// Who or what is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Subject {
    /// One person.
    Person(Box<Person>),
    /// Two people, the left one first. They hold nothing and stand too far away for a close-up.
    Pair(Box<[Person; 2]>),
    /// A cat or a bear.
    Animal(Animal),
    /// A car.
    Car(Car),
}

/// A person as this picture shows them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Person {
    /// Who it is.
    pub who: Who,
    /// The traits of `who`.
    pub identity: Identity,
    /// What the face does and wears.
    pub attributes: Attributes,
    /// The colour of the shirt.
    pub shirt: Shirt,
    /// What is in the hand.
    pub object: Option<Object>,
    /// How the head is held.
    pub pose: Pose,
}

impl Sample {
    /// A picture for training: 76 % one person, 14 % two, 10 % a cat, a bear or a car. Each person is a named one with
    /// 60 %, otherwise somebody of the street; never a held-out one.
    pub fn training(seed: u64) -> Sample {
        let mut chance = Chance::new(seed, "subject");
        let kind = chance.unit();
        if kind < 0.76 {
            Sample::portrait(passer_by(seed, 0), seed)
        } else if kind < 0.9 {
            let left = passer_by(seed, 0);
            let right = passer_by(seed, 1);
            // Nobody stands beside themselves.
            let right = if right == left { passer_by(seed, 2) } else { right };
            Sample::pair([left, right], seed)
        } else {
            let kind = chance.pick([Kind::Cat, Kind::Bear, Kind::Car]);
            let which = chance.bits();
            let subject = match kind {
                Kind::Cat => Subject::Animal(Animal::cat(which)),
                Kind::Bear => Subject::Animal(Animal::bear(which)),
                Kind::Car => Subject::Car(Car::of(which)),
            };
            Sample::of(subject, seed)
        }
    }

    /// A picture of this person; all else is drawn from the seed alone.
    pub fn portrait(who: Who, seed: u64) -> Sample {
        let mut person = Person::draw(who, seed, 0);
        person.object = Object::draw(&mut Chance::new(seed, "object"));
        Sample::of(Subject::Person(Box::new(person)), seed)
    }

    /// A photo of this person from near, with nothing in the hand, on the head or in the face that is not theirs.
    pub fn plain(who: Who, seed: u64) -> Sample {
        let person = Person { attributes: Attributes::default(), ..Person::draw(who, seed, 0) };
        let sample = Sample::of(Subject::Person(Box::new(person)), seed);
        Sample { style: Style::Photo, framing: Framing::CloseUp, place: Place::Centre, ..sample }
    }

    /// A picture of these two people, the left one first.
    pub fn pair(who: [Who; 2], seed: u64) -> Sample {
        let [left, right] = who;
        Sample::of(Subject::Pair(Box::new([Person::draw(left, seed, 0), Person::draw(right, seed, 1)])), seed)
    }

    /// A picture of anything. Two people are never a close-up, and never aside.
    pub fn of(subject: Subject, seed: u64) -> Sample {
        let mut framing = Framing::draw(&mut Chance::new(seed, "framing"));
        let mut place = Place::draw(&mut Chance::new(seed, "place"));
        if matches!(subject, Subject::Pair(_)) {
            (framing, place) = (Framing::Middle, Place::Centre);
        }
        Sample {
            seed,
            subject,
            scene: Scene::draw(&mut Chance::new(seed, "scene")),
            style: Style::draw(&mut Chance::new(seed, "style")),
            framing,
            place,
            light: Light::draw(&mut Chance::new(seed, "light")),
        }
    }

    /// The people in the picture, from left to right.
    pub fn people(&self) -> &[Person] {
        match &self.subject {
            Subject::Person(person) => std::slice::from_ref(person),
            Subject::Pair(people) => people.as_slice(),
            Subject::Animal(_) | Subject::Car(_) => &[],
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Cat,
    Bear,
    Car,
}

impl Person {
    /// How this person looks in the picture of a seed, as the first (0) or second (1) one in it.
    fn draw(who: Who, seed: u64, position: u64) -> Person {
        let chance = |purpose| Chance::new(own_seed(seed, position), purpose);
        Person {
            who,
            identity: who.identity(),
            attributes: Attributes::draw(&mut chance("attributes")),
            shirt: Shirt::draw(&mut chance("shirt")),
            object: None,
            pose: Pose::draw(&mut chance("pose")),
        }
    }
}

/// Somebody for training.
fn passer_by(seed: u64, position: u64) -> Who {
    let mut chance = Chance::new(own_seed(seed, position), "who");
    let (index, stranger) = ((chance.bits() % u64::from(NAMED)) as u32, chance.bits());
    if chance.happens(0.6) { Who::Named(index) } else { Who::Passer(stranger) }
}

/// The seed of the first (0) or second (1) person in a picture. It is that of no other picture, whatever is done with
/// the highest bits.
pub(crate) fn own_seed(seed: u64, position: u64) -> u64 {
    if position == 0 { seed } else { scramble(seed ^ position) }
}
