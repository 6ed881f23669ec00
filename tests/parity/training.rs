//! Whole training steps against PyTorch: what is drawn, the losses, the gradients, the updated parameters.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_attention::{LossOptions, Norm, Reduction, Target};
use idembed_diffusion::{Compute, StableDiffusion};
use idembed_integration_tests::{Fixture, Parity, read_safetensors};
use idembed_tokens::objective::{AttentionOptions, ObjectiveOptions};
use idembed_tokens::{Examples, LearnConfig, Method, ModuleConfig, TokenOptions, Trainer};
use idembed_weights::TensorFile;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// Relative to the largest expected value.
pub(crate) const LIMIT: f64 = 1e-4;
/// For networks in bf16, which has eight bits: relative, and of gradients one minus their cosine.
const BF16_LIMIT: f64 = 0.05;
/// The attention loss is a sum of squared differences of maps that are alike, which rounding widens, and the gradient with it.
const BF16_ATTENTION_LIMIT: f64 = 0.2;
/// Updates are compared, not parameters, of which they are a small part. Adam moves a parameter in the direction of its
/// gradient's sign, so that where a gradient is zero but for rounding, nobody knows where it goes: elements with smaller
/// gradients than this, relative to the largest of their parameter, are not compared.
const DECIDED: f64 = 0.1;

fn config(case: &Value, name: &str) -> LearnConfig {
    let number = |key: &str| case[key].as_f64().unwrap();
    let integer = |key: &str| case[key].as_u64().unwrap();
    let reduction: Reduction = case["reduction"].as_str().unwrap().parse().unwrap();
    let target = Target::Reference { norm: Norm::Squared, reduction };
    let loss = LossOptions { target, ..LossOptions::default() };
    LearnConfig {
        tokens: TokenOptions { stages: integer("stages") as usize, ..Method::Sefi.spec().tokens },
        template: "a photo of the face of {}".to_owned(),
        objective: ObjectiveOptions {
            attention: Some(AttentionOptions { lambda: number("lambda"), loss }),
            masked_noise: false,
            min_snr: None,
        },
        steps: case["steps"].as_array().unwrap().len(),
        batch: integer("batch") as usize,
        learning_rate: number("learning_rate"),
        warm_up: integer("warm_up") as usize,
        weight_decay: number("weight_decay"),
        clip_norm: number("clip_norm"),
        seed: integer("seed"),
        log_every: 1,
        module: ModuleConfig { heads: integer("heads") as i64, expansion: integer("expansion") as i64 },
        ..LearnConfig::new(name, "person", Method::Sefi)
    }
}

/// A trainer whose parameters are the fixture's: they reach it as a checkpoint does.
fn begin<'a>(fixture: &Fixture, model: &'a StableDiffusion, case: &Value, checkpoint: &Path) -> Trainer<'a> {
    let prefix = format!("step.{}", case["name"].as_str().unwrap());
    let image = fixture.tensor(&format!("{prefix}.image"));
    let mut trainer = Trainer::new(model, &Examples::one(image, None), config(case, "me")).unwrap();
    let first = |parameter: &str| fixture.tensor(&format!("{prefix}.first.{parameter}")).shallow_clone();
    begin_with(&mut trainer, checkpoint, first);
    trainer
}

/// Gives a trainer its first parameters, by their names.
pub(crate) fn begin_with(trainer: &mut Trainer<'_>, checkpoint: &Path, first: impl Fn(&str) -> Tensor) {
    trainer.save(checkpoint).unwrap();
    let mut file = TensorFile::read(checkpoint, "checkpoint", u64::MAX).unwrap();
    for (name, tensor) in &mut file.tensors {
        if let Some(parameter) = name.strip_prefix("parameter.") {
            *tensor = first(parameter);
        }
    }
    file.write(checkpoint).unwrap();
    trainer.resume(checkpoint).unwrap();
}

/// The clipped gradients of one step, from Adam's first moments before and after it.
pub(crate) fn gradients(
    before: &BTreeMap<String, Tensor>,
    after: &BTreeMap<String, Tensor>,
) -> BTreeMap<String, Tensor> {
    let means = after.iter().filter_map(|(name, mean)| Some((name.strip_prefix("mean.")?, mean)));
    let gradient = |(name, mean): (&str, &Tensor)| {
        (
            name.to_owned(),
            (mean.to_kind(Kind::Double) - before[&format!("mean.{name}")].to_kind(Kind::Double) * 0.9) / 0.1,
        )
    };
    means.map(gradient).collect()
}

