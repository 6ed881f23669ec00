//! The learning methods against PyTorch, diffusers and transformers: where they start, whole training steps, the files and the
//! pictures of identities that have rows for each layer, take two words, or change weights of the U-Net.

use std::path::Path;

use idembed_attention::{LossOptions, Norm, Reduction, Target};
use idembed_diffusion::{Compute, ModelFiles, StableDiffusion};
use idembed_integration_tests::drawn_weights::DrawnWeights;
use idembed_integration_tests::{Fixture, Parity, read_safetensors};
use idembed_tokens::objective::{AttentionOptions, ObjectiveOptions};
use idembed_tokens::{
    Example, Examples, Identities, Identity, LearnConfig, Method, ModuleConfig, Prompt, TokenOptions, Trainer,
    UNetOptions, condition,
};
use idembed_weights::TensorFile;
use serde_json::Value;
use tch::Tensor;

use crate::tokens::{compare_pictures, draw, number, text};
use crate::training::{LIMIT, begin_with, compare_parameter, gradients};

fn model(fixture: &Fixture) -> StableDiffusion {
    StableDiffusion::load(&fixture.folder.join("model"), Compute::CPU_F32).unwrap()
}

/// The rows of a tensor, each a batch of 1.
fn each(tensor: &Tensor) -> Vec<Tensor> {
    (0..tensor.size()[0]).map(|row| tensor.narrow(0, row, 1)).collect()
}

fn examples(fixture: &Fixture, pictures: usize) -> Examples {
    let (images, masks) = (each(fixture.tensor("images")), each(fixture.tensor("masks")));
    let pictures = images.into_iter().zip(masks).take(pictures);
    let names = fixture.list("names").iter().map(|name| name.as_str().unwrap().to_owned());
    Examples {
        pictures: pictures.map(|(image, mask)| Example { image, mask: Some(mask), template: None }).collect(),
        class_pictures: each(fixture.tensor("class_images")),
        names: names.collect(),
        start: None,
    }
}

#[test]
fn starts() {
    let fixture = Fixture::open("methods");
    let model = model(&fixture);
    let mut parity = Parity::new();
    for case in fixture.list("starts") {
        let name = text(case, "name");
        let (start, words) = (text(case, "start").parse().unwrap(), case["words"].as_u64().unwrap());
        let config = LearnConfig::new("me", "person", Method::TextualInversion);
        let tokens = TokenOptions { start, words: words as usize, ..config.tokens };
        let trainer = Trainer::new(&model, &examples(&fixture, 1), LearnConfig { tokens, ..config }).unwrap();
        let expected = fixture.tensor(&format!("start.{name}"));
        let expected = Tensor::cat(&[expected, expected], 0);
        parity.check_tensors(&format!("methods/start.{name}"), &trainer.tokens().unwrap()[0], &expected, LIMIT);
    }
    parity.finish();
}

fn config(case: &Value) -> LearnConfig {
    let integer = |key: &str| case[key].as_u64().unwrap();
    let method: Method = text(case, "method").parse().unwrap();
    let config = LearnConfig::new("me", "person", method);
    let target = Target::Reference { norm: Norm::Squared, reduction: Reduction::Normalised };
    let attention = AttentionOptions::weighted(number(case, "lambda"));
    let attention = attention
        .map(|attention| AttentionOptions { loss: LossOptions { target, ..attention.loss.clone() }, ..attention });
    let (unet_rate, prior_weight) = (number(case, "unet_learning_rate"), number(case, "prior_weight"));
    LearnConfig {
        objective: ObjectiveOptions { attention, min_snr: case["min_snr"].as_f64(), ..config.objective },
        unet: config.unet.map(|unet| UNetOptions { learning_rate: unet_rate, prior_weight, ..unet }),
        steps: case["steps"].as_array().unwrap().len(),
        batch: integer("batch") as usize,
        learning_rate: number(case, "learning_rate"),
        warm_up: integer("warm_up") as usize,
        weight_decay: number(case, "weight_decay"),
        clip_norm: number(case, "clip_norm"),
        seed: integer("seed"),
        mirror: case["mirror"].as_bool().unwrap(),
        module: ModuleConfig { heads: 4, expansion: 2 },
        ..config
    }
}

