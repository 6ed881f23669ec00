//! Identities by strength, and `idembed identity`.

use idembed_integration_tests::tensor_file::TensorFile;
use idembed_integration_tests::{pixels_off, read_picture};
use serde_json::json;

use crate::program::{Place, identity, text};

/// `NAME=FILE:STRENGTH` of the identity that the tests learned.
fn me(strength: &str) -> String {
    format!("me={}:{strength}", identity().display())
}

/// Draws `prompt` into a folder with the identities.
fn draw(place: &Place, folder: &str, prompt: &str, identities: &[&str]) {
    let given = identities.iter().flat_map(|given| ["-i", given]);
    let args = ["generate", prompt, "--steps=3", "--size=64x64", "--out", folder];
    place.succeeds(&args.into_iter().chain(given).collect::<Vec<_>>());
}

fn off(place: &Place, a: &str, b: &str) -> f64 {
    let [a, b] = [a, b].map(|folder| read_picture(&place.path(folder).join("0.png")));
    pixels_off(&a, &b)
}

#[test]
fn a_strength_lies_between_the_class_word_and_the_identity() {
    let place = Place::new();
    draw(&place, "class", "a photo of person", &[]);
    draw(&place, "zero", "a photo of <me>", &[&me("0")]);
    assert_eq!(off(&place, "class", "zero"), 0.0, "at strength 0 the class word is drawn");
    draw(&place, "full", "a photo of <me>", &[&format!("me={}", identity().display())]);
    draw(&place, "one", "a photo of <me>", &[&me("1/1/1/1/1")]);
    assert_eq!(off(&place, "full", "one"), 0.0);
    // A few steps of learning move little: whether any number differs is asked, not by how much.
    draw(&place, "beyond", "a photo of <me>", &[&me("2")]);
    draw(&place, "stages", "a photo of <me>", &[&me("0/0/2/2/2")]);
    let pixels = |folder: &str| read_picture(&place.path(folder).join("0.png"));
    assert!(pixels("full") != pixels("beyond") && pixels("beyond") != pixels("stages"));

    // The prompt may say it, and then it counts.
    draw(&place, "said", "a photo of <me:2>", &[&me("0")]);
    assert!(pixels("said") == pixels("beyond"));
    let both = "a photo of (<me:0.5>:1.1) and <me:0/0/0/0/1>";
    draw(&place, "both", both, &[&me("1")]);
    assert_eq!(place.json(&["inspect", "both/0.png"])["prompt"], both);

    let strength = |folder: &str| {
        let value = place.json(&["inspect", &format!("{folder}/0.png")]);
        value["identities"][0]["strength"].clone()
    };
    assert_eq!((strength("full"), strength("one")), (json!(null), json!(null)));
    assert_eq!((strength("beyond"), strength("stages")), (json!(2.0), json!([0.0, 0.0, 2.0, 2.0, 2.0])));
    let shown = place.succeeds(&["inspect", "stages/0.png"]);
    assert!(shown.contains("strength 0.0/0.0/2.0/2.0/2.0"), "{shown}");
}

#[test]
fn strengths_that_cannot_be() {
    let place = Place::new();
    let draw =
        |strength: &str| ["generate", "a photo of <me>", "-i"].map(str::to_owned).into_iter().chain([me(strength)]);
    let refused = |status, strength: &str, expected: &[&str]| {
        place.fails(status, &draw(strength).collect::<Vec<_>>(), expected);
    };
    refused(2, "2.5", &["strength is 2.5, expected a number from 0 to 2", ":2.5:1`"]);
    refused(2, "nan", &["strength is NaN"]);
    refused(2, "0.5/-1/1/1/1", &["strength is 0.5/-1/1/1/1"]);
    refused(1, "0.5/1", &["strength is 0.5/1 for the identity `me`, expected one number, or one for each of 5 stages"]);
    let said = |strength: &str, expected: &[&str]| {
        let prompt = format!("a photo of <me:{strength}>");
        place.fails(1, &["generate", &prompt, "-i", &me("1")], expected);
    };
    said("3", &["strength is 3, expected a number from 0 to 2"]);
    said("0/1", &["one for each of 5 stages"]);
    // What is not a number belongs to the name of the file.
    refused(1, "0.5/strong", &["0.5/strong`"]);
}

/// A copy of the identity under another name, with other vectors.
fn another(place: &Place) {
    let mut file = TensorFile::read(identity());
    file.header["__metadata__"]["name"] = json!("you");
    for number in file.data.chunks_exact_mut(4) {
        let value = f32::from_le_bytes(number.try_into().unwrap());
        number.copy_from_slice(&(-value).to_le_bytes());
    }
    file.write(&place.path("you.safetensors"));
}

#[test]
fn a_blend_is_an_identity() {
    let place = Place::new();
    another(&place);
    let (first, second) = (format!("{}:3", identity().display()), "you.safetensors:1");
    let value = place.json(&["identity", "blend", &first, second, "--name=both"]);
    assert_eq!((&value["identity"], &value["stages"]), (&json!("both.identity.safetensors"), &json!(5)));
    let inspected = place.json(&["inspect", "both.identity.safetensors"]);
    let sha256 = |file: &str| place.json(&["inspect", file])["sha256"].as_str().unwrap().to_owned();
    let parts = format!("0.75 me {}, 0.25 you {}", sha256(text(identity())), sha256("you.safetensors"));
    assert_eq!((&inspected["blended_from"], &inspected["method"]), (&json!(parts), &json!("blend")));
    // 3/4 of the vectors and 1/4 of their opposites are half of them.
    let [own, both] = [identity().to_owned(), place.path("both.identity.safetensors")].map(|path| {
        let data = TensorFile::read(&path).data;
        data.chunks_exact(4).map(|number| f32::from_le_bytes(number.try_into().unwrap())).collect::<Vec<f32>>()
    });
    assert!(own.iter().zip(&both).all(|(own, both)| *both == own / 2.0) && own.len() == both.len());
    draw(&place, "out", "a photo of <both>", &["both=both.identity.safetensors:0.5"]);

    let taken = ["identity", "subtract", text(identity()), "you.safetensors:0.5", "--name=less", "--out=less"];
    assert_eq!(place.succeeds(&taken), "less\n");
    assert_eq!(place.json(&["inspect", "less"])["method"], "subtract");
    draw(&place, "less-out", "a photo of <me>", &["me=less"]);
}

