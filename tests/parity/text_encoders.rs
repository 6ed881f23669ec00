//! A model with two text encoders against transformers (`fixtures/text_encoders/generate.py`), and identities for it.

use std::path::Path;

use idembed_clip::{ClipTextModel, TextLayer, Tokenizer};
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::text_encoders::{TextEncoder, TextEncoders};
use idembed_diffusion::unet::{UNet, UNetInput};
use idembed_diffusion::{Compute, ModelFiles, StableDiffusion};
use idembed_integration_tests::{Fixture, Parity, fixture_dir, identities, mini_model, read_safetensors};
use idembed_tokens::{
    Examples, Identities, Identity, Layout, LearnConfig, Method, OptimizerName, Prompt, TokensError, Trainer,
    TrainingPrompt, condition,
};
use tch::{Device, Kind, Tensor};

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

/// The miniature's tokenizer with another padding token.
pub(crate) fn tokenizer_with_padding(padding: &str) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    let source = mini_model().join("tokenizer");
    for file in ["vocab.json", "merges.txt"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    let config = std::fs::read_to_string(source.join("tokenizer_config.json")).unwrap();
    let config = config.replace("\"pad_token\": \"<|endoftext|>\"", &format!("\"pad_token\": \"{padding}\""));
    std::fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
    Tokenizer::from_folder(folder.path()).unwrap()
}

fn load(folder: &Path, tokenizer: Tokenizer, pooled: bool) -> TextEncoder {
    let model = ClipTextModel::load(folder, Compute::CPU_F32).unwrap();
    TextEncoder { tokenizer, model, layer: TextLayer::Penultimate, pooled }
}

fn encoders(fixture: &Fixture) -> TextEncoders {
    let plain = Tokenizer::from_folder(&mini_model().join("tokenizer")).unwrap();
    let padded = tokenizer_with_padding(fixture.cases["padding"].as_str().unwrap());
    let first = load(&fixture.folder.join("first"), plain, false);
    TextEncoders::new([first, load(&fixture.folder.join("second"), padded, true)]).unwrap()
}

/// A whole model, with what else it needs from another fixture.
fn model(fixture: &Fixture) -> StableDiffusion {
    let other = StableDiffusion::load(&fixture_dir("tokens").join("epsilon"), Compute::CPU_F32).unwrap();
    let unet = UNet::load(&fixture.folder.join("unet"), Compute::CPU_F32).unwrap();
    StableDiffusion { text_encoders: encoders(fixture), unet, ..other }
}

/// The prompt with `<me>` for the word that the fixture replaces.
fn prompt_with_me(fixture: &Fixture, model: &StableDiffusion) -> Prompt {
    let text = fixture.list("prompts")[0].as_str().unwrap();
    let text = text.replace(fixture.cases["placed"].as_str().unwrap(), "<me>");
    let prompt = Prompt::parse(&text, model.text_encoders.tokenizers()).unwrap();
    assert_eq!(prompt.placeholders[0].positions, [fixture.cases["position"].as_i64().unwrap()]);
    prompt
}

/// An identity of one stage, whose K and V are the fixture's two rows.
fn identity(fixture: &Fixture, model: &StableDiffusion) -> Identity {
    let rows = [0, 1].map(|encoder| {
        let rows = fixture.tensor(&format!("rows.{encoder}"));
        [0, 1].map(|half| rows.narrow(0, half, 1))
    });
    identities::identity(model, "me", 1, &rows.each_ref().map(|halves| halves.each_ref()))
}

#[test]
fn prompts() {
    let fixture = Fixture::open("text_encoders");
    let model = model(&fixture);
    let mut parity = Parity::new();
    for (row, text) in fixture.list("prompts").iter().enumerate() {
        let text = text.as_str().unwrap();
        let expected = |name: &str| fixture.tensor(name).narrow(0, row as i64, 1);
        let prompt = Prompt::parse(text, model.text_encoders.tokenizers()).unwrap();
        for (index, ids) in prompt.ids.iter().enumerate() {
            assert!(Tensor::from_slice(ids).unsqueeze(0).equal(&expected(&format!("ids.{index}"))), "{text}: {index}");
        }
        let states = model.text_states(text).unwrap();
        assert!(states.key.equal(&states.value));
        parity.check_tensors(&format!("text_encoders/{row}.states"), &states.key, &expected("states"), LIMIT);
        let pooled = states.pooled.as_ref().unwrap();
        parity.check_tensors(&format!("text_encoders/{row}.pooled"), pooled, &expected("pooled"), LIMIT);

        // What is pooled goes the way of keys and values.
        let projected = model.unet.project(&states).unwrap();
        let twice = projected.repeat_rows(2).unwrap();
        let joined = projected.concat(&twice).unwrap();
        assert!(joined.pooled().unwrap().equal(&pooled.expand([3, -1], false)));
        let without = model.unet.project(&TextStates::shared(states.key)).unwrap();
        assert!(without.pooled().is_none() && joined.concat(&without).is_err());
    }
    parity.finish();
}

