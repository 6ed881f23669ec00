//! Weighted prompts, long ones, identities in them, skipped layers: against `fixtures/prompts/syntax.py`, transformers and
//! diffusers (`fixtures/prompts/generate.py`).

use idembed_clip::{ClipTextModel, TextLayer, Tokenizer};
use idembed_diffusion::conditioning::{Conditioning, TextStates};
use idembed_diffusion::text_encoders::{TextEncoder, TextEncoders};
use idembed_diffusion::{Compute, StableDiffusion, TextToImage};
use idembed_integration_tests::drawn_weights::DrawnWeights;
use idembed_integration_tests::identities::identity;
use idembed_integration_tests::{Fixture, Parity, drawing, mini_model, pixels_off, read_picture};
use idembed_tokens::{Conditions, Identities, Prompt, PromptSyntax, TokensError, condition, condition_as};
use serde_json::Value;
use tch::Tensor;

use crate::text_encoders::tokenizer_with_padding;

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

/// Share of pixels that may differ by more than one grey level.
const PIXELS_OFF: f64 = 1e-3;

pub(crate) fn mini() -> StableDiffusion {
    StableDiffusion::load(&mini_model(), Compute::CPU_F32).unwrap()
}

pub(crate) fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap()
}

/// A prompt with its syntax.
pub(crate) fn read(text: &str, encoders: &TextEncoders, identities: &Identities<'_>) -> Prompt {
    Prompt::read(text, encoders.tokenizers(), PromptSyntax::Weighted, |name| identities.words(name)).unwrap()
}

fn skipping(layers: usize) -> Conditions {
    Conditions { skipped_layers: layers, ..Conditions::default() }
}

/// The states of a prompt that are the same at every timestep.
pub(crate) fn constant(conditioning: &Conditioning) -> &TextStates {
    let [piece] = conditioning.pieces() else { panic!("{conditioning:?}") };
    &piece.states
}

/// Some of the numbers of states `[1, tokens, hidden]`, as the fixture has them.
pub(crate) fn thinned(states: &Tensor, fixture: &Fixture) -> Tensor {
    states.get(0).slice(1, None, None, fixture.cases["stride"].as_i64().unwrap())
}

#[test]
fn texts() {
    let fixture = Fixture::open("prompts");
    let model = mini();
    let mut parity = Parity::new();
    for (number, case) in fixture.list("texts").iter().enumerate() {
        let prompt = read(text(case, "prompt"), &model.text_encoders, &Identities::none());
        let expected: Vec<i64> = case["ids"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|ids| ids.as_array().unwrap())
            .map(|id| id.as_i64().unwrap())
            .collect();
        assert_eq!(prompt.ids, [expected], "{case}");
        let conditioning = condition(&model, &prompt, &Identities::none(), false).unwrap();
        let states = constant(&conditioning);
        assert!(states.key.equal(&states.value));
        let name = format!("texts.{number}");
        parity.check_tensors(&format!("prompts/{name}"), &thinned(&states.key, &fixture), fixture.tensor(&name), LIMIT);
    }
    parity.finish();
}

/// The weight of an identity is that of its keys and of its values, in every stage and chunk.
#[test]
fn identities() {
    let fixture = Fixture::open("prompts");
    let model = mini();
    let rows = |name: &str, part: &str| fixture.tensor(&format!("rows.{name}.{part}"));
    let shapes = fixture.cases["shapes"].as_object().unwrap();
    let words = |name: &str| shapes[name][1].as_u64().unwrap() as usize;
    let [me, them] =
        ["me", "them"].map(|name| identity(&model, name, words(name), &[[rows(name, "k"), rows(name, "v")]]));
    assert_eq!((me.stages(), them.stages()), (2, 1));
    let identities = Identities::named([("me", &me), ("them", &them)]).unwrap();
    let mut parity = Parity::new();
    for (number, case) in fixture.list("identities").iter().enumerate() {
        let prompt = read(case.as_str().unwrap(), &model.text_encoders, &identities);
        let conditioning = condition(&model, &prompt, &identities, false).unwrap();
        let pieces = conditioning.pieces();
        assert!([1, 2].contains(&pieces.len()), "{case}");
        for stage in 0..2 {
            let states = &pieces[stage.min(pieces.len() - 1)].states;
            for (part, ours) in [("k", &states.key), ("v", &states.value)] {
                let name = format!("identities.{number}.{stage}.{part}");
                parity.check_tensors(
                    &format!("prompts/{name}"),
                    &thinned(ours, &fixture),
                    fixture.tensor(&name),
                    LIMIT,
                );
            }
        }
    }
    parity.finish();
}

/// The two text encoders that `fixtures/encoder_pair.py` describes.
pub(crate) fn encoder_pair(case: &Value) -> TextEncoders {
    let folder = tempfile::tempdir().unwrap();
    let seed = case["seed"].as_u64().unwrap();
    let plain = Tokenizer::from_folder(&mini_model().join("tokenizer")).unwrap();
    let mut tokenizers = [plain, tokenizer_with_padding(text(case, "padding"))].into_iter();
    let encoders = (0..2).map(|index| {
        let own = folder.path().join(index.to_string());
        std::fs::create_dir(&own).unwrap();
        std::fs::write(own.join("config.json"), case["configs"][index].to_string()).unwrap();
        let weights = serde_json::json!({ "gain": case["gain"], "shapes": case["shapes"][index] });
        DrawnWeights::new(&weights, seed + index as u64).write(&own.join("model.safetensors"));
        let model = ClipTextModel::load(&own, Compute::CPU_F32).unwrap();
        TextEncoder { tokenizer: tokenizers.next().unwrap(), model, layer: TextLayer::Penultimate, pooled: index == 1 }
    });
    TextEncoders::new(encoders).unwrap()
}

