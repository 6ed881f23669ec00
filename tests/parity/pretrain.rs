//! The training of the miniature's networks against PyTorch and diffusers.

use std::collections::BTreeMap;

use idembed_diffusion::vae::{Vae, VaeConfig};
use idembed_integration_tests::{Fixture, Parity, read_safetensors};
use idembed_optimizer::{AdamW, AdamWConfig, Average, Decay, LearningRate, clip_by_global_norm};
use idembed_pretrain::vae::LossWeights;
use idembed_weights::{Parameters, Weights, channels_last};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
}

fn numbers(value: &Value, key: &str) -> Vec<f64> {
    value[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn optimizer_schedule_and_average() {
    let fixture = Fixture::open("pretrain");
    let mut parity = Parity::new();
    let case = &fixture.cases["optimizer"];
    let (count, steps) = (case["tensors"].as_u64().unwrap() as usize, case["steps"].as_u64().unwrap() as usize);
    let named = |what: &str| -> Vec<Tensor> {
        (0..count).map(|index| fixture.tensor(&format!("optimizer.{what}.{index}")).copy()).collect()
    };
    // In the memory order that parameters have in training; the gradients come in any.
    let ordered = |tensor: &Tensor| if tensor.dim() == 4 { channels_last(tensor).unwrap() } else { tensor.copy() };
    let start: Vec<Tensor> = named("start").iter().map(ordered).collect();
    let averages: Vec<Tensor> = start.iter().map(Tensor::copy).collect();
    let leaves: Vec<Tensor> = start.into_iter().map(|tensor| tensor.set_requires_grad(true)).collect();
    let (leaves, averages): (Vec<&Tensor>, Vec<&Tensor>) = (leaves.iter().collect(), averages.iter().collect());

    let betas = numbers(case, "betas");
    let config = AdamWConfig {
        beta1: betas[0],
        beta2: betas[1],
        eps: number(case, "eps"),
        weight_decay: number(case, "weight_decay"),
    };
    let mut optimizer = AdamW::new(config, &leaves).unwrap();
    let average = Average { decay: number(case, "average") };
    let warm_up = case["warm_up"].as_u64().unwrap() as usize;
    let rate = LearningRate { base: number(case, "base_rate"), warm_up, steps, decay: Decay::Cosine };
    let (rates, decays, norms) = (numbers(case, "rates"), numbers(case, "decays"), numbers(case, "norms"));
    for step in 0..steps {
        let mut gradients = named(&format!("gradients.{step}"));
        let norm = clip_by_global_norm(&mut gradients, number(case, "clip_norm")).unwrap();
        parity.check(&format!("pretrain/norm.{step}"), (norm / norms[step] - 1.0).abs(), LIMIT);
        parity.check(&format!("pretrain/rate.{step}"), (rate.at(step) / rates[step] - 1.0).abs(), 1e-12);
        let off = (average.decay_at(step) - decays[step]).abs();
        parity.check_metric(&format!("pretrain/decay.{step}"), "difference", off, 1e-12);
        optimizer.update(&leaves, &gradients, &vec![rate.at(step); count]).unwrap();
        average.update(&averages, &leaves, step).unwrap();
    }
    for (index, (leaf, average)) in leaves.iter().zip(&averages).enumerate() {
        let expected = |what: &str| fixture.tensor(&format!("optimizer.{what}.{index}"));
        parity.check_tensors(&format!("pretrain/optimizer.{index}"), &leaf.detach(), expected("end"), LIMIT);
        parity.check_tensors(&format!("pretrain/average.{index}"), average, expected("average"), LIMIT);
    }
    parity.finish();
}

/// The autoencoder on parameters in memory, with the numbers of the fixture.
fn autoencoder(fixture: &Fixture) -> (Vae, Parameters) {
    let folder = fixture.folder.join("vae");
    let config = VaeConfig::read(&folder.join("config.json")).unwrap();
    let parameters = Parameters::new(0, Device::Cpu);
    let vae = Vae::from_weights(config, Weights::from_parameters(&parameters, Kind::Float)).unwrap();
    parameters.set(&read_safetensors(&folder.join("diffusion_pytorch_model.safetensors"))).unwrap();
    (vae, parameters)
}

#[test]
fn loss_of_the_autoencoder_with_all_gradients() {
    let fixture = Fixture::open("pretrain");
    let mut parity = Parity::new();
    let case = &fixture.cases["vae"];
    let (vae, parameters) = autoencoder(&fixture);
    let images = fixture.tensor("vae.images");
    let moments = vae.moments(images).unwrap();
    let latents = &moments.mean + moments.std().unwrap() * fixture.tensor("vae.noise");
    let weights = &case["weights"];
    let weights = LossWeights { gradient: number(weights, "gradient"), divergence: number(weights, "divergence") };
    let losses = weights.losses(images, &vae.decode(&latents).unwrap(), &moments).unwrap();
    for (name, part) in &losses.parts {
        let expected = number(&case["parts"], name);
        parity.check(&format!("pretrain/vae.{name}"), (part.double_value(&[]) / expected - 1.0).abs(), LIMIT);
    }
    let total = losses.total.double_value(&[]);
    parity.check("pretrain/vae.total", (total / number(case, "total") - 1.0).abs(), LIMIT);
    losses.total.backward();
    for (name, parameter) in parameters.list() {
        // Adding the same to all keys leaves the softmax as it is: this gradient is zero but for rounding.
        if !name.ends_with("to_k.bias") {
            let expected = fixture.tensor(&format!("vae.gradients.{name}"));
            parity.check_tensors(&format!("pretrain/vae.gradient.{name}"), &parameter.grad(), expected, LIMIT);
        }
    }
    parity.finish();
}

/// The same parameters, as far spread, as PyTorch's layers begin with. The numbers themselves are another draw.
#[test]
fn first_values() {
    let fixture = Fixture::open("pretrain");
    let parameters = Parameters::new(5, Device::Cpu);
    let config = VaeConfig::read(&fixture.folder.join("vae/config.json")).unwrap();
    Vae::from_weights(config, Weights::from_parameters(&parameters, Kind::Float)).unwrap();
    let ours: BTreeMap<String, Tensor> = parameters.list().into_iter().collect();
    let expected = fixture.cases["first_values"].as_object().unwrap();
    assert!(ours.keys().eq(expected.keys()));
    for (name, tensor) in &ours {
        let (largest, square) = (number(&expected[name], "largest"), number(&expected[name], "square"));
        let values = tensor.detach();
        let (ours_largest, ours_square) =
            (values.abs().max().double_value(&[]), values.square().mean(Kind::Double).double_value(&[]));
        match tensor.numel() {
            _ if name.contains("norm") => assert_eq!((ours_largest, ours_square), (largest, square), "{name}"),
            // A few draws from a uniform distribution say little about its bound.
            count if count < 200 => assert!(ours_largest < 4.0 * largest, "{name}"),
            _ => {
                assert!((ours_largest / largest - 1.0).abs() < 0.1, "{name}: {ours_largest} {largest}");
                assert!((ours_square / square - 1.0).abs() < 0.3, "{name}: {ours_square} {square}");
            }
        }
    }
}
