//! Weight files whose tensors do not match the configuration.

use std::path::Path;

use idembed_diffusion::Error;
use idembed_weights::WeightsError;
use serde_json::{Value, json};

use super::{Folder, TEXT, UNET, VAE, refused, refused_weights};

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
