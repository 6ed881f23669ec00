//! Scores of pictures: by CLIP against transformers (`fixtures/metrics/generate.py`), by all instruments on the bundled
//! portraits, of which it is known who and what they show.

use std::collections::BTreeMap;

use idembed_clip::ClipScorer;
use idembed_face::detect::Mtcnn;
use idembed_face::recognise;
use idembed_integration_tests::{Fixture, Parity, mini_model, read_json, read_picture, weights};
use idembed_metrics::judge::Judge;
use idembed_metrics::{Instruments, MetricsError, Person, References, Request, Scored, diversity, without_face};
use idembed_weights::Compute;
use image::imageops::{self, FilterType};
use image::{GenericImageView, GrayImage, RgbImage};
use ndarray::Array2;
use tch::Tensor;

/// Of cosines.
const LIMIT: f64 = 1e-4;

fn clip() -> ClipScorer {
    ClipScorer::load(&mini_model().join("clip"), Compute::CPU_F32).unwrap()
}

fn portrait(name: &str) -> RgbImage {
    read_picture(&mini_model().join("portraits").join(format!("{name}.png")))
}

fn mask(name: &str) -> GrayImage {
    image::open(mini_model().join("portraits").join(format!("{name}_mask.png"))).unwrap().into_luma8()
}

/// The bundled instruments, the recogniser and CLIP twice, if the detector is there.
fn instruments(judge: bool, tau: f64) -> Option<Instruments> {
    let detector = Mtcnn::load(&weights("mtcnn")?, Compute::CPU_F32).unwrap();
    let recogniser = || recognise::load(&mini_model().join("recogniser/model.safetensors"), Compute::CPU_F32).unwrap();
    let recognisers = vec![("mini".to_owned(), recogniser()), ("again".to_owned(), recogniser())];
    let clips = vec![("mini".to_owned(), clip()), ("again".to_owned(), clip())];
    let judge = judge.then(|| Judge::load(&mini_model().join("judge"), Compute::CPU_F32).unwrap());
    Some(Instruments::new(detector, recognisers, clips, judge, tau).unwrap())
}

fn request(prompt: &str, wishes: &[(&str, &str)]) -> Request {
    let wishes = wishes.iter().map(|(factor, class)| ((*factor).to_owned(), (*class).to_owned()));
    Request::new(prompt, "person", wishes.collect())
}

/// Somebody, learned from the first portrait, with the second one as another picture.
fn person(instruments: &Instruments, number: usize) -> Person {
    let [photo, mask] = [format!("person{number}_a"), format!("person{number}_a")];
    let others = [portrait(&format!("person{number}_b"))];
    instruments.person(&format!("person{number}"), &portrait(&photo), Some(&self::mask(&mask)), &others).unwrap()
}

fn array(tensor: &Tensor) -> Array2<f32> {
    let (rows, columns) = tensor.size2().unwrap();
    let values = Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap();
    Array2::from_shape_vec((rows as usize, columns as usize), values).unwrap()
}

#[test]
fn clip_scores() {
    let _guard = tch::no_grad_guard();
    let (fixture, clip) = (Fixture::open("metrics"), clip());
    let mut parity = Parity::new();
    let (mut pictures, mut filled) = (Vec::new(), Vec::new());
    for (index, case) in fixture.list("pictures").iter().enumerate() {
        let name = case["portrait"].as_str().unwrap();
        let part: Vec<u32> = serde_json::from_value(case["part"].clone()).unwrap();
        let picture = portrait(name).view(part[0], part[1], part[2], part[3]).to_image();
        let whole = case["whole"].as_bool().unwrap();
        let mask = if whole {
            mask(name)
        } else {
            let bytes = Vec::<u8>::try_from(fixture.tensor(&format!("mask.{index}")).flatten(0, -1)).unwrap();
            GrayImage::from_raw(part[2], part[3], bytes).unwrap()
        };
        let ours = without_face(&picture, &mask);
        if !whole {
            let theirs = Vec::<u8>::try_from(fixture.tensor(&format!("filled.{index}")).flatten(0, -1)).unwrap();
            let off = ours.as_raw().iter().zip(&theirs).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            // The sums are taken in another order.
            parity.check_metric(&format!("metrics/filled.{index}"), "levels", off.into(), 1.0);
        }
        pictures.push(picture);
        filled.push(ours);
    }
    let texts: Vec<&str> = fixture.list("texts").iter().map(|text| text.as_str().unwrap()).collect();
    let (whole, filled) = (clip.image_embeds(&pictures).unwrap(), clip.image_embeds(&filled).unwrap());
    let embeds = array(&whole);
    let rows: Vec<_> = embeds.outer_iter().map(Some).collect();
    let diversity: Vec<f64> = diversity(&rows).into_iter().map(Option::unwrap).collect();
    for (name, ours) in [
        ("prompt", clip.score(&pictures, &texts).unwrap()),
        ("whole", whole.matmul(&whole.transpose(0, 1))),
        ("background", filled.matmul(&filled.transpose(0, 1))),
        ("diversity", Tensor::from_slice(&diversity)),
    ] {
        let off = (&ours - fixture.tensor(name).view_as(&ours)).abs().max().double_value(&[]);
        parity.check_metric(&format!("metrics/{name}"), "largest", off, LIMIT);
    }
    parity.finish();
}

