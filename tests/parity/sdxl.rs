//! SDXL against `StableDiffusionXLPipeline` and those that draw from pictures, and a step of learning on it (`fixtures/sdxl/generate.py`).

use std::path::PathBuf;

use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::unet::{PictureSizes, UNetInput};
use idembed_diffusion::{Compute, Error, Lora, ModelFiles, StableDiffusion};
use idembed_integration_tests::{Fixture, Parity};
use idembed_tokens::objective::{Batch, NoiseWeights, losses};
use idembed_tokens::{
    Examples, Identities, Identity, Layout, LearnConfig, Method, Prompt, Trainer, TrainingPrompt, condition,
};
use tch::{Device, Kind, Tensor};

use crate::pipelines::compare_pictures;

/// Of losses and gradients: the largest difference, relative to the largest expected magnitude.
const LIMIT: f64 = 1e-4;

fn folder(fixture: &Fixture) -> PathBuf {
    fixture.folder.join("model")
}

fn load(fixture: &Fixture) -> StableDiffusion {
    StableDiffusion::load(&folder(fixture), Compute::CPU_F32).unwrap()
}

#[test]
fn pictures() {
    let fixture = Fixture::open("sdxl");
    let model = load(&fixture);
    let mut parity = Parity::new();
    for case in fixture.list("cases") {
        compare_pictures(&mut parity, &fixture.folder, &model, case);
    }
    parity.finish();
}

#[test]
fn pictures_from_pictures() {
    let fixture = Fixture::open("sdxl");
    let mut parity = Parity::new();
    for (cases, folder) in [("from", "model"), ("inpaint", "inpaint")] {
        let model = StableDiffusion::load(&fixture.folder.join(folder), Compute::CPU_F32).unwrap();
        assert_eq!(model.check_is_text_to_image().is_err(), folder == "inpaint");
        for case in fixture.list(cases) {
            compare_pictures(&mut parity, &fixture.folder, &model, case);
        }
    }
    parity.finish();
}

#[test]
fn a_lora_for_all_networks() {
    let fixture = Fixture::open("sdxl");
    let mut parity = Parity::new();
    for case in fixture.list("lora") {
        let path = |field: &str| fixture.folder.join(case[field].as_str().unwrap());
        let lora = Lora::open(&path("file"), case["strength"].as_f64().unwrap()).unwrap();
        let files = ModelFiles::open(&path("model")).unwrap().with_lora(lora);
        let model = StableDiffusion::load_files(files, Compute::CPU_F32).unwrap();
        compare_pictures(&mut parity, &fixture.folder, &model, case);
    }
    parity.finish();
}

/// The prompt with `<me>` for the word that the fixture replaces.
fn prompt_with_me(fixture: &Fixture, model: &StableDiffusion) -> Prompt {
    let placed = fixture.cases["placed"].as_str().unwrap();
    let text = fixture.cases["prompt"].as_str().unwrap().replace(placed, "<me>");
    Prompt::parse(&text, model.text_encoders.tokenizers()).unwrap()
}

#[test]
fn gradients_of_the_noise_loss() {
    let fixture = Fixture::open("sdxl");
    let model = load(&fixture);
    let prompt = prompt_with_me(&fixture, &model);
    let position = prompt.placeholders[0].positions[0];
    assert_eq!(Some(position), fixture.cases["position"].as_i64());
    let embeds = model.text_encoders.embed(&prompt.ids).unwrap();
    let training = TrainingPrompt::new(embeds, position, Layout::staged(2, true), 1000);
    let rows = [0, 1].map(|index| fixture.tensor(&format!("rows.{index}")).copy().set_requires_grad(true));
    let timesteps: Vec<i64> = fixture.list("timesteps").iter().map(|timestep| timestep.as_i64().unwrap()).collect();
    let states = training.states(&model.text_encoders, &rows, &timesteps).unwrap();
    let [latents, noise] = ["latents", "noise"].map(|name| fixture.tensor(name).shallow_clone());
    let batch = Batch { latents, noise, timesteps, mask: None };
    let loss = losses(&model, &states, &batch, None, NoiseWeights::default(), None).unwrap().noise;
    let gradients = Tensor::run_backward(&[&loss], &rows, false, false);
    let mut parity = Parity::new();
    parity.check_tensors("sdxl/loss", &loss, fixture.tensor("loss"), LIMIT);
    for (index, gradient) in gradients.iter().enumerate() {
        let expected = fixture.tensor(&format!("gradients.{index}"));
        parity.check_tensors(&format!("sdxl/gradient.{index}"), gradient, expected, LIMIT);
    }
    parity.finish();
}