#[test]
fn last_layer_without_projection() {
    let fixture = Fixture::open("text_encoders");
    let model = ClipTextModel::load(&fixture.folder.join("first"), Compute::CPU_F32).unwrap();
    let ids = fixture.tensor("ids.0");
    let embeds = model.embed_tokens(ids).unwrap();
    let mut parity = Parity::new();
    let last = fixture.tensor("first.last");
    parity.check_tensors("text_encoders/first.last", &model.encode(&embeds).unwrap(), last, LIMIT);
    for row in 0..ids.size()[0] {
        let ids = Vec::<i64>::try_from(ids.get(row)).unwrap();
        let end = ids.iter().position(|&id| id == *ids.last().unwrap()).unwrap() as i64;
        let encoded = model.encode_layer(&embeds.narrow(0, row, 1), TextLayer::Last, Some(end)).unwrap();
        let name = format!("text_encoders/first.{row}");
        parity.check_tensors(&format!("{name}.states"), &encoded.states, &last.narrow(0, row, 1), LIMIT);
        let expected = fixture.tensor("first.pooled").narrow(0, row, 1);
        parity.check_tensors(&format!("{name}.pooled"), &encoded.pooled.unwrap(), &expected, LIMIT);
    }
    parity.finish();
}

#[test]
fn conditioning_of_an_identity() {
    let fixture = Fixture::open("text_encoders");
    let model = model(&fixture);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("me.safetensors");
    identity(&fixture, &model).write(&path).unwrap();
    let me = Identity::read(&path).unwrap();
    let prompt = prompt_with_me(&fixture, &model);
    let conditioning = condition(&model, &prompt, &Identities::named([("me", &me)]).unwrap(), false).unwrap();
    let [piece] = conditioning.pieces() else { panic!("{conditioning:?}") };
    let mut parity = Parity::new();
    let expected = |name: &str, row| fixture.tensor(&format!("placed.{name}")).narrow(0, row, 1);
    let states = &piece.states;
    parity.check_tensors("text_encoders/condition.key", &states.key, &expected("states", 0), LIMIT);
    parity.check_tensors("text_encoders/condition.value", &states.value, &expected("states", 1), LIMIT);
    let pooled = states.pooled.as_ref().unwrap();
    parity.check_tensors("text_encoders/condition.pooled", pooled, &expected("pooled", 1), LIMIT);
    parity.finish();
}

#[test]
fn gradients_of_a_training_prompt() {
    let fixture = Fixture::open("text_encoders");
    let model = model(&fixture);
    let prompt = prompt_with_me(&fixture, &model);
    let embeds = model.text_encoders.embed(&prompt.ids).unwrap();
    // Two stages without a split of K and V give the two texts of the fixture; the noisier one comes first.
    let training = TrainingPrompt::new(embeds, prompt.placeholders[0].positions[0], Layout::staged(2, false), 1000);
    let tokens = [0, 1].map(|index| {
        let rows = fixture.tensor(&format!("rows.{index}"));
        Tensor::cat(&[rows, &rows.zeros_like()], 0).set_requires_grad(true)
    });
    let states = training.states(&model.text_encoders, &tokens, &[900, 100]).unwrap();
    let weighted =
        |tensor: &Tensor, name: &str| (tensor * fixture.tensor(&format!("weighting.{name}"))).sum(Kind::Float);
    let total = weighted(&states.key, "states") + weighted(states.pooled.as_ref().unwrap(), "pooled");
    let gradients = Tensor::run_backward(&[total], &tokens, false, false);
    let mut parity = Parity::new();
    for (index, gradient) in gradients.iter().enumerate() {
        let expected = fixture.tensor(&format!("gradients.{index}"));
        let name = format!("text_encoders/gradient.{index}");
        parity.check_tensors(&name, &gradient.narrow(0, 0, 2), expected, LIMIT);
    }
    parity.finish();
    let alone = training.states(&model.text_encoders, &tokens[..1], &[900]);
    assert!(matches!(alone, Err(TokensError::Shape { what: "list of tokens", .. })));
}