/// Likeness is that of the recogniser, and the same picture as the photo is as alike as can be in every respect.
#[test]
fn the_photo_itself() {
    let Some(instruments) = instruments(true, 0.3) else { return };
    let me = person(&instruments, 1);
    let pictures = [portrait("person1_a"), portrait("person1_b"), portrait("person2_a")];
    let request = request("a photo of {} in a library", &[("scene", "in a library")]);
    let scored = instruments.score(&me, &request, &pictures).unwrap();
    let get = |place: usize, name: &str| scored[place].scores[name];
    for (name, expected) in
        [("id", 1.0), ("id_found", 1.0), ("whole", 1.0), ("detect", 1.0), ("faces", 1.0), ("framed", 0.0)]
    {
        assert!((get(0, name) - expected).abs() < 1e-5, "{name}: {}", get(0, name));
    }
    // The mask is another one, found and not given.
    assert!(get(0, "background") > 0.9, "{}", get(0, "background"));
    assert!((get(1, "id_others") - 1.0).abs() < 1e-5 && (get(0, "id_others") - get(1, "id")).abs() < 1e-5);
    assert!((get(0, "copy") - (1.0 - get(1, "id"))).abs() < 1e-5);
    assert!(get(1, "id") > 0.5 && get(2, "id") < 0.4, "{} {}", get(1, "id"), get(2, "id"));
    for score in ["id", "id_others", "prompt", "prompt_deleted"] {
        assert_eq!(get(2, score), get(2, &format!("{score}@again")), "{score}");
    }
    let texts = ["a photo of person in a library", "a photo of in a library"];
    let clip = clip().score(&pictures, &texts).unwrap();
    for (place, scored) in scored.iter().enumerate() {
        for (text, name) in ["prompt", "prompt_deleted"].into_iter().enumerate() {
            assert!((scored.scores[name] - clip.double_value(&[place as i64, text as i64])).abs() < 1e-5);
        }
        let followed = f64::from(u8::from(scored.seen["scene"] == "in a library"));
        assert_eq!((scored.scores["wishes"], scored.scores["followed"]), (followed, followed));
        assert_eq!(scored.scores["id_p"], followed * scored.scores["id"]);
        assert!((0.0..2.0).contains(&scored.scores["diversity"]));
        let head = scored.heads[0].as_ref().unwrap();
        assert_eq!((scored.heads.len(), head.dimensions()), (1, (128, 128)));
    }
    assert_eq!(get(0, "followed"), 1.0);
}

/// Its answers are about what is known of the portraits: their scenes.
#[test]
fn the_judge_sees_the_scenes_of_the_portraits() {
    let judge = Judge::load(&mini_model().join("judge"), Compute::CPU_F32).unwrap();
    let truth = read_json(&mini_model().join("portraits/truth.json"));
    let truth = truth.as_object().unwrap();
    let pictures: Vec<RgbImage> = truth.keys().map(|name| portrait(name.trim_end_matches(".png"))).collect();
    for ((name, known), verdict) in truth.iter().zip(judge.judge(&pictures).unwrap()) {
        assert_eq!(verdict.class("scene"), known["scene"].as_str(), "{name}");
        assert_eq!((verdict.class("style"), verdict.class("object")), (Some("a photo"), Some("nothing")), "{name}");
    }
}

