//! Text encoder, U-Net and autoencoder against transformers and diffusers (`fixtures/components/generate.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use idembed_clip::ClipTextModel;
use idembed_diffusion::Compute;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::hook::{AttentionHook, Observed, Site};
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::unet::{UNet, UNetInput};
use idembed_diffusion::vae::{Tiles, Vae};
use idembed_integration_tests::{Parity, fixture_dir, max_relative, mini_model, read_json, read_safetensors};
use idembed_layers::attention::attention_probs;
use serde_json::Value;
use tch::{Kind, Tensor};

/// The largest difference, relative to the largest expected magnitude.
const LIMIT: f64 = 1e-4;

/// One model with what the reference computed with it.
struct Case {
    name: String,
    model: PathBuf,
    values: BTreeMap<String, Tensor>,
    json: Value,
}

impl Case {
    fn value(&self, name: &str) -> &Tensor {
        self.values.get(name).unwrap_or_else(|| panic!("{}: the fixture lacks `{name}`", self.name))
    }

    fn check(&self, parity: &mut Parity, name: &str, ours: &Tensor) {
        parity.check_tensors(&format!("components/{}/{name}", self.name), ours, self.value(name), LIMIT);
    }
}

fn cases() -> Vec<Case> {
    let folder = fixture_dir("components");
    let read = |json: &Value| {
        let name = json["name"].as_str().unwrap();
        let model = if name == "mini" { mini_model() } else { folder.join(name) };
        let values = read_safetensors(&folder.join(name).join("values.safetensors"));
        Case { name: name.to_owned(), model, values, json: json.clone() }
    };
    read_json(&folder.join("cases.json"))["cases"].as_array().unwrap().iter().map(read).collect()
}

fn without_gradient(compare: impl Fn(&Case, &mut Parity)) {
    let _guard = tch::no_grad_guard();
    let mut parity = Parity::new();
    for case in cases() {
        compare(&case, &mut parity);
    }
    parity.finish();
}

#[test]
fn text_encoder() {
    without_gradient(|case, parity| {
        let model = ClipTextModel::load(&case.model.join("text_encoder"), Compute::CPU_F32).unwrap();
        let embeds = model.embed_tokens(case.value("text.ids")).unwrap();
        case.check(parity, "text.states", &model.encode(&embeds).unwrap());
    });
}

#[test]
fn autoencoder() {
    without_gradient(|case, parity| {
        let model = Vae::load(&case.model.join("vae"), Compute::CPU_F32).unwrap();
        let latents = model.encode(case.value("vae.pictures")).unwrap();
        case.check(parity, "vae.mean", &latents.mean);
        case.check(parity, "vae.std", &latents.std);
        let noise = seeded_noise(7, &latents.mean.size(), 1).unwrap();
        case.check(parity, "vae.seed_7", &latents.sample(&noise[0]).unwrap());
        let latents = case.value("vae.latents");
        case.check(parity, "vae.decoded", &model.decode(latents).unwrap());
        let (large, tiles) = (latents.repeat([1, 1, 2, 1]), Tiles { quarter: 1 });
        case.check(parity, "vae.tiled", &model.decode_in_tiles(&large, tiles).unwrap());
        assert!(model.decode_in_tiles(latents, Tiles::USUAL).unwrap().equal(&model.decode(latents).unwrap()));
    });
}

#[test]
fn unet_without_listener() {
    without_gradient(|case, parity| {
        let model = load_unet(&case.model);
        let (keys, values) = (case.value("unet.key_states"), case.value("unet.value_states"));
        let states = |key: &Tensor, value: &Tensor| TextStates {
            key: key.shallow_clone(),
            value: value.shallow_clone(),
            pooled: None,
        };
        for (name, states) in [
            ("unet.output", TextStates::shared(keys.shallow_clone())),
            ("unet.output_one_context", TextStates::shared(keys.narrow(0, 0, 1))),
            ("unet.output_two_contexts", states(keys, values)),
        ] {
            let context = model.project(&states).unwrap();
            let output = model
                .forward(UNetInput::new(case.value("unet.latents"), case.value("unet.timesteps"), &context), None)
                .unwrap();
            case.check(parity, name, &output);
        }
    });
}

