//! The order of the looks, with a detector that sees what the test wants.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use image::Rgb;

use super::*;
use crate::geometry::{FaceBox, Landmarks};

fn face_at(left: f64, score: f64) -> Face {
    let bounds = FaceBox { left, top: 9.5, right: left + 20.0, bottom: 31.5 };
    let landmarks = Landmarks::from_points([(); 5].map(|()| Point::new(left, 9.5)));
    Face { bounds, landmarks, score }
}

/// A black picture with a white upper left corner: tells the turns apart.
fn marked(width: u32, height: u32) -> RgbImage {
    let mut picture = RgbImage::new(width, height);
    for (x, y) in (0..height / 4).flat_map(|y| (0..width / 4).map(move |x| (x, y))) {
        picture[(x, y)] = Rgb([255; 3]);
    }
    picture
}

/// How a look at [`marked`] was turned, and whether there is a margin.
fn seen_as(picture: &RgbImage) -> (Turn, bool) {
    let (width, height) = picture.dimensions();
    let padded = picture[(0, 0)][0] == 128;
    let (left, top) = if padded { (width / 3 + 2, height / 3 + 2) } else { (1, 1) };
    let corners =
        [(left, top), (width - 1 - left, top), (width - 1 - left, height - 1 - top), (left, height - 1 - top)];
    let turns = [Turn::None, Turn::Quarter, Turn::Half, Turn::ThreeQuarters];
    let white = corners.iter().position(|&corner| picture[corner][0] > 200).unwrap();
    (turns[white], padded)
}

fn said(found: &Search) -> Vec<String> {
    found.attempts.iter().map(Attempt::to_string).collect()
}

#[test]
fn a_sure_face_in_the_picture_as_it_is_needs_no_second_look() {
    let picture = RgbImage::new(60, 40);
    let found = search_with(picture.clone(), |_| Ok(vec![face_at(5.0, 0.5), face_at(30.0, 0.99)])).unwrap();
    assert_eq!(found.faces, [face_at(5.0, 0.5), face_at(30.0, 0.99)]);
    assert_eq!((found.view, found.attempts.len(), found.picture), (View::PLAIN, 1, picture));
}

#[test]
fn a_small_picture_is_enlarged_and_its_face_brought_back() {
    let only_enlarged =
        |picture: &RgbImage| Ok(if picture.width() == 120 { vec![face_at(9.5, 0.995)] } else { Vec::new() });
    let found = search_with(RgbImage::new(60, 40), only_enlarged).unwrap();
    assert_eq!(found.faces[0].bounds, FaceBox { left: 4.5, top: 4.5, right: 14.5, bottom: 15.5 });
    assert_eq!(found.faces[0].landmarks.nose, Point::new(4.5, 4.5));
    assert_eq!(said(&found), ["as it is (60 x 40 pixels)", "enlarged 2 times (120 x 80 pixels)"]);
}

#[test]
fn a_margin_comes_before_turns() {
    let only_padded = |picture: &RgbImage| {
        let (turn, padded) = seen_as(picture);
        assert_eq!(turn, Turn::None);
        let landmarks = Landmarks::from_points([Point::new(532.0, 300.0); 5]);
        Ok(if padded { vec![Face { landmarks, ..face_at(532.0, 0.999) }] } else { vec![] })
    };
    // A look at 512 x 256 in the middle of 1536 x 768; the face at 20, -246.5 there is twice as large in the picture.
    let found = search_with(marked(1024, 512), only_padded).unwrap();
    assert_eq!(found.faces[0].bounds, FaceBox { left: 40.5, top: -492.5, right: 80.5, bottom: -448.5 });
    assert_eq!(said(&found), ["as it is (1024 x 512 pixels)", "reduced, with a grey margin (1536 x 768 pixels)"]);
    assert_eq!(found.picture, marked(1024, 512));
}

