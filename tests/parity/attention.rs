//! The attention loss, its gradients, leakage, resized maps and recorded maps against PyTorch autograd.

use idembed_attention::{
    FaceWiseLoss, LayerChoice, MapRecorder, Mask, ReferenceKeys, Selection, TargetMaps, Word, leakage_each,
    to_picture_size,
};
use idembed_clip::ClipTextModel;
use idembed_diffusion::Compute;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::hook::{AttentionHook, Observed, Site};
use idembed_diffusion::unet::{UNet, UNetInput};
use idembed_integration_tests::{Fixture, Parity};
use idembed_layers::attention::attention_probs;
use serde_json::Value;
use tch::Tensor;

/// f32 against f64, relative to the largest expected value; gradients pass through two softmaxes.
const LOSS_LIMIT: f64 = 1e-4;
/// Plain sums and interpolation.
const MAP_LIMIT: f64 = 1e-5;

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|item| item.as_i64().unwrap()).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn site(index: usize, value: &Value) -> Site<'static> {
    let number = |key: &str| value[key].as_i64().unwrap();
    Site { index, name: "attn2", heads: number("heads"), height: number("height"), width: number("width") }
}

/// What a variant's maps are pulled to.
fn target<'a>(options: &Value, keys: &'a ReferenceKeys, mask: &'a Mask, positions: &'a [Vec<i64>]) -> TargetMaps<'a> {
    match text(options, "target") {
        "mask" => TargetMaps::Mask { mask, positions },
        _ => TargetMaps::Reference {
            keys,
            norm: text(options, "norm").parse().unwrap(),
            reduction: text(options, "reduction").parse().unwrap(),
        },
    }
}

fn scalar(value: f64) -> Tensor {
    Tensor::from_slice(&[value])
}

#[test]
fn loss_and_gradients() {
    let fixture = Fixture::open("attention");
    let mut parity = Parity::new();
    for network in items(&fixture.cases, "layers") {
        for variant in items(network, "variants") {
            compare_loss(&fixture, network, variant, &mut parity);
        }
    }
    parity.finish();
}

fn compare_loss(fixture: &Fixture, network: &Value, variant: &Value, parity: &mut Parity) {
    let (network_name, variant_name) = (text(network, "name"), text(variant, "name"));
    let case = format!("attention/{network_name}.{variant_name}");
    let sites = items(network, "sites");
    let inputs = |part: &str| -> Vec<Tensor> {
        (0..sites.len()).map(|index| fixture.tensor(&format!("{network_name}.{index}.{part}")).copy()).collect()
    };
    let leaves =
        |part: &str| -> Vec<Tensor> { inputs(part).into_iter().map(|tensor| tensor.set_requires_grad(true)).collect() };

    let options = &variant["options"];
    let downscales: Vec<i64> = sites.iter().map(|site| site["downscale"].as_i64().unwrap()).collect();
    let layers = text(options, "layers").parse::<LayerChoice>().unwrap().resolve(&downscales).unwrap();
    let reference = ReferenceKeys::new(inputs("reference")).unwrap();
    let mask = Mask::new(fixture.tensor(&format!("{network_name}.mask"))).unwrap();
    let positions: Vec<Vec<i64>> = items(network, "positions").iter().map(integers).collect();
    let target = target(options, &reference, &mask, &positions);
    let (queries, keys) = (leaves("query"), leaves("key"));

    let detach_query = options["detach_query"].as_bool().unwrap();
    let mut loss = FaceWiseLoss::new(target, &layers, detach_query).unwrap();
    for (index, value) in sites.iter().enumerate() {
        let site = site(index, value);
        if loss.wants(&site) {
            let probs = attention_probs(&queries[index], &keys[index]).unwrap();
            loss.observe(&site, &Observed { query: &queries[index], key: &keys[index], probs: &probs }).unwrap();
        }
    }
    let value = loss.finish().unwrap();
    value.backward();

    check_values(&case, variant, &loss, &value, parity);
    for (part, leaves) in [("query", &queries), ("key", &keys)] {
        for (index, leaf) in leaves.iter().enumerate() {
            let expected = fixture.tensor(&format!("{network_name}.{variant_name}.grad.{index}.{part}"));
            let gradient = leaf.grad();
            let gradient = if gradient.defined() { gradient } else { leaf.zeros_like() };
            parity.check_tensors(&format!("{case}.grad.{index}.{part}"), &gradient, expected, LOSS_LIMIT);
        }
    }
}

