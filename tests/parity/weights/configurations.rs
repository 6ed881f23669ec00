//! Configurations that cannot be read, ask for the impossible, or belong to another family of models.

use std::fs;
use std::path::Path;

use idembed_diffusion::Error;
use serde_json::{Value, json};

use super::{Folder, refused};

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
    assert!(of_class("FluxInpaintPipeline").contains("inpainting is supported with"));
    assert!(of_class("StableDiffusionXLImg2ImgPipeline").contains("refiner"));
    assert!(of_class("FluxPipeline").contains("StableDiffusionPipeline"));

    let with = |field: &'static str, value: Value| {
        let error = refused(|folder| folder.change_json("unet/config.json", |config| config[field] = value));
        let Error::Unsupported { what, hint } = error else { panic!("{error:?}") };
        (what, hint.unwrap_or_default())
    };
    assert!(with("addition_embed_type", json!("text_time")).0.contains("addition_time_embed_dim is missing"));
    assert!(with("addition_embed_type", json!("image")).0.contains("\"image\", expected null or \"text_time\""));
    assert!(with("in_channels", json!(7)).0.contains("7 input and 4 output channels, expected as many, or 9 for"));
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
    assert_eq!(what, "the text encoder is 128 wide, but the U-Net expects 20");
}