/// Every method that is there learns, and what it learned draws.
#[test]
fn all_methods_learn() {
    let fixture = Fixture::open("sdxl");
    let model = load(&fixture);
    let unit = model.pixels_per_latent() * 4;
    let image = Tensor::linspace(-1.0, 1.0, 3 * unit * unit, (Kind::Float, Device::Cpu)).view([1, 3, unit, unit]);
    for method in [Method::Sefi, Method::TextualInversion, Method::Xti, Method::Prospect] {
        let config = LearnConfig { steps: 2, batch: 2, ..LearnConfig::new("me", "person", method) };
        let mut trainer = Trainer::new(&model, &Examples::one(&image, None), config).unwrap();
        while !trainer.is_done() {
            trainer.step().unwrap();
        }
        let learned = trainer.identity().unwrap();
        let file = tempfile::tempdir().unwrap();
        let path = file.path().join("me.safetensors");
        learned.write(&path).unwrap();
        let me = Identity::read(&path).unwrap();
        assert_eq!(me.encoders.len(), 2, "{method}");
        me.check_base(&model, false).unwrap();
        let prompt = prompt_with_me(&fixture, &model);
        let conditioning = condition(&model, &prompt, &Identities::named([("me", &me)]).unwrap(), false).unwrap();
        for piece in conditioning.pieces() {
            let context = model.unet.project(&piece.states).unwrap();
            assert!(model.unet.added(&context, PictureSizes::whole(unit, unit)).unwrap().is_some());
        }
    }
}

#[test]
fn what_the_network_is_told_of_a_picture_is_needed_and_heeded() {
    let fixture = Fixture::open("sdxl");
    let model = load(&fixture);
    let _guard = tch::no_grad_guard();
    let channels = model.unet.config().channels;
    let (latents, timesteps) =
        (Tensor::ones([1, channels, 4, 4], (Kind::Float, Device::Cpu)), Tensor::from_slice(&[9.0f32]));
    let states = model.text_states("a person").unwrap();
    let context = model.unet.project(&states).unwrap();
    let plain = UNetInput::new(&latents, &timesteps, &context);
    let error = model.unet.forward(plain, None).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "added embedding", .. }), "{error}");
    let drawn = |sizes| {
        let added = model.unet.added(&context, sizes).unwrap();
        model.unet.forward(UNetInput { added: added.as_ref(), ..plain }, None).unwrap()
    };
    let whole = drawn(PictureSizes::whole(16, 16));
    for other in [
        PictureSizes { original: [64, 16], ..PictureSizes::whole(16, 16) },
        PictureSizes { crop: [0, 9], ..PictureSizes::whole(16, 16) },
        PictureSizes::whole(16, 24),
    ] {
        assert!(!drawn(other).equal(&whole), "{other:?}");
    }
    let without = model.unet.project(&TextStates { pooled: None, ..states }).unwrap();
    let error = model.unet.added(&without, PictureSizes::whole(16, 16)).unwrap_err();
    assert!(matches!(error, Error::Shape { what: "pooled text state", .. }), "{error}");
}

#[test]
fn parts_that_do_not_fit_are_named() {
    let fixture = Fixture::open("sdxl");
    let folder = folder(&fixture);
    let error = |files: ModelFiles| StableDiffusion::load_files(files, Compute::CPU_F32).unwrap_err().to_string();
    let open = || ModelFiles::open(&folder).unwrap();
    // The first encoder in the place of the second, and three for two.
    let first = folder.join("text_encoder");
    let twice = open().with_text_encoder(first.clone()).with_text_encoder(first.clone());
    let said = error(twice);
    assert!(said.contains("wide, but the U-Net expects"), "{said}");
    let said = error(open().with_text_encoder(first.clone()).with_text_encoder(first.clone()).with_text_encoder(first));
    assert!(said.contains("3 text encoders were given, but the model has 2"), "{said}");
}
