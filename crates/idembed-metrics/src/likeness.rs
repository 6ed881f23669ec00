//! How much faces are like the people they should be.

use crate::person::{Person, Seen, mean};
use crate::scored::{Scores, put};

/// The scores of a picture by its faces: of each person asked for, the face that is taken for them.
///
/// - `id`: cosine to the photo; without a face 0
/// - `id_found`: the same, only where there is a face
/// - `id_others`: mean cosine to the other pictures; without a face 0; only where there are any
/// - `copy`: `id` less `id_others`, only where there is a face
/// - `id@NAME`, `id_others@NAME`: by a further recogniser
///
/// Of two people each is the mean over both: of `id_found` and `copy` over those who have a face.
pub(crate) fn likeness(people: &[(&Person, Option<&Seen>)], recognisers: &[&str]) -> Scores {
    let mut scores = Scores::new();
    for (number, name) in recognisers.iter().enumerate() {
        let at = |score: &str| if number == 0 { score.to_owned() } else { format!("{score}@{name}") };
        let id = |(person, face): &(&Person, Option<&Seen>)| face.map(|face| person.likeness(face, number));
        let others = |(person, face): &(&Person, Option<&Seen>)| {
            // Without a face 0, but only of somebody of whom there are other pictures.
            let compared = face.map_or(Some(0.0), |face| person.likeness_to_others(face, number));
            compared.filter(|_| !person.others.is_empty())
        };
        put(&mut scores, at("id"), mean(people.iter().map(|one| id(one).unwrap_or(0.0))));
        put(&mut scores, at("id_others"), mean(people.iter().filter_map(others)));
        if number == 0 {
            put(&mut scores, "id_found", mean(people.iter().filter_map(id)));
            put(&mut scores, "copy", mean(people.iter().filter_map(|one| Some(id(one)? - others(one)?))));
        }
    }
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person::tests::{cos, face, person};

    fn check(people: &[(&Person, Option<&Seen>)], expected: &[(&str, f64)]) {
        let scores = likeness(people, &["first", "second"]);
        assert_eq!(scores.len(), expected.len(), "{scores:?}");
        for (name, value) in expected {
            assert!((scores[*name] - value).abs() < 1e-6, "{name}: {scores:?}");
        }
    }

    #[test]
    fn a_face_is_compared_with_the_photo_and_the_others() {
        let (anna, seen) = (person("anna", 0.0, &[20.0, 40.0]), face(10.0));
        let others = (cos(10.0) + cos(30.0)) / 2.0;
        check(
            &[(&anna, Some(&seen))],
            &[
                ("id", cos(10.0)),
                ("id_found", cos(10.0)),
                ("id_others", others),
                ("copy", cos(10.0) - others),
                ("id@second", cos(20.0)),
                ("id_others@second", (cos(20.0) + cos(60.0)) / 2.0),
            ],
        );
    }

    #[test]
    fn a_missing_face_is_nothing_like_anybody() {
        let anna = person("anna", 0.0, &[20.0]);
        check(&[(&anna, None)], &[("id", 0.0), ("id_others", 0.0), ("id@second", 0.0), ("id_others@second", 0.0)]);
    }

    #[test]
    fn without_other_pictures_nothing_is_said_of_them() {
        let (anna, seen) = (person("anna", 0.0, &[]), face(30.0));
        let expected = [("id", cos(30.0)), ("id_found", cos(30.0)), ("id@second", cos(60.0))];
        check(&[(&anna, Some(&seen))], &expected);
        check(&[(&anna, None)], &[("id", 0.0), ("id@second", 0.0)]);
    }

    #[test]
    fn two_people_count_alike() {
        let (anna, berta) = (person("anna", 0.0, &[0.0]), person("berta", 90.0, &[]));
        let seen = face(30.0);
        check(
            &[(&anna, Some(&seen)), (&berta, None)],
            &[
                ("id", cos(30.0) / 2.0),
                ("id_found", cos(30.0)),
                ("id_others", cos(30.0)),
                ("copy", 0.0),
                ("id@second", cos(60.0) / 2.0),
                ("id_others@second", cos(60.0)),
            ],
        );
    }
}
