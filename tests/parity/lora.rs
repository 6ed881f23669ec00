//! LoRA against diffusers' `load_lora_weights` and `fuse_lora` (`fixtures/lora/generate.py`), and files that cannot be used.

use std::path::{Path, PathBuf};

use idembed_diffusion::{Compute, Error, Lora, ModelFiles, StableDiffusion};
use idembed_integration_tests::{Fixture, Parity, mini_model};
use idembed_weights::Source;
use tch::{Device, Kind, Tensor};

use crate::pipelines::compare_pictures;

/// Of fused weights: the largest difference, relative to the largest expected magnitude.
const LIMIT: f64 = 1e-5;

fn mini() -> ModelFiles {
    ModelFiles::open(&mini_model()).unwrap()
}

#[test]
fn fused_weights_and_pictures() {
    let fixture = Fixture::open("lora");
    let mut parity = Parity::new();
    for case in fixture.list("cases") {
        let model = case["model"].as_str().map_or_else(mini_model, |model| fixture.folder.join(model));
        let model = ModelFiles::open(&model).unwrap();
        let files = case["files"].as_array().unwrap().iter().fold(model, |files, file| {
            let path = fixture.folder.join(file["file"].as_str().unwrap());
            files.with_lora(Lora::open(&path, file["strength"].as_f64().unwrap()).unwrap())
        });
        let mut compare = |network: &str, source: &dyn Source| {
            let names = source.names();
            for layer in case[network].as_array().unwrap() {
                let layer = layer.as_str().unwrap();
                let weight = format!("{layer}.weight");
                let name =
                    names.iter().find(|name| name.strip_prefix("text_model.").unwrap_or(name) == weight).unwrap();
                let key = format!("{}.{network}.{layer}", case["name"].as_str().unwrap());
                let expected = fixture.tensor(&key);
                let ours = source.stored(name).unwrap().tensor().narrow(0, 0, expected.size()[0]);
                parity.check_tensors(&format!("lora/{key}"), &ours, expected, LIMIT);
            }
        };
        compare("unet", &*files.unet().unwrap().1);
        compare("text_encoder", &*files.text_encoders().unwrap()[0].source);
        let model = StableDiffusion::load_files(files, Compute::CPU_F32).unwrap();
        compare_pictures(&mut parity, &fixture.folder, &model, case);
    }
    parity.finish();
}

/// Tensors in a file of their own.
struct Written {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn written(tensors: &[(&str, Tensor)]) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    Tensor::write_safetensors(tensors, &path).unwrap();
    Written { _folder: folder, path }
}

fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

const CONV: &str = "lora_unet_mid_block_resnets_0_conv1";
const CONV_WEIGHT: &str = "mid_block.resnets.0.conv1.weight";

/// The shape of the weight that the files here change.
fn shape() -> [i64; 4] {
    mini().unet().unwrap().1.shape(CONV_WEIGHT).unwrap().try_into().unwrap()
}

/// Layers of attention, for which diffusers 0.42.1 does not look at alpha: by the definition.
#[test]
fn alpha_over_rank_times_strength() {
    let unet = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k";
    let text = "encoder.layers.0.self_attn.q_proj";
    let files = mini();
    let (unet_source, text_source) = (files.unet().unwrap().1, files.text_encoders().unwrap().remove(0).source);
    let find = |source: &dyn Source, layer: &str| {
        let weight = format!("{layer}.weight");
        let name = source.names().into_iter().find(|name| name.ends_with(&weight)).unwrap();
        source.stored(&name).unwrap().tensor().copy()
    };
    let mut parity = Parity::new();
    for (network, source, joined, layer) in
        [("unet", &unet_source, "lora_unet_", unet), ("text_encoder", &text_source, "lora_te_text_model_", text)]
    {
        let base = find(&**source, layer);
        let (up, down) = (random(&[base.size()[0], 3]), random(&[3, base.size()[1]]));
        let own = format!("{joined}{}", layer.replace('.', "_"));
        let dotted = format!("{network}.{layer}");
        let alpha = Tensor::from(1.5f32);
        let spelled = [
            (format!("{own}.lora_up.weight"), format!("{own}.lora_down.weight"), Some(format!("{own}.alpha"))),
            (format!("{dotted}.lora_B.weight"), format!("{dotted}.lora_A.weight"), None),
        ];
        for (up_name, down_name, alpha_name) in &spelled {
            let mut tensors = vec![(up_name.as_str(), up.shallow_clone()), (down_name.as_str(), down.shallow_clone())];
            tensors.extend(alpha_name.as_ref().map(|name| (name.as_str(), alpha.shallow_clone())));
            let file = written(&tensors);
            let changed = mini().with_lora(Lora::open(&file.path, -0.8).unwrap());
            let source = if network == "unet" {
                changed.unet().unwrap().1
            } else {
                changed.text_encoders().unwrap().remove(0).source
            };
            let scale = -0.8 * if alpha_name.is_some() { 1.5 / 3.0 } else { 1.0 };
            let expected = &base + up.matmul(&down) * scale;
            parity.check_tensors(&format!("lora/{up_name}"), &find(&*source, layer), &expected, LIMIT);
        }
    }
    parity.finish();
}