/// Compares the gradient of one step, and how far the parameter has come.
pub(crate) fn compare_parameter(
    parity: &mut Parity,
    fixture: &Fixture,
    (name, step): (&str, usize),
    parameter: &str,
    gradient: &Tensor,
    value: &Tensor,
) {
    let topic = format!("training/{name}.{step}");
    // Principal components may point either way, and with them what their coefficients do.
    let unsigned = |tensor: Tensor| if parameter == "coefficients" { tensor.abs() } else { tensor };
    let gradient_of = |step| unsigned(fixture.tensor(&format!("step.{name}.{step}.gradients.{parameter}")).copy());
    let gradient = unsigned(gradient.copy());
    parity.check_tensors(&format!("{topic}.gradient.{parameter}"), &gradient, &gradient_of(step), LIMIT);
    let decided = (0..=step).fold(value.ones_like(), |decided, step| {
        let gradient = gradient_of(step).abs();
        decided * gradient.ge_tensor(&(gradient.max() * DECIDED))
    });
    let first = fixture.tensor(&format!("step.{name}.first.{parameter}"));
    let expected = fixture.tensor(&format!("step.{name}.{step}.parameters.{parameter}"));
    let moved = |value: &Tensor| unsigned((value - first) * &decided);
    parity.check_tensors(&format!("{topic}.update.{parameter}"), &moved(value), &moved(expected), LIMIT);
}

#[test]
fn two_steps() {
    let fixture = Fixture::open("tokens");
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let mut parity = Parity::new();
    for case in fixture.list("steps") {
        let name = case["name"].as_str().unwrap();
        let model = fixture.folder.join(case["model"].as_str().unwrap());
        let model = StableDiffusion::load(&model, Compute::CPU_F32).unwrap();
        let mut trainer = begin(&fixture, &model, case, &checkpoint);
        for (step, expected) in case["steps"].as_array().unwrap().iter().enumerate() {
            let topic = format!("training/{name}.{step}");
            let before = read_safetensors(&checkpoint);
            let report = trainer.step().unwrap();
            trainer.save(&checkpoint).unwrap();
            let after = read_safetensors(&checkpoint);

            let measured = report.measured.as_ref().unwrap();
            let norms = [("noise", measured.grad_norm_noise), ("attention", measured.grad_norm_attention)];
            for ((what, ours), expected) in norms.into_iter().zip(expected["token_norms"].as_array().unwrap()) {
                let error = (ours / expected.as_f64().unwrap() - 1.0).abs();
                parity.check(&format!("{topic}.token_norm.{what}"), error, LIMIT);
            }
            for (what, ours) in [("noise_loss", report.noise_loss), ("attention_loss", report.attention_loss.unwrap())]
            {
                parity.check(&format!("{topic}.{what}"), (ours / expected[what].as_f64().unwrap() - 1.0).abs(), LIMIT);
            }
            for (parameter, gradient) in gradients(&before, &after) {
                // Adding the same to all keys changes nothing: this gradient is zero but for rounding.
                if parameter != "to_k.bias" {
                    let value = &after[&format!("parameter.{parameter}")];
                    compare_parameter(&mut parity, &fixture, (name, step), &parameter, &gradient, value);
                }
            }
        }
    }
    parity.finish();
}

/// The same steps with the networks in bf16: the token module and the losses stay f32.
#[test]
fn one_step_in_bf16() {
    let fixture = Fixture::open("tokens");
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let mut parity = Parity::new();
    for case in fixture.list("steps") {
        let name = case["name"].as_str().unwrap();
        let model = fixture.folder.join(case["model"].as_str().unwrap());
        let compute = Compute { device: Device::Cpu, kind: Kind::BFloat16 };
        let model = StableDiffusion::load(&model, compute).unwrap();
        let mut trainer = begin(&fixture, &model, case, &checkpoint);
        let before = read_safetensors(&checkpoint);
        let report = trainer.step().unwrap();
        trainer.save(&checkpoint).unwrap();
        let expected = &case["steps"][0];
        for (what, ours, limit) in [
            ("noise_loss", report.noise_loss, BF16_LIMIT),
            ("attention_loss", report.attention_loss.unwrap(), BF16_ATTENTION_LIMIT),
        ] {
            let error = (ours / expected[what].as_f64().unwrap() - 1.0).abs();
            parity.check(&format!("training/{name}.bf16.{what}"), error, limit);
        }
        let flat = |tensors: Vec<Tensor>| {
            Tensor::cat(
                &tensors.iter().map(|tensor| tensor.flatten(0, -1).to_kind(Kind::Double)).collect::<Vec<_>>(),
                0,
            )
        };
        let gradients = gradients(&before, &read_safetensors(&checkpoint));
        let expected = gradients.keys().map(|key| fixture.tensor(&format!("step.{name}.0.gradients.{key}")));
        let expected = flat(expected.map(Tensor::shallow_clone).collect());
        let ours = flat(gradients.into_values().collect());
        let cosine = ours.dot(&expected) / (ours.norm() * expected.norm());
        parity.check(&format!("training/{name}.bf16.gradient_angle"), 1.0 - cosine.double_value(&[]), BF16_LIMIT);
        let size = (ours.norm() / expected.norm() - 1.0).abs().double_value(&[]);
        parity.check(&format!("training/{name}.bf16.gradient_size"), size, BF16_ATTENTION_LIMIT);
    }
    parity.finish();
}