#[test]
fn two_steps_of_each_method() {
    let fixture = Fixture::open("methods");
    let unet = &fixture.cases["unet"];
    let (drawn, scale) = (DrawnWeights::new(unet, unet["seed"].as_u64().unwrap()), number(unet, "scale"));
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let mut parity = Parity::new();
    for case in fixture.list("steps") {
        let name = text(case, "name");
        let files = ModelFiles::open(&fixture.folder.join("model")).unwrap();
        let files = files.with_prediction(text(case, "prediction_type").parse().unwrap());
        let model = StableDiffusion::load_files(files, Compute::CPU_F32).unwrap();
        let pictures = case["pictures"].as_u64().unwrap() as usize;
        let mut trainer = Trainer::new(&model, &examples(&fixture, pictures), config(case)).unwrap();
        begin_with(&mut trainer, &checkpoint, |parameter| match parameter.strip_prefix("unet.") {
            Some(weight) => drawn.draw(weight, &drawn.shapes[weight]) * scale,
            None => fixture.tensor(&format!("step.{name}.first.{parameter}")).shallow_clone(),
        });
        for (step, expected) in case["steps"].as_array().unwrap().iter().enumerate() {
            compare_step(&mut parity, &fixture, &mut trainer, &checkpoint, (name, step), expected, &case["compared"]);
        }
    }
    parity.finish();
}

fn compare_step(
    parity: &mut Parity,
    fixture: &Fixture,
    trainer: &mut Trainer<'_>,
    checkpoint: &Path,
    (name, step): (&str, usize),
    expected: &Value,
    compared: &Value,
) {
    let before = read_safetensors(checkpoint);
    let report = trainer.step().unwrap();
    trainer.save(checkpoint).unwrap();
    let after = read_safetensors(checkpoint);

    let losses = [("noise_loss", Some(report.noise_loss)), ("attention_loss", report.attention_loss)];
    for (what, ours) in losses {
        let Some(ours) = ours else { continue };
        parity.check(&format!("methods/{name}.{step}.{what}"), (ours / number(expected, what) - 1.0).abs(), LIMIT);
    }
    let gradients = gradients(&before, &after);
    for parameter in compared.as_array().unwrap() {
        let parameter = parameter.as_str().unwrap();
        // As in `training`: this gradient is zero but for rounding.
        if parameter == "to_k.bias" {
            continue;
        }
        let (gradient, value) = (&gradients[parameter], &after[&format!("parameter.{parameter}")]);
        compare_parameter(parity, fixture, (name, step), parameter, gradient, value);
    }
    let of_unet = gradients.iter().filter(|(parameter, _)| parameter.starts_with("unet."));
    let sizes: Vec<f64> = of_unet.map(|(_, gradient)| gradient.norm().double_value(&[])).collect();
    if !sizes.is_empty() {
        let expected = fixture.tensor(&format!("step.{name}.{step}.gradient_norms"));
        let case = format!("methods/{name}.{step}.gradient_norms");
        parity.check_tensors(&case, &Tensor::from_slice(&sizes), expected, LIMIT);
    }
    let rows = fixture.tensor(&format!("step.{name}.{step}.rows"));
    parity.check_tensors(&format!("methods/{name}.{step}.rows"), &trainer.tokens().unwrap()[0], rows, LIMIT);
}

const FILES: [&str; 3] = ["layers", "words", "weights"];

/// The reference's files, written again.
#[test]
fn identity_files() {
    let fixture = Fixture::open("methods");
    let folder = tempfile::tempdir().unwrap();
    for name in FILES {
        let file = format!("{name}.safetensors");
        let (theirs, ours) = (fixture.folder.join(&file), folder.path().join(&file));
        Identity::read(&theirs).unwrap().write(&ours).unwrap();
        let metadata = |path: &Path| TensorFile::read(path, "identity", 1 << 20).unwrap().metadata;
        assert_eq!(metadata(&ours), metadata(&theirs));
        let (ours, theirs) = (read_safetensors(&ours), read_safetensors(&theirs));
        assert!(ours.keys().eq(theirs.keys()), "{name}");
        for (name, tensor) in &theirs {
            assert!(ours[name].kind() == tensor.kind() && ours[name].equal(tensor), "{name}");
        }
    }
}

#[test]
fn pictures_of_layers_words_and_weights() {
    let fixture = Fixture::open("methods");
    let model = model(&fixture);
    let identities = FILES.map(|name| Identity::read(&fixture.folder.join(format!("{name}.safetensors"))).unwrap());
    let identities = Identities::named(FILES.into_iter().zip(&identities)).unwrap();
    let mut parity = Parity::new();
    for case in fixture.list("pictures") {
        let tokenizers = model.text_encoders.tokenizers();
        let prompt = Prompt::parse_with(text(case, "prompt"), tokenizers, |name| identities.words(name)).unwrap();
        // The reference cannot know our fingerprints.
        let conditioning = condition(&model, &prompt, &identities, true).unwrap();
        let changes = identities.changed_unet([&prompt]).unwrap().map(|changes| changes.apply(&model));
        let unet = changes.transpose().unwrap();
        let picture = draw(&model, &conditioning, unet.as_ref(), case);
        let expected = format!("picture.{}", text(case, "name"));
        compare_pictures(&mut parity, &format!("methods/{expected}"), &picture, fixture.tensor(&expected));
    }
    parity.finish();
}
