//! Attention in half formats: f16 scores that overflow, bf16 maps that are nearly the same, and `upcast_attention`.

use std::path::Path;

use idembed_attention::{FaceWiseLoss, LayerChoice, Norm, Reduction, ReferenceKeys, TargetMaps};
use idembed_diffusion::Compute;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::hook::{AttentionHook, Observed, Site};
use idembed_diffusion::unet::{UNet, UNetConfig, UNetInput};
use idembed_integration_tests::{Fixture, Parity, fixture_dir, read_json};
use idembed_layers::attention::{attention_probs, upcast_attention};
use idembed_weights::Weights;
use tch::{Device, Kind, Tensor};

/// f32 against f64.
const PROBS_LIMIT: f64 = 1e-5;
/// Stored or summed in f16, which has eleven bits.
const HALF_LIMIT: f64 = 1e-3;
/// A sum of squared differences of nearly equal numbers in f32.
const LOSS_LIMIT: f64 = 1e-3;
/// Stored in bf16, which has eight bits.
const GRADIENT_LIMIT: f64 = 1e-2;

fn is_finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) == 1
}

#[test]
fn scores_beyond_f16() {
    let fixture = Fixture::open("attention_precision");
    let mut parity = Parity::new();
    let case = &fixture.cases["overflow"];
    assert_eq!((&case["finite_without_upcast"], &case["finite_with_upcast"]), (&false.into(), &true.into()));
    let tensor = |name: &str| fixture.tensor(&format!("overflow.{name}"));
    let (query, key, value) = (tensor("query"), tensor("key"), tensor("value"));

    let probs = attention_probs(query, key).unwrap();
    let attended = upcast_attention(query, key, value).unwrap();
    assert_eq!((probs.kind(), attended.kind()), (Kind::Float, Kind::Half));
    for (name, ours, expected, limit) in [
        ("probs", &probs, "probs", PROBS_LIMIT),
        ("probs_of_diffusers", &probs, "diffusers_probs", HALF_LIMIT),
        ("attended", &attended, "attended", HALF_LIMIT),
        ("attended_of_diffusers", &attended, "diffusers_attended", HALF_LIMIT),
    ] {
        parity.check_tensors(&format!("attention_precision/overflow.{name}"), ours, tensor(expected), limit);
    }
    parity.finish();
}

#[test]
fn maps_that_are_nearly_the_same() {
    let fixture = Fixture::open("attention_precision");
    let mut parity = Parity::new();
    let leaf = |name: &str| fixture.tensor(&format!("alike.{name}")).copy().set_requires_grad(true);
    let (query, key) = (leaf("query"), leaf("key"));
    let reference = ReferenceKeys::new(vec![fixture.tensor("alike.reference").shallow_clone()]).unwrap();
    let layers = LayerChoice::All.resolve(&[1]).unwrap();
    let probs = attention_probs(&query, &key).unwrap();
    let maps = TargetMaps::Reference { keys: &reference, norm: Norm::Squared, reduction: Reduction::Sum };
    let mut loss = FaceWiseLoss::new(maps, &layers, false).unwrap();
    let site = Site { index: 0, name: "attn2", heads: query.size()[1], height: query.size()[2], width: 1 };
    loss.observe(&site, &Observed { query: &query, key: &key, probs: &probs }).unwrap();
    let value = loss.finish().unwrap();
    value.backward();

    let expected = Tensor::from_slice(&[fixture.cases["alike"]["loss"].as_f64().unwrap()]);
    let check = |parity: &mut Parity, name: &str, ours: &Tensor, expected: &Tensor, limit| {
        parity.check_tensors(&format!("attention_precision/alike.{name}"), ours, expected, limit);
    };
    check(&mut parity, "probs", &probs.detach(), fixture.tensor("alike.probs"), PROBS_LIMIT);
    check(&mut parity, "loss", &value.detach().reshape([1]), &expected, LOSS_LIMIT);
    check(&mut parity, "query_grad", &query.grad(), fixture.tensor("alike.query_grad"), GRADIENT_LIMIT);
    check(&mut parity, "key_grad", &key.grad(), fixture.tensor("alike.key_grad"), GRADIENT_LIMIT);
    parity.finish();
}

