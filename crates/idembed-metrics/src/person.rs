//! The people that pictures are compared with.

use idembed_face::recognise::cosine;
use ndarray::Array1;
use serde::Serialize;

/// A face as each recogniser sees it: one embedding each, in their order.
pub(crate) type Seen = Vec<Array1<f32>>;

/// Somebody who was learned, as the instruments see the photo and other pictures.
#[derive(Clone, Debug)]
pub struct Person {
    pub(crate) name: String,
    /// The face in the photo learned from.
    pub(crate) photo: Seen,
    /// The faces in other pictures.
    pub(crate) others: Vec<Seen>,
    /// The whole photo as the main CLIP sees it.
    pub(crate) whole: Array1<f32>,
    /// The photo without the face as the main CLIP sees it.
    pub(crate) background: Array1<f32>,
}

impl Person {
    /// The name given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cosine of a face to the photo by one recogniser.
    pub(crate) fn likeness(&self, face: &Seen, recogniser: usize) -> f64 {
        alike(face, &self.photo, recogniser)
    }

    /// The mean cosine of a face to the other pictures by one recogniser; `None` if there are none.
    pub(crate) fn likeness_to_others(&self, face: &Seen, recogniser: usize) -> Option<f64> {
        mean(self.others.iter().map(|other| alike(face, other, recogniser)))
    }

    fn pictures(&self) -> impl Iterator<Item = &Seen> {
        std::iter::once(&self.photo).chain(&self.others)
    }
}

/// The ceiling and the floor of likeness: cosines of the main recogniser between pictures of the people themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct References {
    /// Of every two pictures of one person.
    pub true_pairs: Vec<f64>,
    /// Of every two pictures of two people.
    pub strangers: Vec<f64>,
}

impl References {
    /// The cosines among these people.
    pub fn of(people: &[&Person]) -> Self {
        let pictures: Vec<(usize, &Seen)> = people
            .iter()
            .enumerate()
            .flat_map(|(number, person)| person.pictures().map(move |picture| (number, picture)))
            .collect();
        let mut references = References::default();
        for (place, (person, picture)) in pictures.iter().enumerate() {
            for (other, another) in &pictures[place + 1..] {
                let list = if person == other { &mut references.true_pairs } else { &mut references.strangers };
                list.push(alike(picture, another, 0));
            }
        }
        references
    }
}

fn alike(a: &Seen, b: &Seen, recogniser: usize) -> f64 {
    match (a.get(recogniser), b.get(recogniser)) {
        (Some(a), Some(b)) => cosine(a.view(), b.view()).into(),
        _ => f64::NAN,
    }
}

/// The mean of some numbers; `None` of none.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.into_iter().fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
pub(crate) mod tests {
    use ndarray::array;

    use super::*;

    /// At this angle, in degrees: the cosine of two faces is that of the angle between them.
    pub(crate) fn face(degrees: f32) -> Seen {
        let (sin, cos) = degrees.to_radians().sin_cos();
        // For a second recogniser, all are twice as far from each other.
        let (sin2, cos2) = (2.0 * degrees).to_radians().sin_cos();
        vec![array![cos, sin], array![cos2, sin2]]
    }

    pub(crate) fn person(name: &str, photo: f32, others: &[f32]) -> Person {
        Person {
            name: name.to_owned(),
            photo: face(photo),
            others: others.iter().map(|degrees| face(*degrees)).collect(),
            whole: array![1.0, 0.0],
            background: array![0.0, 1.0],
        }
    }

    pub(crate) fn cos(degrees: f64) -> f64 {
        degrees.to_radians().cos()
    }

    fn close(ours: &[f64], expected: &[f64]) -> bool {
        ours.len() == expected.len() && ours.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn every_two_pictures_are_a_pair_or_strangers() {
        let (anna, berta, carla) =
            (person("anna", 0.0, &[10.0, 30.0]), person("berta", 90.0, &[]), person("carla", 180.0, &[]));
        let References { true_pairs, strangers } = References::of(&[&anna, &berta, &carla]);
        assert!(close(&true_pairs, &[cos(10.0), cos(30.0), cos(20.0)]), "{true_pairs:?}");
        let expected = [0.0, -1.0, cos(80.0), cos(170.0), cos(60.0), cos(150.0), 0.0];
        assert!(close(&strangers, &expected), "{strangers:?}");
        assert_eq!(References::of(&[&berta]), References::default());
        assert_eq!(References::of(&[]), References::default());
    }
}
