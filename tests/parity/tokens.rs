//! Token module, optimizer, the whole objective with its gradients, and pictures of identities, against PyTorch,
//! diffusers and transformers.

use idembed_attention::{LayerChoice, Norm, Reduction, ReferenceKeys};
use idembed_diffusion::conditioning::Conditioning;
use idembed_diffusion::unet::UNet;
use idembed_diffusion::{Compute, StableDiffusion, TextToImage};
use idembed_integration_tests::identities::identity;
use idembed_integration_tests::{Fixture, Parity, drawing, read_safetensors};
use idembed_optimizer::{AdamW, AdamWConfig, clip_by_global_norm};
use idembed_tokens::objective::{AttentionTerm, Batch, NoiseWeights, TermTarget, losses};
use idembed_tokens::{Embedding, Identities, Layout, ModuleConfig, Prompt, TokenModule, TrainingPrompt, condition};
use image::RgbImage;
use serde_json::Value;
use tch::{Kind, Tensor};

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

fn model(fixture: &Fixture, name: &str) -> StableDiffusion {
    StableDiffusion::load(&fixture.folder.join(name), Compute::CPU_F32).unwrap()
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn integer(value: &Value, key: &str) -> i64 {
    value[key].as_i64().unwrap()
}

pub(crate) fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
}

fn flag(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap()
}

#[test]
fn token_module() {
    let fixture = Fixture::open("tokens");
    let mut parity = Parity::new();
    for case in fixture.list("modules") {
        let prefix = format!("module.{}", text(case, "name"));
        let body = ModuleConfig { heads: integer(case, "heads"), expansion: integer(case, "expansion") };
        let start = fixture.tensor(&format!("{prefix}.start"));
        let module = TokenModule::new(start, integer(case, "rows"), body, 0).unwrap();
        for (name, parameter) in module.parameters() {
            let value = fixture.tensor(&format!("{prefix}.weights.{name}"));
            tch::no_grad(|| parameter.shallow_clone().copy_(value));
        }
        let tokens = module.forward().unwrap();
        (&tokens * fixture.tensor(&format!("{prefix}.weighting"))).sum(Kind::Float).backward();
        let expected = fixture.tensor(&format!("{prefix}.tokens"));
        parity.check_tensors(&format!("tokens/{prefix}"), &tokens.detach(), expected, LIMIT);
        for (name, parameter) in module.parameters() {
            // Adding the same to all keys leaves the softmax as it is: this gradient is zero but for rounding.
            if name != "to_k.bias" {
                let expected = fixture.tensor(&format!("{prefix}.gradients.{name}"));
                parity.check_tensors(&format!("tokens/{prefix}.gradient.{name}"), &parameter.grad(), expected, LIMIT);
            }
        }
    }
    parity.finish();
}