#[test]
fn the_people_are_told_apart() {
    let Some(instruments) = instruments(false, 0.3) else { return };
    let people: Vec<Person> = (1..=8).map(|number| person(&instruments, number)).collect();
    let References { true_pairs, strangers } = References::of(&people.iter().collect::<Vec<_>>());
    assert_eq!((true_pairs.len(), strangers.len()), (8, 28 * 4));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    println!("true pairs {:.3}, strangers {:.3}", mean(&true_pairs), mean(&strangers));
    assert!(mean(&true_pairs) > 0.6 && mean(&strangers) < 0.25);
}

/// Two portraits side by side, in both orders, the same twice, and one alone.
#[test]
fn two_people() {
    let Some(instruments) = instruments(true, 0.3) else { return };
    let [first, second] = [1, 2].map(|number| person(&instruments, number));
    let beside = |left: &str, right: &str| {
        let mut both = RgbImage::new(256, 128);
        imageops::replace(&mut both, &portrait(left), 0, 0);
        imageops::replace(&mut both, &portrait(right), 128, 0);
        both
    };
    let pictures = [
        beside("person1_b", "person2_b"),
        beside("person2_b", "person1_b"),
        beside("person1_b", "person1_a"),
        portrait("person2_b"),
        RgbImage::new(200, 90),
    ];
    let request = request("a photo of {} and {other} in a forest", &[]);
    let scored = instruments.score_pair([&first, &second], &request, &pictures).unwrap();
    let scores = |name: &str| -> Vec<Option<f64>> { scored.iter().map(|one| one.scores.get(name).copied()).collect() };
    assert_eq!(scores("faces"), [2.0, 2.0, 2.0, 1.0, 0.0].map(Some));
    assert_eq!(scores("both"), [1.0, 1.0, 0.0, 0.0, 0.0].map(Some));
    assert_eq!(scores("duplicates"), [0.0, 0.0, 1.0, 0.0, 0.0].map(Some));
    assert_eq!(scores("mix_up")[..3], [0.0, 1.0, 0.5].map(Some));
    assert_eq!((scores("mix_up")[4], scores("id")[4], scores("id_found")[4]), (None, Some(0.0), None));
    let alone = instruments.score(&second, &request, &pictures[3..4]).unwrap();
    assert!((scores("id")[3].unwrap() - alone[0].scores["id"] / 2.0).abs() < 1e-6);
    assert!((scores("id")[0].unwrap() - scores("id")[1].unwrap()).abs() < 0.02);
    let covered = |place: usize, person: usize| {
        let heads: &[Option<GrayImage>] = &scored[place].heads;
        let covers = |x: u32| heads[person].as_ref().is_some_and(|mask| mask[(x, 60)][0] > 127);
        [64, 192].map(covers)
    };
    assert_eq!([covered(0, 0), covered(0, 1)], [[true, false], [false, true]]);
    assert_eq!([covered(1, 0), covered(1, 1)], [[false, true], [true, false]]);
    // What only one person's picture has, and the judge's.
    for name in ["wishes", "followed", "id_p", "whole", "background", "diversity"] {
        assert_eq!(scores(name), [None; 5], "{name}");
    }
    assert!(scored.iter().all(|one| one.seen.is_empty() && one.scores.contains_key("prompt")));
}

