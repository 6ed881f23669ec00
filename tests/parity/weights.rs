//! Model folders as they are found: the same weights in other files give the same numbers, and a folder that cannot be
//! used is refused with an error that names what is wrong. Nothing panics.

use std::fs;
use std::path::{Path, PathBuf};

use idembed_diffusion::device::Compute;
use idembed_diffusion::error::WeightsError;
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::schedulers::SchedulerKind;
use idembed_diffusion::text_to_image::TextToImage;
use idembed_diffusion::{Error, StableDiffusion};
use idembed_integration_tests::tensor_file::TensorFile;
use serde_json::{Value, json};
use tch::{Kind, Tensor};
use tempfile::TempDir;

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const TEXT: &str = "text_encoder/model.safetensors";
const VAE: &str = "vae/diffusion_pytorch_model.safetensors";

/// A copy of the tiny model of the fixtures, to be spoiled.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                let to = to.join(path.file_name().unwrap());
                if path.is_dir() { copy(&path, &to) } else { assert!(fs::copy(&path, &to).is_ok()) }
            }
        }
        let folder = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pipelines/sd2v"), folder.path());
        Folder(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn load(&self) -> Result<StableDiffusion, Error> {
        StableDiffusion::load(self.0.path(), Compute::CPU_F32)
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn change_tensors(&self, file: &str, change: impl FnOnce(&mut TensorFile)) {
        let mut tensors = TensorFile::read(&self.path(file));
        change(&mut tensors);
        tensors.write(&self.path(file));
    }

    fn change_json(&self, file: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_slice(&fs::read(self.path(file)).unwrap()).unwrap();
        change(&mut value);
        fs::write(self.path(file), serde_json::to_vec(&value).unwrap()).unwrap();
    }
}

/// The error of loading a folder that was spoiled.
fn refused(spoil: impl FnOnce(&Folder)) -> Error {
    let folder = Folder::new();
    spoil(&folder);
    folder.load().expect_err("the folder was spoiled")
}

/// What is wrong with a weight file that was spoiled, and the file that the error names.
fn refused_weights(spoil: impl FnOnce(&Folder)) -> (WeightsError, String) {
    match refused(spoil) {
        Error::Weights { source, path } => (source, path.file_name().unwrap().to_string_lossy().into_owned()),
        other => panic!("expected an error about weights, got {other:?}"),
    }
}

/// One number of each network, to tell models apart.
fn sample(model: &StableDiffusion) -> Vec<Tensor> {
    let _guard = tch::no_grad_guard();
    let states = model.text_states("a photo of a person").unwrap();
    let latents = seeded_noise(1, &[1, model.unet.config().channels, 6, 5], 1).unwrap().remove(0);
    let decoded = model.vae.decode(&latents).unwrap();
    let context = model.unet.project(&idembed_diffusion::conditioning::TextStates::shared(states.shallow_clone()));
    let output = model.unet.forward(&latents, &Tensor::from_slice(&[300.0f32]), &context.unwrap(), None).unwrap();
    vec![states, output, decoded]
}

fn assert_same(folder: &Folder) {
    let (ours, original) = (sample(&folder.load().unwrap()), sample(&Folder::new().load().unwrap()));
    for (ours, original) in ours.iter().zip(&original) {
        assert!(ours.equal(original));
    }
}

#[test]
fn variants_and_shards_hold_the_same_weights() {
    let folder = Folder::new();
    folder.rename(TEXT, "text_encoder/model.fp16.safetensors");
    folder.rename(UNET, "unet/diffusion_pytorch_model.fp16.safetensors");
    folder.rename(VAE, "vae/diffusion_pytorch_model.fp16.safetensors");
    assert_same(&folder);

    let folder = Folder::new();
    let whole = TensorFile::read(&folder.path(UNET));
    let names: Vec<&String> = whole.header.as_object().unwrap().keys().filter(|name| *name != "__metadata__").collect();
    let shard_of = |index: usize| format!("part-{}.safetensors", index % 3);
    for shard in 0..3 {
        let mut part = TensorFile { header: json!({}), data: Vec::new() };
        for name in names.iter().enumerate().filter(|(index, _)| index % 3 == shard).map(|(_, name)| *name) {
            let offsets = &whole.header[name]["data_offsets"];
            let range = offsets[0].as_u64().unwrap() as usize..offsets[1].as_u64().unwrap() as usize;
            part.header[name] = whole.header[name].clone();
            part.header[name]["data_offsets"] = json!([part.data.len(), part.data.len() + range.len()]);
            part.data.extend(&whole.data[range]);
        }
        part.write(&folder.path("unet").join(shard_of(shard)));
    }
    fs::remove_file(folder.path(UNET)).unwrap();
    let map = names.iter().enumerate().map(|(index, name)| ((*name).clone(), json!(shard_of(index))));
    let index = json!({ "metadata": {}, "weight_map": serde_json::Map::from_iter(map) });
    let index_file = folder.path("unet/diffusion_pytorch_model.safetensors.index.json");
    fs::write(&index_file, index.to_string()).unwrap();
    assert_same(&folder);

    fs::remove_file(folder.path("unet/part-1.safetensors")).unwrap();
    match folder.load().unwrap_err() {
        Error::Read { path, .. } => assert!(path.ends_with("unet/part-1.safetensors")),
        other => panic!("{other:?}"),
    }
    for outside in ["../vae/diffusion_pytorch_model.safetensors", "/etc/hostname", "..", "a/../part-0.safetensors"] {
        fs::write(&index_file, json!({ "weight_map": { "conv_in.weight": outside } }).to_string()).unwrap();
        match folder.load().unwrap_err() {
            Error::Layout { path, what } => assert!(path == index_file && what.contains(outside), "{what}"),
            other => panic!("{other:?}"),
        }
    }
}

/// Autoencoders that were converted from the first checkpoints keep these layers as 1 x 1 convolutions.
#[test]
fn attention_of_the_autoencoder_as_convolutions() {
    let folder = Folder::new();
    folder.change_tensors(VAE, |file| {
        for (name, entry) in file.header.as_object_mut().unwrap() {
            if name.contains("attentions.0.to_") && name.ends_with("weight") {
                entry["shape"].as_array_mut().unwrap().extend([json!(1), json!(1)]);
            }
        }
    });
    assert_same(&folder);
}

#[test]
fn missing_files() {
    for (file, stem) in [(UNET, "diffusion_pytorch_model"), (TEXT, "model"), (VAE, "diffusion_pytorch_model")] {
        let error = refused(|folder| fs::remove_file(folder.path(file)).unwrap());
        let folder = Path::new(file).parent().unwrap();
        match &error {
            Error::Layout { path, what } => {
                assert!(path.ends_with(folder) && what.contains(&format!("`{stem}.safetensors` is missing")), "{what}");
            }
            other => panic!("{other:?}"),
        }
        assert!(error.hint().is_some());
    }
    let pickled = |folder: &Folder| folder.rename(UNET, "unet/diffusion_pytorch_model.bin");
    assert!(refused(pickled).to_string().contains("pickled file, which is not read"));
    for file in ["unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"] {
        let error = refused(|folder| fs::remove_file(folder.path(file)).unwrap());
        assert!(matches!(&error, Error::Read { path, .. } if path.ends_with(file)), "{error:?}");
    }
    for part in ["tokenizer/tokenizer.json", "model_index.json"] {
        let error = refused(|folder| fs::remove_file(folder.path(part)).unwrap());
        assert!(matches!(error, Error::Layout { .. }), "{error:?}");
    }
    for part in ["tokenizer", "unet", "vae", "text_encoder", "scheduler"] {
        let error = refused(|folder| fs::remove_dir_all(folder.path(part)).unwrap());
        assert!(matches!(error, Error::Layout { .. } | Error::Read { .. }), "{error:?}");
    }
}

#[test]
fn truncated_and_corrupt_files() {
    let whole = fs::read(Folder::new().path(UNET)).unwrap();
    let lengths = [0, 1, 7, 8, 9, 500, whole.len() / 2, whole.len() - 1];
    let too_long = [whole.as_slice(), &[0; 16]].concat();
    let endless_header = [&u64::MAX.to_le_bytes(), &whole[8..]].concat();
    let pickle = b"PK\x03\x04 this is a pickled checkpoint with another name".to_vec();
    let zeros = vec![0; whole.len()];
    let spoiled = lengths.iter().map(|&length| whole[..length].to_vec());
    for (index, bytes) in spoiled.chain([too_long, endless_header, pickle, zeros]).enumerate() {
        let (source, file) = refused_weights(|folder| fs::write(folder.path(UNET), &bytes).unwrap());
        assert!(matches!(source, WeightsError::Damaged(_)), "{index}: {source:?}");
        assert_eq!(file, "diffusion_pytorch_model.safetensors");
    }
    let error = refused(|folder| {
        fs::remove_file(folder.path(UNET)).unwrap();
        fs::create_dir(folder.path(UNET)).unwrap();
    });
    assert!(matches!(error, Error::Layout { .. }), "{error:?}");
}

/// Whatever bytes of the header change, loading says so or goes on; it never panics and never reads outside the file.
#[test]
fn changed_bytes_of_the_header() {
    let folder = Folder::new();
    let whole = fs::read(folder.path(TEXT)).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut state = 1u64;
    let mut draw = |below: usize| {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut refusals = 0;
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..1 + draw(3) {
            bytes[draw(header)] = b"0123456789[]{}\",:FIBUxz \x00\xff"[draw(26)];
        }
        fs::write(folder.path(TEXT), &bytes).unwrap();
        refusals += u32::from(folder.load().is_err());
    }
    assert!(refusals > 100, "{refusals} of 200");
}

#[test]
fn tensors_of_another_shape() {
    let name = "down_blocks.0.resnets.0.conv1.weight";
    let error = refused(|folder| {
        folder.change_tensors(UNET, |file| file.header[name]["shape"] = json!([8, 8, 9]));
    });
    assert_eq!(error.to_string(), format!("cannot load `{}`", error_path(&error).display()));
    let Error::Weights { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), format!("tensor `{name}` has shape [8, 8, 9], expected [8, 8, 3, 3]"));

    // Every kind of parameter is checked, for the shape and not for the count of numbers.
    for (file, name) in [
        (TEXT, "embeddings.token_embedding.weight"),
        (TEXT, "encoder.layers.0.mlp.fc1.weight"),
        (TEXT, "encoder.layers.1.layer_norm1.bias"),
        (UNET, "time_embedding.linear_1.weight"),
        (UNET, "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"),
        (UNET, "mid_block.attentions.0.norm.weight"),
        (UNET, "conv_out.bias"),
        (VAE, "encoder.mid_block.attentions.0.to_q.weight"),
        (VAE, "decoder.conv_out.weight"),
        (VAE, "quant_conv.weight"),
    ] {
        let mut expected = Value::Null;
        let (source, _) = refused_weights(|folder| {
            folder.change_tensors(file, |file| {
                let shape = &mut file.header[name]["shape"];
                expected = shape.clone();
                shape.as_array_mut().unwrap().insert(0, json!(1));
            });
        });
        let WeightsError::Shape { name: named, got, expected: wanted } = source else { panic!("{source:?}") };
        assert_eq!((named.as_str(), json!(wanted)), (name, expected));
        assert_eq!(got.len(), wanted.len() + 1);
    }
}