#[test]
fn optimizer() {
    let fixture = Fixture::open("tokens");
    let mut parity = Parity::new();
    for case in fixture.list("optimizers") {
        let name = text(case, "name");
        let list = |key: &str| -> Vec<f64> {
            case[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let (betas, rates, norms) = (list("betas"), list("rates"), list("norms"));
        let (eps, weight_decay) = (number(case, "eps"), number(case, "weight_decay"));
        let config = AdamWConfig { beta1: betas[0], beta2: betas[1], eps, weight_decay };
        let parameters =
            [0, 1].map(|index| fixture.tensor(&format!("optimizer.first.{index}")).copy().set_requires_grad(true));
        let parameters: Vec<&Tensor> = parameters.iter().collect();
        let mut optimizer = AdamW::new(config, &parameters).unwrap();
        for (step, (&rate, &expected_norm)) in rates.iter().zip(&norms).enumerate() {
            let mut gradients =
                [0, 1].map(|index| fixture.tensor(&format!("optimizer.gradients.{step}.{index}")).copy());
            let norm = clip_by_global_norm(&mut gradients, number(case, "clip_norm")).unwrap();
            parity.check(&format!("tokens/optimizer.{name}.{step}.norm"), (norm / expected_norm - 1.0).abs(), LIMIT);
            optimizer.update(&parameters, &gradients, &[rate, rate]).unwrap();
            for (index, parameter) in parameters.iter().enumerate() {
                let expected = fixture.tensor(&format!("optimizer.{name}.{step}.{index}"));
                parity.check_tensors(&format!("tokens/optimizer.{name}.{step}.{index}"), parameter, expected, LIMIT);
            }
        }
    }
    parity.finish();
}

#[test]
fn objective() {
    let fixture = Fixture::open("tokens");
    let mut parity = Parity::new();
    for name in ["epsilon", "v_prediction"] {
        let model = model(&fixture, name);
        for case in fixture.list("objectives").iter().filter(|case| text(case, "model") == name) {
            compare_objective(&fixture, &model, case, &mut parity);
        }
    }
    parity.finish();
}

fn compare_objective(fixture: &Fixture, model: &StableDiffusion, case: &Value, parity: &mut Parity) {
    let prefix = format!("objective.{}.{}", text(case, "model"), text(case, "name"));
    let tensor = |name: &str| fixture.tensor(&format!("{prefix}.{name}"));
    let template = text(&fixture.cases, "template");
    let prompt = Prompt::parse(&template.replace("{}", "<me>"), model.text_encoders.tokenizers()).unwrap();
    let position = prompt.placeholders[0].positions[0];
    let encoders = &model.text_encoders;
    let stages = integer(case, "stages") as usize;
    let layout = Layout::staged(stages, flag(case, "split_kv"));
    let training = TrainingPrompt::new(encoders.embed(&prompt.ids).unwrap(), position, layout, 1000);
    let class = encoders.first().tokenizer.token_ids(text(&fixture.cases, "class")).unwrap();
    let reference = training.fixed_states(encoders, &[encoders.first().embed(&class).unwrap().squeeze_dim(0)]).unwrap();

    let downscales = model.unet.downscales();
    assert_eq!(downscales.len() as i64, integer(case, "layers"));
    let term = AttentionTerm {
        target: TermTarget::Reference {
            keys: ReferenceKeys::new(model.unet.project_keys(&reference).unwrap()).unwrap(),
            norm: Norm::Squared,
            reduction: Reduction::Sum,
        },
        layers: LayerChoice::All.resolve(&downscales).unwrap(),
        detach_query: flag(case, "detach_query"),
    };
    let timesteps = case["timesteps"].as_array().unwrap().iter().map(|value| value.as_i64().unwrap());
    let batch = Batch {
        latents: tensor("latents").copy(),
        noise: tensor("noise").copy(),
        timesteps: timesteps.collect(),
        mask: Some(tensor("mask").copy()),
    };
    let tokens = tensor("tokens").copy().set_requires_grad(true);
    let states = training.states(encoders, std::slice::from_ref(&tokens), &batch.timesteps).unwrap();
    let weights = NoiseWeights { masked: flag(case, "masked_noise"), min_snr: None };
    let losses = losses(model, &states, &batch, Some(&term), weights, None).unwrap();
    for (name, loss) in [("noise", losses.noise), ("attention", losses.attention.unwrap())] {
        let gradient = &Tensor::run_backward(&[&loss], &[&tokens], true, false)[0];
        let value = loss.detach().reshape([1]);
        let case = format!("tokens/{prefix}.{name}");
        parity.check_tensors(&format!("{case}_loss"), &value, tensor(&format!("{name}_loss")), LIMIT);
        parity.check_tensors(&format!("{case}_gradient"), gradient, tensor(&format!("{name}_gradient")), LIMIT);
    }
}

/// `unet` predicts in the place of the model's own.
pub(crate) fn draw(model: &StableDiffusion, prompt: &Conditioning, unet: Option<&UNet>, case: &Value) -> RgbImage {
    let negative = model.condition("").unwrap();
    let size = case["size"].as_array().unwrap();
    let seeds = [integer(case, "seed") as u64];
    let request = TextToImage {
        guidance_scale: number(case, "guidance"),
        steps: integer(case, "steps") as usize,
        scheduler: text(case, "scheduler").parse().unwrap(),
        width: size[1].as_i64().unwrap(),
        height: size[0].as_i64().unwrap(),
        unet,
        ..TextToImage::new(model, prompt, &negative, &seeds)
    };
    drawing::drawn(model, &request).remove(0)
}

/// Notes the share of values that differ by more than one grey level.
pub(crate) fn compare_pictures(parity: &mut Parity, case: &str, ours: &RgbImage, expected: &Tensor) {
    let expected: Vec<u8> = Vec::try_from(expected.permute([1, 2, 0]).contiguous().view([-1])).unwrap();
    assert_eq!(ours.as_raw().len(), expected.len());
    let off = ours.as_raw().iter().zip(&expected).filter(|(ours, expected)| ours.abs_diff(**expected) > 1).count();
    parity.check(&format!("{case}.share_off_by_more_than_one"), off as f64 / expected.len() as f64, 1e-3);
}

#[test]
fn pictures_of_two_identities() {
    let fixture = Fixture::open("tokens");
    let mut parity = Parity::new();
    for name in ["epsilon", "v_prediction"] {
        let model = model(&fixture, name);
        let [a, b] = ["a", "b"].map(|name| {
            let rows = |half: &str| fixture.tensor(&format!("identity.{name}.{half}"));
            identity(&model, name, 1, &[[rows("k"), rows("v")]])
        });
        for case in fixture.list("pictures").iter().filter(|case| text(case, "model") == name) {
            let prompt = Prompt::parse(text(case, "prompt"), model.text_encoders.tokenizers()).unwrap();
            let identities = Identities::named([("a", &a), ("b", &b)]).unwrap();
            let conditioning = condition(&model, &prompt, &identities, false).unwrap();
            let scheduler = text(case, "scheduler");
            let expected = fixture.tensor(&format!("picture.{name}.{scheduler}"));
            let picture = draw(&model, &conditioning, None, case);
            compare_pictures(&mut parity, &format!("tokens/picture.{name}.{scheduler}"), &picture, expected);
        }
    }
    parity.finish();
}

/// The exported file is the very one that diffusers' `load_textual_inversion` drew the expected picture with.
#[test]
fn exported_embedding() {
    let fixture = Fixture::open("tokens");
    let mut parity = Parity::new();
    let case = &fixture.cases["embedding"];
    let model = model(&fixture, text(case, "model"));
    let vector = fixture.tensor("embedding.vector");
    let me = identity(&model, "me", 1, &[[vector, vector]]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("me.safetensors");
    Embedding::of(&me).unwrap().write(&path).unwrap();
    let exported = read_safetensors(&path);
    assert_eq!(exported.keys().collect::<Vec<_>>(), ["emb_params"]);
    assert!(exported["emb_params"].equal(vector) && exported["emb_params"].kind() == Kind::Float);

    let prompt = Prompt::parse(text(case, "prompt"), model.text_encoders.tokenizers()).unwrap();
    let conditioning = condition(&model, &prompt, &Identities::named([("me", &me)]).unwrap(), false).unwrap();
    let picture = draw(&model, &conditioning, None, case);
    compare_pictures(&mut parity, "tokens/embedding", &picture, fixture.tensor("embedding.picture"));
    parity.finish();
}