fn check_values(case: &str, variant: &Value, loss: &FaceWiseLoss<'_>, value: &Tensor, parity: &mut Parity) {
    let expected = scalar(variant["loss"].as_f64().unwrap());
    parity.check_tensors(&format!("{case}.loss"), &value.detach().reshape([1]), &expected, LOSS_LIMIT);
    let parts = variant["layers"].as_object().unwrap();
    let ours = loss.layer_losses().unwrap();
    assert_eq!(ours.len(), parts.len(), "{case}: number of layers");
    for part in ours {
        let expected = scalar(parts[&part.index.to_string()].as_f64().unwrap());
        parity.check_tensors(&format!("{case}.layer.{}", part.index), &scalar(part.value), &expected, LOSS_LIMIT);
    }
}

/// Text encoder, key projections and all layers of a whole U-Net: the gradient of the vectors that are learned.
#[test]
fn gradient_through_the_networks() {
    let fixture = Fixture::open("attention");
    let mut parity = Parity::new();
    let cases = &fixture.cases["networks"];
    let text_encoder = ClipTextModel::load(&fixture.folder.join("text_encoder"), Compute::CPU_F32).unwrap();
    let unet = UNet::load(&fixture.folder.join("unet"), Compute::CPU_F32).unwrap();
    let downscales = unet.downscales();
    let expected: Vec<i64> = items(cases, "sites").iter().map(|site| site["downscale"].as_i64().unwrap()).collect();
    assert_eq!(downscales, expected);

    let position = cases["position"].as_i64().unwrap();
    let embedded = text_encoder.embed_tokens(&fixture.tensor("networks.ids").unsqueeze(0)).unwrap();
    let tokens = embedded.size()[1];
    let reference_states = text_encoder.encode(&embedded).unwrap();
    let reference = ReferenceKeys::new(unet.project_keys(&reference_states).unwrap()).unwrap();
    let mask = Mask::new(fixture.tensor("networks.mask")).unwrap();
    let positions = [vec![position]];

    for variant in items(cases, "variants") {
        let case = format!("attention/networks.{}", text(variant, "name"));
        let options = &variant["options"];
        let layers = text(options, "layers").parse::<LayerChoice>().unwrap().resolve(&downscales).unwrap();
        let target = target(options, &reference, &mask, &positions);
        let vectors = fixture.tensor("networks.vectors").copy().set_requires_grad(true);
        let states = |row: i64| {
            let (before, after) =
                (embedded.narrow(1, 0, position), embedded.narrow(1, position + 1, tokens - position - 1));
            let placed = Tensor::cat(&[before, vectors.select(0, row).reshape([1, 1, -1]), after], 1);
            text_encoder.encode(&placed).unwrap()
        };
        let states = TextStates { key: states(0), value: states(1), pooled: None };
        let context = unet.project(&states).unwrap();

        let detach_query = options["detach_query"].as_bool().unwrap();
        let mut loss = FaceWiseLoss::new(target, &layers, detach_query).unwrap();
        let (latents, timesteps) = (fixture.tensor("networks.latents"), fixture.tensor("networks.timesteps"));
        let _ = unet.forward(UNetInput::new(latents, timesteps, &context), Some(&mut loss)).unwrap();
        let value = loss.finish().unwrap();
        value.backward();

        check_values(&case, variant, &loss, &value, &mut parity);
        let expected = fixture.tensor(&format!("networks.{}.grad", text(variant, "name")));
        for (row, part) in [(0, "key"), (1, "value")] {
            let (ours, expected) = (vectors.grad().select(0, row), expected.select(0, row));
            parity.check_tensors(&format!("{case}.grad.{part}_vector"), &ours, &expected, LOSS_LIMIT);
        }
        assert!(
            vectors.grad().select(0, 0).abs().max().double_value(&[]) > 0.0,
            "{case}: no gradient at the keys' vector"
        );
    }
    parity.finish();
}

