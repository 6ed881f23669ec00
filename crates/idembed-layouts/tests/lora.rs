//! The spellings of layers in files of LoRA.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use idembed_layouts::lora::{Factors, Magnitude, Network, Stray, layers};
use idembed_weights::{Listed, Listing};

fn listing(names: &[String]) -> Listing {
    let listed = || Listed { shape: vec![2, 2], dtype: "F32".to_owned() };
    Listing { tensors: names.iter().map(|name| (name.clone(), listed())).collect(), ..Listing::default() }
}

/// The network of a layer that a file changes, and whether it is the layer of a weight.
fn found(layer: &str, down: &str, up: &str, weight: &str) -> (Network, bool) {
    let (down, up) = (format!("{layer}{down}"), format!("{layer}{up}"));
    let layers = layers(&listing(&[down.clone(), up.clone()])).unwrap();
    let (layer, factors) = layers.first_key_value().unwrap();
    assert_eq!((layers.len(), factors), (1, &Factors { down, up, mid: None, alpha: None, magnitude: None }));
    (layer.network, layer.is_of(weight))
}

#[test]
fn every_spelling_names_its_layer() {
    let kohya = (".lora_down.weight", ".lora_up.weight");
    let peft = (".lora_A.weight", ".lora_B.weight");
    let plain = (".lora.down.weight", ".lora.up.weight");
    let beside = ("_lora.down.weight", "_lora.up.weight");
    let text = (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight");
    let (to_out, q_proj) = ("mid_block.attentions.0.attn1.to_out.0.weight", "encoder.layers.3.self_attn.q_proj.weight");
    for ((down, up), layer, network, weight) in [
        (kohya, "lora_unet_mid_block_attentions_0_attn1_to_out_0", Network::Unet, to_out),
        (peft, "unet.mid_block.attentions.0.attn1.to_out.0", Network::Unet, to_out),
        (plain, "unet.mid_block.attentions.0.attn1.to_out.0", Network::Unet, to_out),
        (beside, "unet.mid_block.attentions.0.attn1.processor.to_out", Network::Unet, to_out),
        (beside, "mid_block.attentions.0.attn1.processor.to_out", Network::Unet, to_out),
        (kohya, "lora_te_text_model_encoder_layers_3_self_attn_q_proj", Network::TextEncoder, q_proj),
        (kohya, "lora_te1_text_model_encoder_layers_3_self_attn_q_proj", Network::TextEncoder, q_proj),
        (kohya, "lora_te2_text_model_encoder_layers_3_self_attn_q_proj", Network::SecondTextEncoder, q_proj),
        (peft, "text_encoder.text_model.encoder.layers.3.self_attn.q_proj", Network::TextEncoder, q_proj),
        (peft, "text_encoder.encoder.layers.3.self_attn.q_proj", Network::TextEncoder, q_proj),
        (text, "text_encoder.text_model.encoder.layers.3.self_attn.q_proj", Network::TextEncoder, q_proj),
        (beside, "text_encoder.text_model.encoder.layers.3.self_attn.to_q", Network::TextEncoder, q_proj),
        (peft, "text_encoder_2.text_model.encoder.layers.3.self_attn.q_proj", Network::SecondTextEncoder, q_proj),
    ] {
        assert_eq!(found(layer, down, up, weight), (network, true), "{layer}");
        let within = format!("text_model.{weight}");
        assert!(network == Network::Unet || found(layer, down, up, &within).1, "{layer}");
        for other in [
            "mid_block.attentions.0.attn1.to_out.0.bias",
            "encoder.layers.3.self_attn.k_proj.weight",
            "to_out.0.weight",
        ] {
            assert!(!found(layer, down, up, other).1, "{layer} {other}");
        }
    }
}

#[test]
fn tensors_that_fit_nothing_are_named() {
    let stray = |names: &[&str]| {
        layers(&listing(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())).unwrap_err()
    };
    let alone = "lora_unet_conv_in.lora_up.weight";
    assert_eq!(stray(&[alone]), Stray::Alone(alone.to_owned()));
    assert_eq!(stray(&["lora_unet_conv_in.alpha"]), Stray::Alone("lora_unet_conv_in.alpha".to_owned()));
    for name in ["lora_unet_conv_in.other", "somewhere.lora_down.weight", "lora_down.weight", "unet"] {
        assert_eq!(stray(&[alone, "lora_unet_conv_in.lora_down.weight", name]), Stray::NoLayer(name.to_owned()));
    }
    // The same layer of the same network twice.
    let twice =
        ["unet.mid_block.a.lora_A.weight", "unet.mid_block.a.lora.down.weight", "unet.mid_block.a.lora_B.weight"];
    assert_eq!(stray(&twice), Stray::NoLayer(twice[0].to_owned()));
}

#[test]
fn magnitudes_are_of_the_layer_that_they_are_named_for() {
    let magnitude = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        layers(&listing(&names)).map(|mut layers| layers.pop_first().unwrap().1.magnitude)
    };
    let joined = ["lora_unet_conv_in.lora_up.weight", "lora_unet_conv_in.lora_down.weight"];
    let dotted = ["unet.mid_block.a.lora_A.weight", "unet.mid_block.a.lora_B.weight"];
    let (scale, vector) = ("lora_unet_conv_in.dora_scale", "unet.mid_block.a.lora_magnitude_vector");
    assert_eq!(magnitude(&[joined[0], joined[1], scale]), Ok(Some(Magnitude::Scale(scale.to_owned()))));
    for vector in [vector, "unet.mid_block.a.lora_magnitude_vector.weight"] {
        assert_eq!(magnitude(&[dotted[0], dotted[1], vector]), Ok(Some(Magnitude::Vector(vector.to_owned()))));
    }
    assert_eq!(magnitude(&[dotted[0], vector]), Err(Stray::Alone(dotted[0].to_owned())));
    assert_eq!(magnitude(&[vector]), Err(Stray::Alone(vector.to_owned())));
    // Two for one layer.
    let other = "unet.mid_block.a.dora_scale";
    assert_eq!(magnitude(&[dotted[0], dotted[1], other, vector]), Err(Stray::NoLayer(vector.to_owned())));
}

#[test]
fn layers_are_called_by_the_end_of_their_names() {
    let names =
        ["unet.mid_block.attn1.to_q.lora_A.weight", "unet.mid_block.attn1.to_q.lora_B.weight"].map(str::to_owned);
    let layers = layers(&listing(&names)).unwrap();
    let (layer, _) = layers.first_key_value().unwrap();
    let called = |name: &str| layer.is_called(name);
    assert!(
        called("to_q") && called("attn1.to_q") && called("mid_block.attn1.to_q") && !called("o_q") && !called("attn1")
    );
}