#[test]
fn unet_with_listener() {
    without_gradient(|case, parity| {
        let model = load_unet(&case.model);
        let sites = case.json["sites"].as_array().unwrap();
        assert_eq!(model.sites().len(), sites.len(), "{}: number of sites", case.name);
        let (key, value) = (case.value("unet.key_states"), case.value("unet.value_states"));
        let context = model
            .project(&TextStates { key: key.shallow_clone(), value: value.shallow_clone(), pooled: None })
            .unwrap();
        let hooked = case.json["hooked"].as_u64().unwrap() as usize;
        let latents = case.value("unet.latents");

        let mut everywhere = Listener { only: None, heard: BTreeMap::new() };
        let timesteps = case.value("unet.timesteps");
        let output = model.forward(UNetInput::new(latents, timesteps, &context), Some(&mut everywhere)).unwrap();
        case.check(parity, "unet.output_two_contexts", &output);
        assert_eq!(everywhere.heard.len(), sites.len(), "{}: sites heard", case.name);
        let keys = model.project_keys(key).unwrap();
        let mut worst = BTreeMap::from([("query_sum", 0.0f64), ("probs_sum", 0.0), ("projected_keys", 0.0)]);
        for (index, (expected, info)) in sites.iter().zip(model.sites()).enumerate() {
            let heard = &everywhere.heard[&index];
            let number = |field: &str| expected[field].as_i64().unwrap();
            let place = (expected["name"].as_str().unwrap(), number("heads"), number("height"), number("width"));
            assert_eq!((heard.name.as_str(), heard.heads, heard.height, heard.width), place, "{}", case.name);
            assert_eq!((info.name.as_str(), info.heads), (place.0, place.1), "{}", case.name);
            let finest = latents.size()[2];
            assert!((finest / info.downscale..=(finest + info.downscale - 1) / info.downscale).contains(&heard.height));
            let again = attention_probs(&heard.query, &keys[index]).unwrap();
            for (name, ours, expected) in [
                ("query_sum", &heard.query, "query_sum"),
                ("probs_sum", &heard.probs, "probs_sum"),
                ("projected_keys", &again, "probs_sum"),
            ] {
                let ours = ours.sum_dim_intlist(2, false, Kind::Float);
                let difference = max_relative(&ours, case.value(&format!("unet.site.{index}.{expected}")));
                worst.entry(name).and_modify(|worst| *worst = worst.max(difference));
            }
        }
        for (name, difference) in worst {
            parity.check(&format!("components/{}/unet.sites.{name}", case.name), difference, LIMIT);
        }

        let mut one = Listener { only: Some(hooked), heard: BTreeMap::new() };
        let output = model.forward(UNetInput::new(latents, timesteps, &context), Some(&mut one)).unwrap();
        case.check(parity, "unet.output_two_contexts", &output);
        assert_eq!(one.heard.keys().collect::<Vec<_>>(), [&hooked]);
        case.check(parity, "unet.hooked_query", &one.heard[&hooked].query);
        case.check(parity, "unet.hooked_probs", &one.heard[&hooked].probs);
    });
}

fn load_unet(model: &Path) -> UNet {
    UNet::load(&model.join("unet"), Compute::CPU_F32).unwrap()
}

/// Keeps everything it hears, from one layer or from all.
struct Listener {
    only: Option<usize>,
    heard: BTreeMap<usize, Heard>,
}

struct Heard {
    name: String,
    heads: i64,
    height: i64,
    width: i64,
    query: Tensor,
    probs: Tensor,
}

impl AttentionHook for Listener {
    fn wants(&self, site: &Site<'_>) -> bool {
        self.only.is_none_or(|only| only == site.index)
    }

    fn observe(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> idembed_diffusion::Result<()> {
        let heard = Heard {
            name: site.name.to_owned(),
            heads: site.heads,
            height: site.height,
            width: site.width,
            query: observed.query.copy(),
            probs: observed.probs.copy(),
        };
        assert!(self.heard.insert(site.index, heard).is_none(), "{} was heard twice", site.name);
        Ok(())
    }
}
