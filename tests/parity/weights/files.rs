//! The files that hold the weights: variants, shards, old spellings; missing, cut and changed ones.

use std::fs;
use std::path::Path;

use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::unet::UNetInput;
use idembed_diffusion::{Error, StableDiffusion};
use idembed_files::IoError;
use idembed_integration_tests::tensor_file::TensorFile;
use idembed_weights::WeightsError;
use serde_json::json;
use tch::Tensor;

use super::{Folder, TEXT, UNET, VAE, refused, refused_weights};

/// One number of each network, to tell models apart.
fn sample(model: &StableDiffusion) -> Vec<Tensor> {
    let _guard = tch::no_grad_guard();
    let states = model.text_states("a photo of a person").unwrap().key;
    let latents = seeded_noise(1, &[1, model.unet.config().channels, 6, 5], 1).unwrap().remove(0);
    let decoded = model.vae.decode(&latents).unwrap();
    let context = model.unet.project(&TextStates::shared(states.shallow_clone()));
    let output = model
        .unet
        .forward(UNetInput::new(&latents, &Tensor::from_slice(&[300.0f32]), &context.unwrap()), None)
        .unwrap();
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
        Error::Io(IoError::Read { path, .. }) => assert!(path.ends_with("unet/part-1.safetensors")),
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
    for (file, pickle) in [
        (UNET, "unet/diffusion_pytorch_model.bin"),
        (VAE, "vae/diffusion_pytorch_model.fp16.bin"),
        (VAE, "vae/diffusion_pytorch_model.bin.index.json"),
        (TEXT, "text_encoder/pytorch_model.bin"),
        (TEXT, "text_encoder/pytorch_model.bin.index.json"),
    ] {
        match refused(|folder| folder.rename(file, pickle)) {
            Error::Pickled { folder, file } => assert!(folder.join(file).ends_with(pickle), "{pickle}"),
            other => panic!("{pickle}: {other:?}"),
        }
    }
    for file in ["unet/config.json", "vae/config.json", "text_encoder/config.json", "scheduler/scheduler_config.json"] {
        let error = refused(|folder| fs::remove_file(folder.path(file)).unwrap());
        assert!(matches!(&error, Error::Io(IoError::Read { path, .. }) if path.ends_with(file)), "{error:?}");
    }
    for part in ["tokenizer/tokenizer.json", "model_index.json"] {
        let error = refused(|folder| fs::remove_file(folder.path(part)).unwrap());
        assert!(matches!(error, Error::Layout { .. }), "{error:?}");
    }
    for part in ["tokenizer", "unet", "vae", "text_encoder", "scheduler"] {
        let error = refused(|folder| fs::remove_dir_all(folder.path(part)).unwrap());
        assert!(matches!(error, Error::Layout { .. } | Error::Io(IoError::Read { .. })), "{error:?}");
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