/// Two text encoders, each of which keeps its own mean.
#[test]
fn pairs_of_text_encoders() {
    let fixture = Fixture::open("prompts");
    let case = &fixture.cases["pair"];
    let model = StableDiffusion { text_encoders: encoder_pair(case), ..mini() };
    let mut parity = Parity::new();
    let mut compare = |name: String, prompt: &str, skip: usize| {
        let prompt = read(prompt, &model.text_encoders, &Identities::none());
        let conditioning = condition_as(&model, &prompt, &Identities::none(), skipping(skip)).unwrap();
        let states = constant(&conditioning);
        let expected = |what: &str| fixture.tensor(&format!("{name}.{what}"));
        parity.check_tensors(&format!("prompts/{name}.states"), &states.key.get(0), expected("states"), LIMIT);
        let pooled = states.pooled.as_ref().unwrap();
        parity.check_tensors(&format!("prompts/{name}.pooled"), pooled, expected("pooled"), LIMIT);
    };
    for (number, prompt) in case["prompts"].as_array().unwrap().iter().enumerate() {
        compare(format!("pair.{number}"), prompt.as_str().unwrap(), 0);
    }
    for skip in case["skipped"].as_array().unwrap() {
        compare(format!("skipped.{skip}"), "a photo of a woman", skip.as_u64().unwrap() as usize);
    }
    parity.finish();

    // The second encoder has three layers, of which the model reads two.
    let prompt = read("a", &model.text_encoders, &Identities::none());
    let error = condition_as(&model, &prompt, &Identities::none(), skipping(2)).unwrap_err();
    assert_eq!(error.to_string(), "2 layers of the text encoder are to be skipped, expected 0 to 1");
}

#[test]
fn skipped_layers() {
    let fixture = Fixture::open("prompts");
    let model = mini();
    let mut parity = Parity::new();
    for case in fixture.list("clip_skip") {
        let skip = case["skip"].as_u64().unwrap();
        let prompt = read(text(case, "prompt"), &model.text_encoders, &Identities::none());
        let conditioning = condition_as(&model, &prompt, &Identities::none(), skipping(skip as usize)).unwrap();
        let (ours, name) = (thinned(&constant(&conditioning).key, &fixture), format!("clip_skip.{skip}"));
        parity.check_tensors(&format!("prompts/{name}"), &ours, fixture.tensor(&name), LIMIT);
    }
    parity.finish();
}

#[test]
fn pictures() {
    let fixture = Fixture::open("prompts");
    let model = mini();
    let row = fixture.tensor("rows.me.k").narrow(0, 0, 1);
    let me = identity(&model, "me", 1, &[[&row, &row]]);
    let identities = Identities::named([("me", &me)]).unwrap();
    let mut parity = Parity::new();
    for case in fixture.list("pictures") {
        let skip = skipping(case["skip"].as_u64().unwrap() as usize);
        compare_picture(&mut parity, &fixture, &model, case, &identities, skip);
    }
    parity.finish();
}

/// Draws a case with its prompt and negative prompt, both with their syntax, and compares the picture.
pub(crate) fn compare_picture(
    parity: &mut Parity,
    fixture: &Fixture,
    model: &StableDiffusion,
    case: &Value,
    identities: &Identities<'_>,
    how: Conditions,
) {
    let mut prompts = ["prompt", "negative"].map(|field| read(text(case, field), &model.text_encoders, identities));
    let chunks = prompts.iter().map(Prompt::chunks).max().unwrap();
    prompts.iter_mut().for_each(|prompt| prompt.fill(chunks, model.text_encoders.tokenizers()));
    let [prompt, negative] = prompts.map(|prompt| condition_as(model, &prompt, identities, how).unwrap());
    let seeds = drawing::seeds(case);
    let request = drawing::as_in(case, TextToImage::new(model, &prompt, &negative, &seeds));
    let topic = fixture.folder.file_name().unwrap().to_string_lossy().into_owned();
    for (index, ours) in drawing::drawn(model, &request).iter().enumerate() {
        let expected = read_picture(&fixture.folder.join(case["pictures"][index].as_str().unwrap()));
        let name = format!("{topic}/{}.{index}", text(case, "name"));
        parity.check_metric(&name, "pixels_off", pixels_off(ours, &expected), PIXELS_OFF);
    }
}

/// Without syntax, and in one chunk, every number is that of a plain prompt.
#[test]
fn plain_prompts_are_as_they_were() {
    let model = mini();
    for text in ["", "a photo of a woman, 3:1 at the beach :)", &"photo ".repeat(75)] {
        let prompt = read(text, &model.text_encoders, &Identities::none());
        let conditioning = condition(&model, &prompt, &Identities::none(), false).unwrap();
        assert!(constant(&conditioning).key.equal(&model.text_states(text).unwrap().key), "{text}");
    }
}

#[test]
fn extreme_weights_give_numbers_or_errors() {
    let model = mini();
    for weight in ["-100", "-1", "0", "1e-9", "100"] {
        let prompt = format!("a photo of (a man:{weight}), ((a (cup:{weight})))");
        let read = Prompt::read(&prompt, model.text_encoders.tokenizers(), PromptSyntax::Weighted, |_| 1);
        match read {
            Ok(prompt) => {
                let conditioning = condition(&model, &prompt, &Identities::none(), false).unwrap();
                assert_eq!(constant(&conditioning).key.isfinite().all().int64_value(&[]), 1, "{weight}");
            }
            Err(error) => {
                assert!(matches!(error, TokensError::PromptWeight { .. }) && weight.ends_with("100"), "{error}")
            }
        }
    }
}