/// Says whether all that it hears is finite.
struct Finite {
    probs: bool,
}

impl AttentionHook for Finite {
    fn wants(&self, _: &Site<'_>) -> bool {
        true
    }

    fn observe(&mut self, _: &Site<'_>, observed: &Observed<'_>) -> idembed_diffusion::Result<()> {
        self.probs &= is_finite(observed.probs);
        Ok(())
    }
}

/// One forward pass of a network in a folder, with the setting overridden.
fn forward(
    folder: &Path,
    (kind, upcast_attention): (Kind, bool),
    [latents, timesteps, states]: [&Tensor; 3],
    hook: Option<&mut dyn AttentionHook>,
) -> Tensor {
    let config = UNetConfig { upcast_attention, ..UNetConfig::read(&folder.join("config.json")).unwrap() };
    let weights = Weights::open(folder, "diffusion_pytorch_model", Compute { device: Device::Cpu, kind }).unwrap();
    let unet = UNet::from_weights(config, weights).unwrap();
    let context = unet.project(&TextStates::shared(states.shallow_clone())).unwrap();
    tch::no_grad(|| unet.forward(UNetInput::new(latents, timesteps, &context), hook)).unwrap()
}

#[test]
fn a_network_that_needs_upcast_attention() {
    let fixture = Fixture::open("attention_precision");
    let case = &fixture.cases["unet"];
    assert_eq!((&case["finite_without_upcast"], &case["finite_with_upcast"]), (&false.into(), &true.into()));
    let folder = fixture.folder.join("unet");
    let inputs = ["latents", "timesteps", "states"].map(|name| fixture.tensor(&format!("unet.{name}")));
    let mut finite = Finite { probs: true };
    let observed = forward(&folder, (Kind::Half, true), inputs, Some(&mut finite));
    assert!(finite.probs && is_finite(&observed));
    assert!(observed.equal(&forward(&folder, (Kind::Half, true), inputs, None)), "watching changes nothing");
}

#[test]
fn upcast_attention_changes_half_formats_only() {
    // A network whose maps are soft, so that they show how they were rounded.
    let fixture = Fixture::open("attention");
    let states = fixture.tensor("networks.vectors").unsqueeze(0);
    let inputs = [fixture.tensor("networks.latents"), fixture.tensor("networks.timesteps"), &states];
    let output = |kind, upcast| forward(&fixture.folder.join("unet"), (kind, upcast), inputs, None);
    assert!(output(Kind::Float, true).equal(&output(Kind::Float, false)));
    for kind in [Kind::BFloat16, Kind::Half] {
        let outputs = [false, true].map(|upcast| output(kind, upcast));
        assert_eq!(outputs[1].kind(), kind);
        assert!(!outputs[0].equal(&outputs[1]), "{kind:?}");
    }
}

#[test]
fn upcast_attention_in_a_configuration() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("config.json");
    let original = fixture_dir("attention_precision").join("unet/config.json");
    assert!(UNetConfig::read(&original).unwrap().upcast_attention, "as diffusers wrote it");
    let mut json = read_json(&original);
    let read = |json: &serde_json::Value| {
        std::fs::write(&path, json.to_string()).unwrap();
        UNetConfig::read(&path)
    };
    for (value, expected) in [(true.into(), true), (false.into(), false), (serde_json::Value::Null, false)] {
        json["upcast_attention"] = value;
        assert_eq!(read(&json).unwrap().upcast_attention, expected);
    }
    json.as_object_mut().unwrap().remove("upcast_attention");
    assert!(!read(&json).unwrap().upcast_attention);
    json["upcast_attention"] = "yes".into();
    assert!(read(&json).is_err());
}