#[test]
fn what_cannot_be_blended() {
    let place = Place::new();
    another(&place);
    let own = text(identity());
    let blend = |parts: &[&str], expected: &[&str]| {
        let args = ["identity", "blend"].into_iter().chain(parts.iter().copied()).chain(["--name=both"]);
        place.fails(1, &args.collect::<Vec<_>>(), expected);
    };
    blend(&[own], &["number of identities to blend is 1, expected 2 or more"]);
    blend(&[own, "you.safetensors:nan"], &["weight is NaN for `you`"]);
    blend(&[own, "you.safetensors:-1"], &["sum of the weights is 0, expected above 0"]);
    blend(&[own, "missing.safetensors"], &["cannot read `missing.safetensors`"]);
    let mut other = TensorFile::read(&place.path("you.safetensors"));
    other.header["__metadata__"]["text_encoder_sha256"] = json!("ab".repeat(32));
    other.write(&place.path("other.safetensors"));
    blend(&[own, "other.safetensors"], &["`you` does not go with `me`: it has the text encoder abab"]);
    blend(&[own, "you.safetensors", "--out=you.safetensors"], &["is there already"]);
    blend(&[own, "you.safetensors", "--out=you.safetensors", "--force"], &["would be replaced, but it is read"]);
    place.fails(2, &["identity", "blend", own, own, "--name=a b"], &["letters, digits"]);
    place.fails(2, &["identity", "blend", own, "you.safetensors:1/2", "--name=both"], &["more than one weight"]);
    let subtract = ["identity", "subtract", own, "other.safetensors", "--name=less"];
    place.fails(1, &subtract, &["`you` was not learned for the text encoder of `mini`", "--model"]);
    place.fails(1, &["identity", "subtract", own, "you.safetensors:-1", "--name=less"], &["weight is -1 for `you`"]);
}

/// The flag that keeps an identity of a record to its region.
fn region_flag(identity: &serde_json::Value) -> String {
    let numbers = identity["region"].as_array().unwrap().iter().map(serde_json::Value::to_string);
    format!("--region={}={}", identity["name"].as_str().unwrap(), numbers.collect::<Vec<_>>().join(","))
}

#[test]
fn two_people_are_kept_to_their_regions_in_any_order() {
    let place = Place::new();
    another(&place);
    let given = [format!("me={}", identity().display()), "you=you.safetensors".to_owned()];
    let regions = ["--region=me=0,0,0.5,1", "--region=you=0.5,0,0.5,1"];
    let drawn = |folder: &str, prompt: &str, regions: &[&str]| {
        let given = given.iter().flat_map(|given| ["-i", given]);
        let args = ["generate", prompt, "--steps=3", "--size=64x64", "--quiet", "--out", folder];
        place.succeeds(&args.into_iter().chain(given).chain(regions.iter().copied()).collect::<Vec<_>>());
        read_picture(&place.path(folder).join("0.png"))
    };
    let apart = drawn("apart", "a photo of <me> and <you>", &regions);
    assert!(apart == drawn("swapped", "a photo of <you> and <me>", &regions), "the order of names makes no difference");
    assert!(apart != drawn("together", "a photo of <me> and <you>", &[]));
    let other_way = ["--region=you=0,0,0.5,1", "--region=me=0.5,0,0.5,1"];
    assert!(apart != drawn("other", "a photo of <me> and <you>", &other_way));
    let record = place.json(&["inspect", "apart/0.png"]);
    assert_eq!(record["identities"][1]["region"], json!([0.5, 0.0, 0.5, 1.0]));

    let refused = |status, prompt: &str, region: &[&str], expected: &str| {
        let args = ["generate", prompt, "-i", &given[0], "-i", &given[1]];
        place.fails(status, &args.into_iter().chain(region.iter().copied()).collect::<Vec<_>>(), &[expected]);
    };
    refused(1, "a photo of <me>", &regions, "region is given for <you>, expected for identities that the prompt names");
    refused(2, "<me>", &["--region=me=0,0,64,64"], "expected X,Y,W,H in shares of the picture");
    refused(2, "<me>", &["--region=me"], "expected NAME=X,Y,W,H");
    refused(2, "<me>", &["--region=me=0,0,1,1", "--region=me=0,0,0.5,1"], "--region me=... is given twice");

    // Those that are found are those of a picture's record, of each picture its own.
    let prompt = "a photo of <me> and <you>";
    let found = drawn("found", prompt, &["--region=auto", "-n=2"]);
    let record = |path: &str| place.json(&["inspect", path])["identities"].clone();
    let identities = record("found/0.png");
    let parts: Vec<String> = (0..2).map(|index| region_flag(&identities[index])).collect();
    assert!(parts[0] != parts[1] && parts.iter().all(|part| !part.ends_with("=0,0,1,1")), "{parts:?}");
    assert!(found == drawn("given", prompt, &[&parts[0], &parts[1]]), "{parts:?}");
    assert!(identities != record("found/1.png"));
    refused(1, "a photo of <me>", &["--region=auto"], "found for at least two identities, and the prompt names one");
    refused(2, prompt, &["--region=auto", regions[0]], "--region auto stands alone");
}
