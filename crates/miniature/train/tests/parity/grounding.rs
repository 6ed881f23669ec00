//! The U-Net's training loss, with the places of words, against diffusers and transformers
//! (`fixtures/grounding/generate.py`).

use idembed_clip::ClipTextConfig;
use idembed_diffusion::unet::UNetConfig;
use idembed_integration_tests::{Parity, read_safetensors};
use idembed_pretrain::unet::{Networks, NoisyBatch, PlacedWords, min_snr_weight};
use idembed_weights::Parameters;
use tch::{Device, Kind};

use crate::open;

/// Relative to the expected value.
const LIMIT: f64 = 1e-4;
/// Of a gradient, relative to its largest number: in f32, what is left of large terms of either sign.
const GRADIENT_LIMIT: f64 = 5e-4;

#[test]
fn loss_of_the_noise_prediction_with_all_gradients() {
    let fixture = open("grounding");
    let mut parity = Parity::new();
    let file = |network: &str, name: &str| fixture.folder.join(network).join(name);
    let text = ClipTextConfig::read(&file("text_encoder", "config.json")).unwrap();
    let unet = UNetConfig::read(&file("unet", "config.json")).unwrap();
    let parameters = Parameters::new(0, Device::Cpu);
    let networks = Networks::new(text, unet, &parameters, Kind::Float).unwrap();
    // As the published text encoders are stored; transformers itself leaves `text_model` out now.
    let parts = [
        (parameters.part("text_encoder").part("text_model"), file("text_encoder", "model.safetensors")),
        (parameters.part("unet"), file("unet", "diffusion_pytorch_model.safetensors")),
    ];
    for (part, path) in parts {
        part.set(&read_safetensors(&path)).unwrap();
    }

    let given = |name: &str| fixture.tensor(&format!("given.{name}")).shallow_clone();
    let batch = NoisyBatch {
        noisy: given("noisy"),
        target: given("target"),
        timesteps: given("timesteps"),
        weights: given("weights"),
        visibility: given("visibility"),
        ids: given("ids"),
        silenced: given("silenced"),
        words: PlacedWords {
            tokens: given("tokens"),
            places: given("places"),
            counts: given("counts"),
            things: vec![vec![0, 1], vec![0], vec![]],
        },
    };
    let number = |key: &str| fixture.cases[key].as_f64().unwrap();
    let losses = networks.losses(&batch, number("weight")).unwrap();
    for (name, part) in losses.parts.iter().map(|(name, part)| (*name, part)).chain([("total", &losses.total)]) {
        parity.check(&format!("grounding/{name}"), (part.double_value(&[]) / number(name) - 1.0).abs(), LIMIT);
    }
    losses.total.backward();
    for (name, parameter) in parameters.list() {
        // Adding the same to all keys leaves the softmax as it is: this gradient is zero but for rounding.
        if !name.ends_with("k_proj.bias") {
            let expected = fixture.tensor(&format!("gradients.{}", name.replace("text_model.", "")));
            parity.check_tensors(&format!("grounding/gradient.{name}"), &parameter.grad(), expected, GRADIENT_LIMIT);
        }
    }
    parity.finish();
}

/// The weights of arXiv 2303.09556 for noise prediction: 1 where there is much noise, falling where there is little.
#[test]
fn little_noise_weighs_less() {
    // A signal-to-noise ratio of 1, of 5, of 20.
    for (alpha, weight) in [(0.5, 1.0), (5.0 / 6.0, 1.0), (20.0 / 21.0, 0.25)] {
        assert!((min_snr_weight(alpha) - weight).abs() < 1e-9, "{alpha}");
    }
}
