//! Whether two people were drawn as two, each where the prompt has them.

/// What the faces of a picture of two people say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    /// The share of faces that are more like the other person than the one whose place they have; `None` without a face.
    pub(crate) mix_up: Option<f64>,
    /// Whether both people are there: the face most like each is another one, and more like that person than the other.
    pub(crate) both: bool,
    /// Whether two faces are more like the same person.
    pub(crate) duplicates: bool,
    /// For each person, the number of the face that is taken for them, such that both together are most alike.
    pub(crate) faces: [Option<usize>; 2],
}

/// Compares the faces of a picture, two at most and from left to right, with two people.
///
/// `likeness` has for each face its cosines to both people, the one whom the prompt names first at 0. That one is expected on the
/// left. `alone_on_the_right` tells where a single face is.
pub(crate) fn pair(likeness: &[[f64; 2]], alone_on_the_right: bool) -> Pair {
    let nearest = |of: &[f64; 2]| usize::from(of[1] > of[0]);
    match *likeness {
        [alone] => {
            let (person, place) = (nearest(&alone), usize::from(alone_on_the_right));
            let mut faces = [None; 2];
            faces[person] = Some(0);
            Pair { mix_up: Some(f64::from(u8::from(person != place))), both: false, duplicates: false, faces }
        }
        [left, right, ..] => {
            let people = [nearest(&left), nearest(&right)];
            let wrong = usize::from(people[0] != 0) + usize::from(people[1] != 1);
            let most_alike = [0, 1].map(|person| usize::from(right[person] > left[person]));
            let each_its_own = [0, 1].map(|person| people[most_alike[person]] == person) == [true; 2];
            let crossed = left[1] + right[0] > left[0] + right[1];
            Pair {
                mix_up: Some(wrong as f64 / 2.0),
                both: most_alike[0] != most_alike[1] && each_its_own,
                duplicates: people[0] == people[1],
                faces: if crossed { [Some(1), Some(0)] } else { [Some(0), Some(1)] },
            }
        }
        [] => Pair { mix_up: None, both: false, duplicates: false, faces: [None; 2] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_in_place() {
        let expected = Pair { mix_up: Some(0.0), both: true, duplicates: false, faces: [Some(0), Some(1)] };
        assert_eq!(pair(&[[0.8, 0.1], [0.2, 0.7]], false), expected);
    }

    #[test]
    fn both_the_other_way_round() {
        let expected = Pair { mix_up: Some(1.0), both: true, duplicates: false, faces: [Some(1), Some(0)] };
        assert_eq!(pair(&[[0.1, 0.8], [0.7, 0.2]], false), expected);
    }

    #[test]
    fn one_person_twice() {
        let expected = Pair { mix_up: Some(0.5), both: false, duplicates: true, faces: [Some(0), Some(1)] };
        assert_eq!(pair(&[[0.8, 0.1], [0.7, 0.3]], false), expected);
        let expected = Pair { faces: [Some(1), Some(0)], ..expected };
        assert_eq!(pair(&[[0.3, 0.5], [0.7, 0.8]], false), expected);
    }

    /// The right face is more like the second person, but also more like the first one than the left face is.
    #[test]
    fn a_face_that_is_most_like_both_is_no_two_people() {
        let expected = Pair { mix_up: Some(0.0), both: false, duplicates: false, faces: [Some(0), Some(1)] };
        assert_eq!(pair(&[[0.3, 0.2], [0.5, 0.6]], false), expected);
    }

    #[test]
    fn a_face_alone_is_compared_with_the_one_whose_side_it_is_on() {
        let expected = Pair { mix_up: Some(0.0), both: false, duplicates: false, faces: [None, Some(0)] };
        assert_eq!(pair(&[[0.3, 0.4]], true), expected);
        assert_eq!(pair(&[[0.3, 0.4]], false), Pair { mix_up: Some(1.0), ..expected });
        assert_eq!(pair(&[[0.4, 0.3]], false), Pair { faces: [Some(0), None], ..expected });
    }

    #[test]
    fn no_face_says_nothing_of_places() {
        assert_eq!(pair(&[], true), Pair { mix_up: None, both: false, duplicates: false, faces: [None; 2] });
    }
}
