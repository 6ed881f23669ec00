//! CLIP's training loss against transformers and PyTorch (`fixtures/clip_loss/generate.py`).

use idembed_clip::{ClipConfig, ClipModel};
use idembed_integration_tests::{Parity, read_safetensors};
use idembed_pretrain::clip::ClipLoss;
use idembed_weights::{Parameters, Weights};
use tch::{Device, Kind, Tensor};

use crate::open;

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

#[test]
fn loss_with_all_gradients() {
    let fixture = open("clip_loss");
    let mut parity = Parity::new();
    let config = ClipConfig::read(&fixture.folder.join("config.json")).unwrap();
    let parameters = Parameters::new(0, Device::Cpu);
    let model = ClipModel::from_weights(config, Weights::from_parameters(&parameters, Kind::Float)).unwrap();
    let (ids, pixel_values) = (fixture.tensor("ids"), fixture.tensor("pixel_values"));
    // All but the start token, the end token and the padding that is the same.
    let words = ids.lt(28).to_kind(Kind::Float);
    let loss = ClipLoss { words: fixture.cases["words_weight"].as_f64().unwrap() };
    for scale in ["plain", "clamped"] {
        let case = &fixture.cases["losses"][scale];
        let number = |key: &str| case[key].as_f64().unwrap();
        let mut values = read_safetensors(&fixture.folder.join("model.safetensors"));
        values.insert("logit_scale".to_owned(), Tensor::from(number("logit_scale") as f32));
        parameters.set(&values).unwrap();
        let losses = loss.losses(&model, pixel_values, ids, &words).unwrap();
        let total = losses.total.double_value(&[]);
        parity.check(&format!("clip_loss/{scale}.total"), (total / number("total") - 1.0).abs(), LIMIT);
        for (name, part) in &losses.parts {
            let expected = case["parts"][name].as_f64().unwrap();
            parity.check(&format!("clip_loss/{scale}.{name}"), (part.double_value(&[]) / expected - 1.0).abs(), LIMIT);
        }
        losses.total.backward();
        for (name, mut parameter) in parameters.list() {
            // Adding the same to all keys leaves the softmax as it is: this gradient is zero but for rounding.
            if !name.ends_with("k_proj.bias") {
                let expected = fixture.tensor(&format!("{scale}.gradients.{name}"));
                parity.check_tensors(&format!("clip_loss/{scale}.gradient.{name}"), &parameter.grad(), expected, LIMIT);
            }
            parameter.zero_grad();
        }
    }
    parity.finish();
}