/// No strength is no change, whatever the magnitudes; factors of zeros leave the magnitudes, which are a change.
#[test]
fn magnitudes_by_themselves() {
    let [outputs, inputs, ..] = shape();
    let weight = |strength: f64| {
        let names = ["lora_down.weight", "lora_up.weight", "dora_scale"].map(|end| format!("{CONV}.{end}"));
        let zeros = Tensor::zeros([outputs, 2, 1, 1], (Kind::Float, Device::Cpu));
        let twos = Tensor::ones([outputs], (Kind::Float, Device::Cpu)) * 2.0;
        let tensors = [random(&[2, inputs, 3, 3]), zeros, twos];
        let tensors: Vec<(&str, Tensor)> = names.iter().map(String::as_str).zip(tensors).collect();
        let file = written(&tensors);
        let source = mini().with_lora(Lora::open(&file.path, strength).unwrap()).unet().unwrap().1;
        source.stored(CONV_WEIGHT).unwrap().tensor().to_kind(Kind::Float)
    };
    let base = mini().unet().unwrap().1.stored(CONV_WEIGHT).unwrap().tensor().to_kind(Kind::Float);
    assert!(weight(0.0).equal(&base));
    let lengths = weight(1.0).square().sum_dim_intlist([1, 2, 3].as_slice(), false, Kind::Float).sqrt();
    assert!((lengths - 2.0).abs().max().double_value(&[]) < 1e-5);
}

/// A convolution in three steps is the three convolutions one after the other.
#[test]
fn a_kernel_within_the_rank() {
    let [outputs, inputs, ..] = shape();
    let (down, mid, up) = (random(&[3, inputs, 1, 1]), random(&[3, 3, 3, 3]), random(&[outputs, 3, 1, 1]));
    let names = ["lora_down.weight", "lora_mid.weight", "lora_up.weight", "alpha"].map(|end| format!("{CONV}.{end}"));
    let factors = [down.shallow_clone(), mid.shallow_clone(), up.shallow_clone(), Tensor::from(1.5f32)];
    let tensors: Vec<(&str, Tensor)> = names.iter().map(String::as_str).zip(factors).collect();
    let file = written(&tensors);
    let weight = |files: ModelFiles| {
        let source = files.unet().unwrap().1;
        source.stored(CONV_WEIGHT).unwrap().tensor().to_kind(Kind::Float)
    };
    let changed = weight(mini().with_lora(Lora::open(&file.path, 0.5).unwrap()));
    let x = random(&[1, inputs, 5, 5]);
    let conv =
        |x: &Tensor, weight: &Tensor, padding| x.conv2d(weight, None::<Tensor>, [1, 1], [padding, padding], [1, 1], 1);
    let delta = conv(&conv(&conv(&x, &down, 0), &mid, 1), &up, 0) * (0.5 * 1.5 / 3.0);
    let mut parity = Parity::new();
    parity.check_tensors("lora/mid", &conv(&x, &changed, 1), &(conv(&x, &weight(mini()), 1) + delta), 1e-5);
    parity.finish();
    // No strength, no change.
    assert!(weight(mini().with_lora(Lora::open(&file.path, 0.0).unwrap())).equal(&weight(mini())));
}

/// What was read of a file stays, whatever becomes of the file before the networks are made.
#[test]
fn a_file_may_change_once_it_was_read() {
    let [outputs, inputs, ..] = shape();
    let names = ["lora_down.weight", "lora_up.weight"].map(|end| format!("{CONV}.{end}"));
    let tensors = [random(&[2, inputs, 3, 3]), random(&[outputs, 2, 1, 1])];
    let tensors: Vec<(&str, Tensor)> = names.iter().map(String::as_str).zip(tensors).collect();
    let file = written(&tensors);
    let weight = |source: &dyn Source| source.stored(CONV_WEIGHT).unwrap().tensor().copy();
    let changed = mini().with_lora(Lora::open(&file.path, 1.0).unwrap());
    let source = changed.unet().unwrap().1;
    let before = weight(&*source);
    std::fs::File::options().write(true).open(&file.path).unwrap().set_len(16).unwrap();
    assert!(weight(&*source).equal(&before));
    assert!(changed.unet().unwrap_err().to_string().contains("cannot load"));
}

