//! The autoencoder's training against PyTorch and diffusers (`fixtures/autoencoder/generate.py`).

use std::collections::BTreeMap;

use idembed_diffusion::vae::{Vae, VaeConfig};
use idembed_integration_tests::{Fixture, Parity, read_safetensors};
use idembed_pretrain::vae::LossWeights;
use idembed_weights::{Parameters, Weights};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use crate::open;

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
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
    let fixture = open("autoencoder");
    let mut parity = Parity::new();
    let case = &fixture.cases["loss"];
    let (vae, parameters) = autoencoder(&fixture);
    let images = fixture.tensor("images");
    let moments = vae.moments(images).unwrap();
    let latents = &moments.mean + moments.std().unwrap() * fixture.tensor("noise");
    let weights = &case["weights"];
    let weights = LossWeights { gradient: number(weights, "gradient"), divergence: number(weights, "divergence") };
    let losses = weights.losses(images, &vae.decode(&latents).unwrap(), &moments).unwrap();
    for (name, part) in &losses.parts {
        let expected = number(&case["parts"], name);
        parity.check(&format!("autoencoder/{name}"), (part.double_value(&[]) / expected - 1.0).abs(), LIMIT);
    }
    let total = losses.total.double_value(&[]);
    parity.check("autoencoder/total", (total / number(case, "total") - 1.0).abs(), LIMIT);
    losses.total.backward();
    for (name, parameter) in parameters.list() {
        // Adding the same to all keys leaves the softmax as it is: this gradient is zero but for rounding.
        if !name.ends_with("to_k.bias") {
            let expected = fixture.tensor(&format!("gradients.{name}"));
            parity.check_tensors(&format!("autoencoder/gradient.{name}"), &parameter.grad(), expected, LIMIT);
        }
    }
    parity.finish();
}

/// The same parameters, as far spread, as PyTorch's layers begin with. The numbers themselves are another draw.
#[test]
fn first_values() {
    let fixture = open("autoencoder");
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