#[test]
fn leakage_shares() {
    let fixture = Fixture::open("attention");
    let mut parity = Parity::new();
    for case in items(&fixture.cases, "leakages") {
        let name = text(case, "name");
        let mask = Mask::new(fixture.tensor(&format!("leakage.{name}.mask"))).unwrap();
        let ours = leakage_each(fixture.tensor(&format!("leakage.{name}.maps")), &mask).unwrap();
        let ours: Vec<f64> = ours.into_iter().map(Option::unwrap).collect();
        let expected: Vec<f64> = items(case, "shares").iter().map(|share| share.as_f64().unwrap()).collect();
        let (ours, expected) = (Tensor::from_slice(&ours), Tensor::from_slice(&expected));
        parity.check_tensors(&format!("attention/leakage.{name}"), &ours, &expected, MAP_LIMIT);
    }
    parity.finish();
}

#[test]
fn maps_at_another_size() {
    let fixture = Fixture::open("attention");
    let mut parity = Parity::new();
    for case in items(&fixture.cases, "resizes") {
        let name = text(case, "name");
        let (width, height) = (case["width"].as_i64().unwrap(), case["height"].as_i64().unwrap());
        let ours = to_picture_size(fixture.tensor(&format!("resize.{name}.map")), width, height).unwrap();
        let expected = fixture.tensor(&format!("resize.{name}.expected"));
        parity.check_tensors(&format!("attention/resize.{name}"), &ours, expected, MAP_LIMIT);
    }
    parity.finish();
}

#[test]
fn recorded_maps() {
    let fixture = Fixture::open("attention");
    let mut parity = Parity::new();
    let record = &fixture.cases["record"];
    let sites = items(record, "layers");
    let words = items(record, "words").iter().enumerate();
    let words = words.map(|(index, positions)| Word::new(format!("word {index}"), integers(positions))).collect();
    let layers = LayerChoice::All.resolve(&vec![1; sites.len()]).unwrap();
    let rows = integers(&record["rows"]);
    let mut recorder = MapRecorder::new(words, layers).unwrap().watching(rows[0]..rows[1]).unwrap();
    for (step, stage) in integers(&record["steps"]).into_iter().enumerate() {
        recorder.begin_step(stage as usize);
        for (index, value) in sites.iter().enumerate() {
            let probs = fixture.tensor(&format!("record.{step}.{index}.probs"));
            // The recorder needs no query and no key; their shapes must fit.
            let (query, key) = (probs.zeros_like(), probs.narrow(2, 0, 1).transpose(2, 3).zeros_like());
            let key = key.expand([-1, -1, -1, probs.size()[3]], false);
            recorder.observe(&site(index, value), &Observed { query: &query, key: &key, probs }).unwrap();
        }
    }
    let maps = recorder.finish().unwrap();
    for (number, case) in items(record, "cases").iter().enumerate() {
        let chosen = |key: &str| case.get(key).map(|value| value.as_u64().unwrap() as usize);
        let selection = Selection { layer: chosen("layer"), stage: chosen("stage"), row: chosen("row") };
        let ours = maps.word_map(chosen("word").unwrap(), &selection).unwrap();
        let expected = fixture.tensor(text(case, "map"));
        parity.check_tensors(&format!("attention/record.{number}"), &ours, expected, MAP_LIMIT);
    }
    parity.finish();
}