fn error_path(error: &Error) -> &Path {
    match error {
        Error::Weights { path, .. } => path,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tensors_of_another_dtype() {
    let name = "conv_in.bias";
    for dtype in ["I16", "U16"] {
        let (source, _) = refused_weights(|folder| {
            folder.change_tensors(UNET, |file| file.header[name]["dtype"] = json!(dtype));
        });
        assert_eq!(source.to_string(), format!("tensor `{name}` has dtype {dtype}, expected F32, F16 or BF16"));
    }
    // A whole-number tensor passes as a leftover buffer, not as a parameter. Four f16 take the room of one i64.
    let name = "embeddings.position_embedding.weight";
    let (source, _) = refused_weights(|folder| {
        folder.change_tensors(TEXT, |file| {
            let entry = &mut file.header[name];
            entry["dtype"] = json!("I64");
            entry["shape"][1] = json!(entry["shape"][1].as_u64().unwrap() / 4);
        });
    });
    assert_eq!(source.to_string(), format!("tensor `{name}` has dtype I64, expected F32, F16 or BF16"));
}

#[test]
fn missing_and_unknown_tensors() {
    for (file, name) in [
        (TEXT, "final_layer_norm.weight"),
        (UNET, "up_blocks.1.upsamplers.0.conv.bias"),
        (UNET, "mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight"),
        (VAE, "encoder.down_blocks.0.downsamplers.0.conv.weight"),
    ] {
        let rename = |folder: &Folder| folder.change_tensors(file, |file| file.rename(name, "lora.weight"));
        let (source, _) = refused_weights(rename);
        assert!(matches!(&source, WeightsError::Missing(missing) if missing == name), "{source:?}");
    }
    for file in [TEXT, UNET, VAE] {
        let (source, _) = refused_weights(|folder| {
            folder.change_tensors(file, |file| {
                for name in ["zzz.weight", "added.weight"] {
                    file.header[name] =
                        json!({ "dtype": "F16", "shape": [1], "data_offsets": [file.data.len(), file.data.len() + 2] });
                    file.data.extend([0, 0]);
                }
            });
        });
        let WeightsError::Extra { first, count } = source else { panic!("{source:?}") };
        assert_eq!((first.as_str(), count), ("added.weight", 2));
    }
}

#[test]
fn configurations_that_do_not_parse_or_lack_a_field() {
    let files = [
        ("unet/config.json", "block_out_channels"),
        ("unet/config.json", "cross_attention_dim"),
        ("vae/config.json", "latent_channels"),
        ("vae/config.json", "layers_per_block"),
        ("text_encoder/config.json", "hidden_size"),
        ("text_encoder/config.json", "num_attention_heads"),
        ("model_index.json", "_class_name"),
    ];
    for (file, field) in files {
        for bytes in [&b"{ \"a\": "[..], b"", b"\xff\xfe", b"[]", b"null"] {
            let error = refused(|folder| fs::write(folder.path(file), bytes).unwrap());
            assert!(matches!(&error, Error::Json { path, .. } if path.ends_with(file)), "{error:?}");
        }
        let lacks = |value: &mut Value| drop(value.as_object_mut().unwrap().remove(field));
        let mistyped = |value: &mut Value| value[field] = json!({ "no": "number" });
        for error in
            [refused(|folder| folder.change_json(file, lacks)), refused(|folder| folder.change_json(file, mistyped))]
        {
            assert!(matches!(&error, Error::Json { path, .. } if path.ends_with(file)), "{error:?}");
        }
        let Error::Json { source, .. } = refused(|folder| folder.change_json(file, lacks)) else { unreachable!() };
        assert!(source.to_string().contains(field), "{source}");
    }
    let error = refused(|folder| fs::write(folder.path("scheduler/scheduler_config.json"), b"[1").unwrap());
    assert!(matches!(error, Error::Json { .. }), "{error:?}");
}

/// Numbers that no network has are an error, not a panic or endless work.
#[test]
fn configurations_out_of_range() {
    let numbers =
        [json!(0), json!(-1), json!(7), json!(i64::MAX), json!(i64::MIN), json!([]), json!([0, 0, 0]), json!([8, 16])];
    for (file, fields) in [
        (
            "unet/config.json",
            &[
                "block_out_channels",
                "layers_per_block",
                "attention_head_dim",
                "norm_num_groups",
                "cross_attention_dim",
                "transformer_layers_per_block",
                "in_channels",
                "out_channels",
            ][..],
        ),
        (
            "vae/config.json",
            &["block_out_channels", "layers_per_block", "norm_num_groups", "latent_channels", "in_channels"],
        ),
        (
            "text_encoder/config.json",
            &[
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
                "num_attention_heads",
                "max_position_embeddings",
                "vocab_size",
            ],
        ),
    ] {
        for field in fields {
            for number in &numbers {
                let folder = Folder::new();
                folder.change_json(file, |value| value[*field] = number.clone());
                assert!(folder.load().is_err(), "{file}: {field} = {number}");
            }
        }
    }
    for scaling_factor in [json!(0), json!(-0.2), json!("big")] {
        let folder = Folder::new();
        folder.change_json("vae/config.json", |value| value["scaling_factor"] = scaling_factor);
        assert!(folder.load().is_err());
    }
}

#[test]
fn models_of_another_family() {
    let of_class = |name: &'static str| {
        let error =
            refused(|folder| folder.change_json("model_index.json", |index| index["_class_name"] = json!(name)));
        let Error::Unsupported { what, hint } = error else { panic!("{error:?}") };
        assert!(what.contains(name), "{what}");
        hint.unwrap()
    };
    assert!(of_class("StableDiffusionInpaintPipeline").contains("inpainting"));
    assert!(of_class("StableDiffusionXLPipeline").contains("SDXL"));
    assert!(of_class("FluxPipeline").contains("StableDiffusionPipeline"));

    let with = |field: &'static str, value: Value| {
        let error = refused(|folder| folder.change_json("unet/config.json", |config| config[field] = value));
        let Error::Unsupported { what, hint } = error else { panic!("{error:?}") };
        (what, hint.unwrap_or_default())
    };
    assert!(with("in_channels", json!(9)).1.contains("inpainting"));
    assert!(with("addition_embed_type", json!("text_time")).1.contains("SDXL"));
    assert!(with("in_channels", json!(7)).0.contains("7 input and 4 output channels"));
    for (field, value) in [
        ("class_embed_type", json!("timestep")),
        ("only_cross_attention", json!(true)),
        ("time_embedding_type", json!("fourier")),
        ("act_fn", json!("gelu")),
        ("resnet_skip_time_act", json!(true)),
        ("conv_out_kernel", json!(1)),
    ] {
        let (what, _) = with(field, value.clone());
        assert!(what.contains(field) && what.contains(&value.to_string()), "{what}");
    }
    let blocks = json!(["AttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"]);
    assert!(with("down_block_types", blocks).0.contains("AttnDownBlock2D"));
}

