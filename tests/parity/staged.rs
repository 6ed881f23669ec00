//! Pictures with identities whose keys and values change from stage to stage, against diffusers with an attention
//! processor of its own (`fixtures/staged/generate.py`).

use std::collections::BTreeMap;

use idembed_diffusion::{Compute, StableDiffusion, TextToImage};
use idembed_integration_tests::identities::identity;
use idembed_integration_tests::{
    Parity, drawing, fixture_dir, mini_model, pixels_off, read_json, read_picture, read_safetensors,
};
use idembed_tokens::{
    Conditions, Identities, Identity, Prompt, PromptSyntax, Regions, Strength, condition, condition_in_regions,
};
use image::RgbImage;
use serde_json::Value;
use tch::Tensor;

/// Share of pixels that may differ by more than one grey level.
const PIXELS_OFF: f64 = 1e-3;

#[test]
fn pictures() {
    let folder = fixture_dir("staged");
    let cases = read_json(&folder.join("cases.json"));
    let rows = read_safetensors(&folder.join("identities.safetensors"));
    let model = StableDiffusion::load(&mini_model(), Compute::CPU_F32).unwrap();
    let names: Vec<&str> = cases["identities"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let class = |name: &str| cases["classes"][name].as_str().unwrap();
    let read: Vec<Identity> = names.iter().map(|name| through_a_file(&model, name, class(name), &rows)).collect();

    let mut parity = Parity::new();
    for case in cases["cases"].as_array().unwrap() {
        let files = case["pictures"].as_array().unwrap();
        let given = read.iter().map(|identity| (identity.name.as_str(), identity, strength(case, &identity.name)));
        let identities = Identities::with_strengths(given).unwrap();
        let prompt = case["prompt"].as_str().unwrap();
        let ours = draw(&model, case, prompt, &identities);
        if !case["strengths"].as_object().unwrap().is_empty() {
            // Said in the prompt, strengths are the same.
            let prompt = names.iter().fold(prompt.to_owned(), |prompt, name| {
                prompt.replace(&format!("<{name}>"), &format!("<{name}:{}>", strength(case, name)))
            });
            let plain = Identities::named(names.iter().copied().zip(&read)).unwrap();
            assert_eq!(ours, draw(&model, case, &prompt, &plain), "{prompt}");
        }
        assert_eq!(ours.len(), files.len(), "{case}: number of pictures");
        for (index, (ours, file)) in ours.iter().zip(files).enumerate() {
            let off = pixels_off(ours, &read_picture(&folder.join(file.as_str().unwrap())));
            let name = case["name"].as_str().unwrap();
            parity.check_metric(&format!("staged/{name}.{index}"), "pixels_off", off, PIXELS_OFF);
        }
    }
    parity.finish();
}

/// Where an identity is kept to, the text is that in which it stands for the others, too, however many tokens these have.
#[test]
fn regions_of_identities_of_different_lengths() {
    let folder = fixture_dir("staged");
    let rows = read_safetensors(&folder.join("identities.safetensors"));
    let names = read_json(&folder.join("cases.json"))["identities"].clone();
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let model = StableDiffusion::load(&mini_model(), Compute::CPU_F32).unwrap();
    let short = through_a_file(&model, names[0], "woman", &rows);
    let mut long = through_a_file(&model, names[1], "man", &rows);
    for encoder in &mut long.encoders {
        let twice = |rows: &Tensor| rows.repeat_interleave_self_int(2, 0, None);
        (encoder.k, encoder.v) = (twice(&encoder.k), twice(&encoder.v));
    }
    long.words = 2;
    let identities = Identities::named([("short", &short), ("long", &long)]).unwrap();
    let prompt =
        |text: &str| Prompt::parse_with(text, model.text_encoders.tokenizers(), |name| identities.words(name)).unwrap();
    let area = |text: &str| text.parse().unwrap();
    let regions = Regions::from([("short".to_owned(), area("0,0,0.5,1")), ("long".to_owned(), area("0.5,0,0.5,1"))]);
    let how = Conditions::default();
    let given = |text: &str| condition_in_regions(&model, &prompt(text), &identities, &regions, how);
    let both = given("<short> and <long> in a forest").unwrap();
    // In the order of their names.
    for (index, alone) in ["<long> and <long> in a forest", "<short> and <short> in a forest"].into_iter().enumerate() {
        let expected = condition(&model, &prompt(alone), &identities, false).unwrap();
        let (_, ours) = &both.regions()[index];
        assert_eq!(ours.pieces().len(), expected.pieces().len());
        for (ours, expected) in ours.pieces().iter().zip(expected.pieces()) {
            assert!(ours.states.key.equal(&expected.states.key) && ours.states.value.equal(&expected.states.value));
        }
    }
    // Where the longer one does not fit in everybody's place, that is said.
    let full = format!("<short> and <long>{}", " a".repeat(71));
    let words = |name: &str| identities.words(name);
    let full = Prompt::read(&full, model.text_encoders.tokenizers(), PromptSyntax::Weighted, words).unwrap();
    let error = condition_in_regions(&model, &full, &identities, &regions, how).unwrap_err().to_string();
    assert!(error.contains("number of chunks of the prompt is 2"), "{error}");
}

/// How strongly an identity acts in a case.
fn strength(case: &Value, name: &str) -> Strength {
    let Some(values) = case["strengths"][name].as_array() else { return Strength::default() };
    Strength::of_stages(values.iter().map(|value| value.as_f64().unwrap()).collect()).unwrap()
}

/// The identity of the fixture's rows, written as an identity file and read again.
fn through_a_file(model: &StableDiffusion, name: &str, class: &str, rows: &BTreeMap<String, Tensor>) -> Identity {
    let rows = ["k", "v"].map(|part| &rows[&format!("{name}.{part}")]);
    let identity = Identity { class: class.to_owned(), ..identity(model, name, 1, &[rows]) };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.safetensors");
    identity.write(&path).unwrap();
    let read = Identity::read(&path).unwrap();
    read.check_base(model, false).unwrap();
    read
}

fn draw(model: &StableDiffusion, case: &Value, prompt: &str, identities: &Identities<'_>) -> Vec<RgbImage> {
    let prompt = Prompt::parse(prompt, model.text_encoders.tokenizers()).unwrap();
    let regions: Regions = serde_json::from_value(case["regions"].clone()).unwrap();
    let prompt = condition_in_regions(model, &prompt, identities, &regions, Conditions::default()).unwrap();
    let (negative, seeds) = (model.condition("").unwrap(), drawing::seeds(case));
    let request = TextToImage { batch: seeds.len(), ..TextToImage::new(model, &prompt, &negative, &seeds) };
    drawing::drawn(model, &drawing::as_in(case, request))
}