#[test]
fn a_face_with_landmarks_outside_of_the_picture_is_looked_at_with_a_margin() {
    let search = |score: f64| {
        let landmarks = Landmarks::from_points([Point::new(600.0, 600.0); 5]);
        let detect = |picture: &RgbImage| {
            Ok(match seen_as(picture) {
                (Turn::None, false) => vec![face_at(-20.0, 1.0)],
                (_, true) => vec![Face { landmarks, ..face_at(600.0, score) }],
                _ => vec![],
            })
        };
        search_with(marked(512, 512), detect).unwrap()
    };
    let found = search(0.995);
    assert!(found.view.padded && found.faces[0].bounds.left == 88.0, "{:?}", found.faces);
    assert_eq!(search(0.98).faces, [face_at(-20.0, 1.0)]);
}

#[test]
fn the_surest_turn_wins_and_the_picture_stays_turned() {
    for wanted in Turn::OTHERS {
        let detect = |picture: &RgbImage| {
            Ok(match seen_as(picture) {
                (Turn::None, _) | (_, true) => vec![],
                (turn, false) if turn == wanted => vec![face_at(5.0, 0.999)],
                _ => vec![face_at(7.0, 0.97)],
            })
        };
        let found = search_with(marked(600, 520), detect).unwrap();
        assert_eq!((found.view, found.faces), (View { turned: wanted, ..View::PLAIN }, vec![face_at(5.0, 0.999)]));
        assert_eq!(found.picture, wanted.of(&marked(600, 520)));
        assert_eq!(found.attempts.len(), 5);
    }
}

#[test]
fn an_unsure_face_gives_way_to_a_sure_one_in_a_turned_picture_only() {
    let turned_score = |score: f64| {
        search_with(marked(600, 520), move |picture| {
            Ok(match seen_as(picture) {
                (Turn::None, false) => vec![face_at(1.0, 0.7)],
                (Turn::Half, false) => vec![face_at(5.0, score)],
                _ => vec![],
            })
        })
        .unwrap()
    };
    assert_eq!((turned_score(0.98).view, turned_score(0.98).faces), (View::PLAIN, vec![face_at(1.0, 0.7)]));
    assert_eq!(turned_score(0.995).view.turned, Turn::Half);
}

#[test]
fn weak_faces_in_turned_and_padded_pictures_are_not_believed() {
    let weak = |picture: &RgbImage| {
        Ok(match seen_as(picture) {
            (Turn::None, false) => vec![],
            (_, true) => vec![face_at(700.0, 0.98)],
            _ => vec![face_at(5.0, 0.94)],
        })
    };
    let found = search_with(marked(600, 520), weak).unwrap();
    assert_eq!((found.faces.len(), found.view, found.picture), (0, View::PLAIN, marked(600, 520)));
    // As it is, with a margin, three turns.
    assert_eq!(found.attempts.len(), 5);
}

#[test]
fn a_large_picture_is_reduced_for_second_looks_and_read_in_full_once_its_turn_is_known() {
    let detect = |picture: &RgbImage| {
        Ok(match (seen_as(picture), picture.width()) {
            ((Turn::Quarter, false), 768) => vec![face_at(10.0, 0.999)],
            ((Turn::Quarter, false), 1500) => vec![face_at(21.0, 0.998)],
            _ => vec![],
        })
    };
    let found = search_with(marked(2000, 1500), detect).unwrap();
    assert_eq!(found.faces, [face_at(21.0, 0.998)]);
    assert_eq!(found.view, View { turned: Turn::Quarter, ..View::PLAIN });
    let widths: Vec<u32> = found.attempts.iter().map(|attempt| attempt.width).collect();
    assert_eq!(widths, [2000, 1536, 768, 1024, 768, 1500]);
}

#[test]
fn nothing_is_found_where_nothing_is() {
    for (width, height) in [(1, 1), (1, 5000), (600, 512), (40, 31)] {
        let found = search_with(RgbImage::new(width, height), |_| Ok(Vec::new())).unwrap();
        assert_eq!((found.faces.len(), found.view), (0, View::PLAIN));
    }
}