#[test]
fn parts_that_do_not_fit_together() {
    let folder = Folder::new();
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/mini/text_encoder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(other.join(file), folder.path("text_encoder").join(file)).unwrap();
    }
    let Error::Layout { what, .. } = folder.load().unwrap_err() else { panic!() };
    assert_eq!(what, "the text encoder is 192 wide, but the U-Net expects 20");
}

/// NaN in weights or an overflow never ends in a picture.
#[test]
fn weights_that_are_not_numbers() {
    for (file, name) in [(UNET, "conv_out.bias"), (VAE, "decoder.conv_out.bias")] {
        let folder = Folder::new();
        folder.change_tensors(file, |file| {
            let start = file.header[name]["data_offsets"][0].as_u64().unwrap() as usize;
            file.data[start..start + 2].copy_from_slice(&0x7e00u16.to_le_bytes());
        });
        let error = draw(&folder.load().unwrap(), |_| ()).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{error:?}");
    }
}

#[test]
fn settings_out_of_range() {
    let model = Folder::new().load().unwrap();
    draw(&model, |_| ()).unwrap();
    let refused = |change: fn(&mut TextToImage<'_>)| match draw(&model, change).unwrap_err() {
        Error::Setting(what) => what,
        other => panic!("{other:?}"),
    };
    assert!(refused(|request| request.width = 500).contains("the width is 500"));
    assert!(refused(|request| request.height = 0).contains("the height is 0"));
    assert!(refused(|request| request.height = -8).contains("the height is -8"));
    assert!(refused(|request| request.guidance_scale = f64::NAN).contains("guidance"));
    assert!(refused(|request| request.guidance_scale = -1.0).contains("guidance"));
    assert!(refused(|request| request.batch = 0).contains("batch"));
    assert!(refused(|request| request.steps = 0).contains("step"));
    assert!(refused(|request| request.steps = 1_000_000).contains("step"));
}

fn draw(model: &StableDiffusion, change: impl FnOnce(&mut TextToImage<'_>)) -> Result<(), Error> {
    let (prompt, negative) = (model.condition("a photo").unwrap(), model.condition("").unwrap());
    let mut request = TextToImage {
        prompt: &prompt,
        negative: &negative,
        guidance_scale: 2.0,
        steps: 2,
        scheduler: SchedulerKind::Ddim,
        width: 24,
        height: 40,
        seeds: &[1],
        batch: 1,
    };
    change(&mut request);
    request.run(model, &mut (), |_, picture| {
        assert_eq!(picture.to_tensor()?.kind(), Kind::Float);
        Ok(())
    })
}
