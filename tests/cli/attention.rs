//! `idembed attention`.

use idembed_integration_tests::read_safetensors;

use crate::model::{UNET, linked};
use crate::program::{Place, mini, text, with_me};

#[test]
fn every_word_has_its_picture_and_its_numbers() {
    let place = Place::new();
    let value = place.json(&["attention", "a photo of <me> at the beach", &with_me(), "--steps=5", "--out=maps"]);
    let words = value["words"].as_array().unwrap();
    let names: Vec<&str> = words.iter().map(|word| word["word"].as_str().unwrap()).collect();
    assert_eq!(names, ["photo", "<me>", "beach"]);
    for word in words {
        let map = image::open(place.path(word["map"].as_str().unwrap())).unwrap();
        assert_eq!((map.width(), map.height()), (128, 128));
        assert!(word["mean"].as_f64().is_some_and(|mean| mean > 0.0 && mean < 1.0), "{word}");
        assert_eq!(word["stages"].as_array().unwrap().len(), 5);
        assert!(word["layers"].as_array().unwrap().len() > 1);
        assert!(word.get("leakage").is_none(), "there is no mask");
    }
    assert_eq!(words[1]["map"], "maps/0-me.png");
    for key in ["image", "layers_sheet", "stages_sheet", "numbers"] {
        assert!(place.path(value[key].as_str().unwrap()).is_file(), "{key}");
    }
    let numbers: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path("maps/0-maps.json")).unwrap()).unwrap();
    let rows = numbers["words"][0]["values"]["rows"].as_array().unwrap();
    assert_eq!(rows.len() as u64, numbers["words"][0]["values"]["height"].as_u64().unwrap());
}

#[test]
fn the_picture_is_the_one_that_generate_draws() {
    let place = Place::new();
    place.succeeds(&["attention", "a man in space", "--steps=3", "--seed=4", "--out=maps"]);
    place.succeeds(&["generate", "a man in space", "--steps=3", "--seed=4", "--out=plain"]);
    let pixels = |name: &str| image::open(place.path(name)).unwrap().into_rgb8();
    let (maps, plain) = (pixels("maps/4.png"), pixels("plain/4.png"));
    assert!(maps.iter().zip(plain.iter()).all(|(a, b)| a.abs_diff(*b) <= 1));
}

#[test]
fn a_mask_gives_leakage() {
    let place = Place::new();
    let mask = mini().join("portraits/person1_a_mask.png");
    let words = ["--words", "a man, basketball"];
    let flags = ["attention", "a photo of a man holding a basketball", "--steps=2", "--mask", text(&mask)];
    let value = place.json(&[&flags[..], &words].concat());
    assert_eq!(value["words"][0]["word"], "a man");
    for word in value["words"].as_array().unwrap() {
        assert!(word["leakage"].as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)), "{word}");
        assert!(word["layers"][0]["leakage"].is_number() && word["stages"][0]["leakage"].is_number());
    }
}

#[test]
fn words_must_be_in_the_prompt() {
    let place = Place::new();
    place.fails(1, &["attention", "a man", "--words=woman"], &["`woman` is not in the prompt"]);
    place.fails(1, &["attention", "of the a", "--steps=1"], &["there is no word to look at"]);
}

#[test]
fn scores_beyond_f16_give_finite_maps() {
    let place = Place::new();
    linked(&place);
    // Queries and keys of the text's layers 128 times as large: they fit into f16, their products do not.
    let file = place.path("model").join(UNET);
    let scaled = read_safetensors(&file).into_iter().map(|(name, tensor)| {
        let large = name.ends_with("attn2.to_q.weight") || name.ends_with("attn2.to_k.weight");
        (name, if large { tensor * 128.0 } else { tensor })
    });
    let scaled: Vec<(String, tch::Tensor)> = scaled.collect();
    std::fs::remove_file(&file).unwrap();
    tch::Tensor::write_safetensors(&scaled, &file).unwrap();
    let value = place.json(&["attention", "a man in space", "--model=model", "--steps=2", "--dtype=f16"]);
    let words = value["words"].as_array().unwrap();
    assert!(words.iter().all(|word| word["mean"].as_f64().is_some_and(|mean| (0.0..=1.0).contains(&mean))), "{value}");
}