/// Without a judge any size will do, and CLIP decides.
#[test]
fn pictures_of_any_size_and_without_a_face() {
    let Some(instruments) = instruments(false, 0.3) else { return };
    let me = person(&instruments, 3);
    let photo = portrait("person3_a");
    let resized = |width, height| imageops::resize(&photo, width, height, FilterType::CatmullRom);
    let wall = RgbImage::from_fn(128, 128, |x, y| image::Rgb([90, (60 + x / 4) as u8, (60 + y / 4) as u8]));
    let pictures = [
        resized(128, 128),
        resized(127, 129),
        resized(301, 256),
        resized(9, 7),
        RgbImage::new(1, 1),
        wall,
        resized(256, 256),
    ];
    let request = request("a photo of {} in the desert", &[("scene", "on the moon")]);
    let scored = instruments.score(&me, &request, &pictures).unwrap();
    assert_eq!(scored.len(), pictures.len());
    for (picture, Scored { scores, seen, heads }) in pictures.iter().zip(&scored) {
        let size = picture.dimensions();
        let found = scores["detect"] == 1.0;
        assert_eq!(found, picture.height() >= 100 && scores["faces"] > 0.0, "{size:?}");
        for name in ["id_found", "copy", "diversity"] {
            assert_eq!(scores.contains_key(name), found, "{name} of {size:?}");
        }
        assert_eq!(heads[0].as_ref().map(GrayImage::dimensions), found.then_some(size));
        assert_eq!(scores["followed"], f64::from(u8::from(scores["prompt"] >= 0.3)));
        assert!(!scores.contains_key("wishes") && seen.is_empty());
        if found {
            assert!(scores["id"] > 0.8, "{size:?}: {}", scores["id"]);
        } else {
            assert_eq!((scores["id"], scores["id_others"]), (0.0, 0.0));
        }
    }
    assert_eq!(scored.iter().filter(|one| one.scores["detect"] == 1.0).count(), 4);
    assert!(instruments.score(&me, &request, &[]).unwrap().is_empty());
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let Some(instruments) = instruments(true, 0.3) else { return };
    let (photo, mask, me) = (portrait("person1_a"), mask("person1_a"), person(&instruments, 1));
    let said = |result: Result<Person, MetricsError>| result.unwrap_err().to_string();
    let blank = RgbImage::new(128, 128);
    assert_eq!(said(instruments.person("me", &blank, None, &[])), "no face was found in the photo of `me`");
    assert_eq!(
        said(instruments.person("me", &photo, None, &[photo.clone(), blank.clone()])),
        "no face was found in other picture 2 of `me`"
    );
    assert_eq!(
        said(instruments.person("me", &photo, Some(&GrayImage::new(64, 128)), &[])),
        "the mask of the photo of `me` is 64 x 128 pixels, expected 128 x 128"
    );
    assert!(instruments.person("me", &photo, Some(&mask), &[]).is_ok());
    for empty in [RgbImage::new(0, 0), RgbImage::new(0, 9)] {
        assert!(instruments.person("me", &empty, None, &[]).is_err());
        assert!(instruments.score(&me, &request("{}", &[]), &[empty]).is_err());
    }

    let refused = |wishes: &[(&str, &str)], pictures: &[RgbImage]| {
        instruments.score(&me, &request("{}", wishes), pictures).unwrap_err().to_string()
    };
    assert!(
        refused(&[("scene", "on the moon")], &[])
            .starts_with("the judge knows no class `on the moon`; it knows: at the")
    );
    assert!(
        refused(&[("moon", "on the moon")], &[])
            .starts_with("the judge knows no factor `moon`; it knows: scene, object")
    );
    let other_size = refused(&[], &[RgbImage::new(128, 64)]);
    assert_eq!(other_size, "a picture of 128 x 64 pixels was given to a network for 128 x 128");
    let wish = request("{} and {other}", &[("scene", "in space")]);
    assert!(matches!(instruments.score_pair([&me, &me], &wish, &[]), Err(MetricsError::WishesOfTwo)));

    let new = |names: &[&str], clips: &[&str], tau| {
        let detector = Mtcnn::load(&weights("mtcnn").unwrap(), Compute::CPU_F32).unwrap();
        let recogniser =
            || recognise::load(&mini_model().join("recogniser/model.safetensors"), Compute::CPU_F32).unwrap();
        let recognisers = names.iter().map(|name| ((*name).to_owned(), recogniser())).collect();
        let clips = clips.iter().map(|name| ((*name).to_owned(), clip())).collect();
        Instruments::new(detector, recognisers, clips, None, tau).map(|_| ()).unwrap_err().to_string()
    };
    let start = "cannot score with these instruments: ";
    assert_eq!(new(&[], &["a"], 0.2), format!("{start}there is no recogniser"));
    assert_eq!(new(&["a"], &[], 0.2), format!("{start}there is no CLIP"));
    assert_eq!(new(&["a", "a"], &["a"], 0.2), format!("{start}there are two of the recogniser `a`"));
    assert_eq!(new(&["a"], &["a"], f64::NAN), format!("{start}tau is NaN, expected -1 to 1"));
    let none: BTreeMap<String, String> = BTreeMap::new();
    assert!(instruments.check(&Request::new("{}", "person", none), 2).is_ok());
}