#[test]
fn learning_reaches_both_encoders_and_goes_on_from_a_checkpoint() {
    let fixture = Fixture::open("text_encoders");
    let model = model(&fixture);
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let image = Tensor::linspace(-1.0, 1.0, 3 * 16 * 16, (Kind::Float, Device::Cpu)).view([1, 3, 16, 16]);
    for optimizer in [OptimizerName::AdamW, OptimizerName::Prodigy] {
        let config = LearnConfig { steps: 3, optimizer, ..LearnConfig::new("me", "person", Method::Sefi) };
        let begin = || Trainer::new(&model, &Examples::one(&image, None), config.clone()).unwrap();
        let mut trainer = begin();
        let starts = trainer.tokens().unwrap();
        assert_eq!(starts.iter().map(Tensor::size).collect::<Vec<_>>(), [[10, 16], [10, 24]]);
        trainer.step().unwrap();
        trainer.save(&checkpoint).unwrap();
        let saved = read_safetensors(&checkpoint);
        for name in ["offset", "to_tokens.weight"] {
            for prefix in ["", "1."] {
                // The optimizer's mean is the first step's gradient but for a factor.
                let mean = &saved[&format!("mean.{prefix}{name}")];
                assert!(mean.abs().max().double_value(&[]) > 0.0, "{prefix}{name}");
            }
        }
        let [first, second] = ["parameter.to_q.weight", "parameter.1.to_q.weight"].map(|name| &saved[name]);
        assert_eq!((first.size(), second.size()), (vec![16, 16], vec![24, 24]));

        let mut resumed = begin();
        resumed.resume(&checkpoint).unwrap();
        for trainer in [&mut trainer, &mut resumed] {
            while !trainer.is_done() {
                trainer.step().unwrap();
            }
        }
        let (learned, again) = (trainer.identity().unwrap(), resumed.identity().unwrap());
        assert_eq!(learned.encoders.len(), 2);
        for (index, (rows, others)) in learned.encoders.iter().zip(&again.encoders).enumerate() {
            assert!(rows.k.equal(&others.k) && rows.v.equal(&others.v), "{index}");
            assert!(!rows.k.equal(&starts[index].narrow(0, 0, 5)) && !rows.k.equal(&rows.v), "{index}");
        }
        learned.check_base(&model, false).unwrap();
    }
}

#[test]
fn identities_of_other_encoders_are_refused() {
    let fixture = Fixture::open("text_encoders");
    let model = model(&fixture);
    let changed = |change: fn(&mut Identity)| {
        let mut other = identity(&fixture, &model);
        change(&mut other);
        other
    };
    let one = changed(|other| drop(other.encoders.pop()));
    for force in [false, true] {
        let error = one.check_base(&model, force).unwrap_err();
        assert!(matches!(error, TokensError::OtherEncoders { got: 1, expected: 2, .. }), "{error}");
    }
    let swapped = changed(|other| other.encoders.reverse());
    let error = swapped.check_base(&model, true).unwrap_err();
    assert!(matches!(error, TokensError::OtherHidden { got: 24, expected: 16, .. }), "{error}");
    let second = changed(|other| other.encoders[1].sha256 = "0".repeat(64));
    let error = second.check_base(&model, false).unwrap_err();
    assert!(matches!(error, TokensError::OtherBase { .. }), "{error}");
    second.check_base(&model, true).unwrap();
}

#[test]
fn tokenizers_that_disagree_are_refused() {
    let plain = Tokenizer::from_folder(&mini_model().join("tokenizer")).unwrap();
    // Without a rule to join letters, words have other lengths.
    let folder = tempfile::tempdir().unwrap();
    let source = mini_model().join("tokenizer");
    for file in ["vocab.json", "tokenizer_config.json"] {
        std::fs::copy(source.join(file), folder.path().join(file)).unwrap();
    }
    std::fs::write(folder.path().join("merges.txt"), "#version: 0.2\n").unwrap();
    let letters = Tokenizer::from_folder(folder.path()).unwrap();
    Prompt::parse("a <me>", [&plain, &letters]).unwrap();
    let error = Prompt::parse("a photo of <me>", [&plain, &letters]).unwrap_err();
    assert!(matches!(error, TokensError::OtherPositions { .. }), "{error}");
    assert!(matches!(Prompt::parse("<me>", []), Err(TokensError::Setting { .. })));
}

/// As `generate --low-memory` has it on a GPU; here another number format stands for another device.
#[test]
fn text_encoders_may_compute_elsewhere() {
    let files = || ModelFiles::open(&mini_model()).unwrap();
    let texts = Compute { kind: Kind::BFloat16, ..Compute::CPU_F32 };
    let apart = StableDiffusion::load_with_texts_on(files(), Compute::CPU_F32, texts).unwrap();
    let states = apart.text_states("a photo of a woman").unwrap();
    let alone = TextEncoders::load(&files(), texts).unwrap();
    assert_eq!(alone.fingerprints().unwrap(), apart.text_encoders.fingerprints().unwrap());
    let whole = StableDiffusion::load_files(files(), Compute::CPU_F32).unwrap();
    let exact = whole.text_states("a photo of a woman").unwrap();
    let noise = |states: &TextStates| {
        let latents = Tensor::ones([1, 4, 16, 16], (Kind::Float, Device::Cpu));
        let context = apart.unet.project(states).unwrap();
        let times = Tensor::from_slice(&[500.0f32]);
        apart.unet.forward(UNetInput::new(&latents, &times, &context), None).unwrap()
    };
    let (near, expected) = (noise(&states), noise(&exact));
    assert_eq!(near.kind(), Kind::Float);
    assert!(near != expected);
    let difference = f64::try_from((&near - &expected).abs().max()).unwrap();
    assert!(difference < 0.1 * f64::try_from(expected.abs().max()).unwrap(), "{difference}");
}