fn refusal(path: &Path, strength: f64) -> String {
    let used = Lora::open(path, strength).and_then(|lora| mini().with_lora(lora).unet().map(drop));
    match used.unwrap_err() {
        Error::Lora { what, .. } => what,
        Error::Weights { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

#[test]
fn files_that_cannot_be_used_say_why() {
    let [outputs, inputs, ..] = shape();
    let down = || random(&[2, inputs, 3, 3]);
    let up = || random(&[outputs, 2, 1, 1]);
    let pair = |layer: &str, down: Tensor, up: Tensor, more: Vec<(&str, Tensor)>| {
        let names = [format!("{layer}.lora_down.weight"), format!("{layer}.lora_up.weight")];
        let mut tensors = vec![(names[0].as_str(), down), (names[1].as_str(), up)];
        tensors.extend(more);
        refusal(&written(&tensors).path, 1.0)
    };
    let said = |what: String, expected: &[&str]| {
        assert!(expected.iter().all(|part| what.contains(part)), "{what}, expected {expected:?}");
    };
    said(
        pair("lora_unet_nowhere", down(), up(), vec![]),
        &["lora_unet_nowhere.lora_down.weight", "U-Net", "does not have"],
    );
    said(pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", down(), up(), vec![]), &["second text encoder"]);
    said(pair("elsewhere", down(), up(), vec![]), &["`elsewhere.lora_down.weight` belongs to no layer"]);
    said(pair(CONV, random(&[2, inputs + 1, 3, 3]), up(), vec![]), &[CONV_WEIGHT, "expected"]);
    said(pair(CONV, random(&[3, inputs, 3, 3]), up(), vec![]), &[CONV_WEIGHT, "expected"]);
    said(pair(CONV, down() * f64::NAN, up(), vec![]), &["lora_down.weight", "NaN"]);
    said(pair(CONV, down(), up() * 0.0, vec![]), &["all its numbers are 0"]);
    let alpha = format!("{CONV}.alpha");
    said(pair(CONV, down(), up(), vec![(&alpha, Tensor::from(0.0f32))]), &[&alpha, "is 0"]);
    said(pair(CONV, down(), up(), vec![(&alpha, Tensor::from(f32::NAN))]), &[&alpha, "is NaN"]);
    said(pair(CONV, down(), up(), vec![(&alpha, random(&[2]))]), &[&alpha, "expected one number"]);
    let scale = format!("{CONV}.dora_scale");
    let magnitudes = |name: &str, values: Tensor| pair(CONV, down(), up(), vec![(name, values)]);
    let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
    said(magnitudes(&scale, ones(&[outputs, 1, 1, 1]) * f64::NAN), &[&scale, "NaN"]);
    said(magnitudes(&scale, ones(&[outputs, 1, 1, 1]) * 0.0), &[&scale, "holds only 0"]);
    said(magnitudes(&scale, ones(&[outputs + 1, 1, 1, 1])), &[&scale, "expected", &format!("[{outputs}, 1, 1, 1]")]);
    said(magnitudes(&scale, ones(&[1, 1, 3, 1])), &[&scale, "[1, 1, 3, 1]", &format!("or [1, {inputs}, 1, 1]")]);
    let vector = format!("{CONV}.lora_magnitude_vector");
    said(magnitudes(&vector, ones(&[inputs + 1])), &[&vector, "expected", &format!("[{outputs}]")]);
    said(refusal(&written(&[(&scale, ones(&[outputs]))]).path, 1.0), &["dora_scale", "stands alone"]);
    let other = ("lora_unet_conv_in.hada_w1_a", random(&[2, 2]));
    said(pair(CONV, down(), up(), vec![other]), &["LoHa", "not read"]);
    let width = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k";
    said(pair(width, random(&[2, 2048]), random(&[8, 2]), vec![]), &["made for SDXL", "2048", "128"]);

    let alone = format!("{CONV}.lora_down.weight");
    said(refusal(&written(&[(&alone, down())]).path, 1.0), &[&alone, "stands alone"]);
    said(refusal(&written(&[("emb_params", random(&[1, 128]))]).path, 1.0), &["it is no LoRA: embedding"]);
    let good = fixture_file();
    for strength in [f64::NAN, 1e6, -101.0] {
        said(refusal(&good, strength), &["strength", "expected -100 to 100"]);
    }
    said(refusal(Path::new("nowhere.safetensors"), 1.0), &["nowhere.safetensors"]);
}

fn fixture_file() -> PathBuf {
    Fixture::open("lora").folder.join("kohya.safetensors")
}
