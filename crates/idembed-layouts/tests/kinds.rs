//! What files are taken for, by the names and shapes that published ones have.

use idembed_layouts::text_encoder::Place;
use idembed_layouts::{Checkpoint, Conditioner, Family, Kind, LoraForm, text_encoder, unet, vae};
use idembed_weights::{Listed, Listing};

fn listing(tensors: &[(&str, &[i64])]) -> Listing {
    let listed = |shape: &[i64]| Listed { shape: shape.to_vec(), dtype: "F16".to_owned() };
    let tensors = tensors.iter().map(|(name, shape)| ((*name).to_owned(), listed(shape)));
    Listing { tensors: tensors.collect(), ..Listing::default() }
}

fn kind(tensors: &[(&str, &[i64])]) -> Kind {
    Kind::of(&listing(tensors))
}

const CONV_IN: (&str, &[i64]) = ("model.diffusion_model.input_blocks.0.0.weight", &[320, 4, 3, 3]);
const CLIP: (&str, &[i64]) =
    ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", &[49408, 768]);
const OPEN_CLIP: (&str, &[i64]) = ("cond_stage_model.model.token_embedding.weight", &[49408, 1024]);
const LABELS: (&str, &[i64]) = ("model.diffusion_model.label_emb.0.0.weight", &[1280, 2816]);
const CLIP_L: (&str, &[i64]) = ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", &[768]);
const CLIP_G: (&str, &[i64]) = ("conditioner.embedders.1.model.ln_final.bias", &[1280]);
const OF_REFINER: (&str, &[i64]) = ("conditioner.embedders.0.model.ln_final.bias", &[1280]);
const VAE: (&str, &[i64]) = ("first_stage_model.decoder.up.0.block.0.conv1.weight", &[128, 256, 3, 3]);

fn to_k(width: i64) -> Vec<i64> {
    vec![320, width]
}

fn family(tensors: &[(&str, &[i64])]) -> Family {
    match kind(tensors) {
        Kind::Checkpoint(checkpoint) => checkpoint.family,
        other => panic!("{other}"),
    }
}

#[test]
fn checkpoints_are_told_by_their_text_encoders() {
    assert_eq!(family(&[CONV_IN, CLIP, VAE]), Family::Sd1);
    assert_eq!(family(&[CONV_IN, OPEN_CLIP, VAE]), Family::Sd2);
    assert_eq!(family(&[CONV_IN, LABELS, CLIP_L, CLIP_G]), Family::Sdxl);
    assert_eq!(family(&[CONV_IN, LABELS, OF_REFINER]), Family::SdxlRefiner);
    assert_eq!(family(&[("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", &[4608, 1536])]), Family::Sd3);
    assert_eq!(family(&[("double_blocks.0.img_attn.qkv.weight", &[9216, 3072])]), Family::Flux);
}

#[test]
fn a_unet_alone_is_told_by_what_it_reads() {
    let key = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight";
    for (width, with_labels, expected) in [
        (768, false, Family::Sd1),
        (1024, false, Family::Sd2),
        (2048, true, Family::Sdxl),
        (1280, true, Family::SdxlRefiner),
        (64, false, Family::Sd1),
    ] {
        let shape = to_k(width);
        let mut tensors = vec![CONV_IN, (key, shape.as_slice())];
        tensors.extend(with_labels.then_some(LABELS));
        assert_eq!(family(&tensors), expected, "{width}");
    }
}

#[test]
fn a_checkpoint_says_what_it_holds() {
    let average = ("model_ema.diffusion_modelout2bias", [4].as_slice());
    let found = kind(&[CONV_IN, CLIP, VAE, average, ("ztsnr", &[]), ("v_pred", &[])]);
    let expected = Checkpoint {
        family: Family::Sd1,
        conditioner: Some(Conditioner::Transformers),
        has_vae: true,
        has_average: true,
        input_channels: Some(4),
        prediction: Some("v".to_owned()),
        zero_terminal_snr: true,
    };
    assert_eq!(found, Kind::Checkpoint(expected));
    let inpainting = ("model.diffusion_model.input_blocks.0.0.weight", [320, 9, 3, 3].as_slice());
    let Kind::Checkpoint(found) = kind(&[inpainting, OPEN_CLIP]) else { panic!() };
    assert_eq!((found.input_channels, found.has_vae, found.conditioner), (Some(9), false, Some(Conditioner::OpenClip)));
    let mut file = listing(&[CONV_IN, OPEN_CLIP]);
    file.metadata.insert("modelspec.prediction_type".to_owned(), "epsilon".to_owned());
    let Kind::Checkpoint(found) = Kind::of(&file) else { panic!() };
    assert_eq!(found.prediction.as_deref(), Some("epsilon"));
}

#[test]
fn what_is_added_to_models_is_told_by_its_form_and_its_model() {
    let down = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight";
    let peft = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight";
    let lora = |form, family| Kind::Lora { form, family };
    for (width, family) in [(768, Some(Family::Sd1)), (1024, Some(Family::Sd2)), (2048, Some(Family::Sdxl)), (5, None)]
    {
        for name in [down, peft] {
            assert_eq!(kind(&[(name, &[4, width])]), lora(LoraForm::LowRank, family), "{name} {width}");
        }
    }
    let second_encoder = ("lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", [8, 1280].as_slice());
    assert_eq!(kind(&[second_encoder]), lora(LoraForm::LowRank, Some(Family::Sdxl)));
    for (name, form) in [
        ("lora_unet_mid_block_resnets_0_conv1.hada_w1_a", LoraForm::LoHa),
        ("lora_unet_mid_block_resnets_0_conv1.lokr_w1", LoraForm::LoKr),
        ("oft_unet_mid_block_resnets_0_conv1.oft_blocks", LoraForm::Oft),
    ] {
        assert_eq!(kind(&[(name, &[8, 8])]), lora(form, None), "{name}");
    }
    let magnitudes = ("lora_unet_mid_block_resnets_0_conv1.dora_scale", [1, 8].as_slice());
    assert_eq!(kind(&[(down, &[4, 768]), magnitudes]), lora(LoraForm::Dora, Some(Family::Sd1)));
}

#[test]
fn other_files_are_told() {
    let embedding = |vectors, widths: &[i64]| Kind::Embedding { vectors, widths: widths.to_vec() };
    assert_eq!(kind(&[("emb_params", &[3, 768])]), embedding(3, &[768]));
    assert_eq!(kind(&[("clip_g", &[2, 1280]), ("clip_l", &[2, 768])]), embedding(2, &[1280, 768]));
    assert_eq!(kind(&[("<cat-toy>", &[1024])]), embedding(1, &[1024]));
    for (name, prefix, original) in [
        ("decoder.up.0.block.0.conv1.weight", "", true),
        ("first_stage_model.decoder.up.0.block.0.conv1.weight", "first_stage_model.", true),
        ("decoder.up_blocks.0.resnets.0.conv1.weight", "", false),
    ] {
        assert_eq!(kind(&[(name, &[128, 128, 3, 3])]), Kind::Vae { original, prefix }, "{name}");
    }
    assert_eq!(
        kind(&[("control_model.input_hint_block.0.weight", &[16, 3, 3, 3])]),
        Kind::ControlNet { original: true }
    );
    let of_diffusers = "controlnet_cond_embedding.conv_in.weight";
    assert_eq!(kind(&[(of_diffusers, &[16, 3, 3, 3])]), Kind::ControlNet { original: false });
    let unet: [(&str, &[i64]); 2] =
        [("down_blocks.0.resnets.0.conv1.weight", &[8, 8, 3, 3]), ("time_embedding.linear_1.weight", &[32, 8])];
    assert_eq!(kind(&unet), Kind::DiffusersUnet);
    assert_eq!(kind(&[("text_model.embeddings.token_embedding.weight", &[9, 8])]), Kind::TextEncoder);
    let none: [&[(&str, &[i64])]; 4] =
        [&[], &[("layer.weight", &[3, 4])], &[("a", &[3, 4]), ("b", &[3, 4])], &[("emb_params", &[1, 2, 3])]];
    assert!(none.into_iter().all(|tensors| kind(tensors) == Kind::Unknown));
}

#[test]
fn names_of_no_network_stay_out_of_the_tables() {
    let file = listing(&[
        CONV_IN,
        ("model.diffusion_model.input_blocks.1.0.in_layers.0.weight", &[320]),
        ("model.diffusion_model.input_blocks.1.0.other.weight", &[320]),
        ("model.diffusion_model.somewhere.weight", &[320]),
        VAE,
        ("first_stage_model.decoder.up.x.block.0.conv1.weight", &[1]),
        ("first_stage_model.encoder.down.9.block.0.conv1.weight", &[1]),
        ("first_stage_model.loss.discriminator.weight", &[1]),
    ]);
    let names = |table: idembed_layouts::Table| table.into_keys().collect::<Vec<_>>();
    assert_eq!(names(unet::table(&file)), ["conv_in.weight", "down_blocks.0.resnets.0.norm1.weight"]);
    assert_eq!(names(vae::table(&file, vae::PREFIX)), ["decoder.up_blocks.0.resnets.0.conv1.weight"]);
    let places = [Place::FIRST, Place::SECOND].into_iter().chain(Place::OF_XL);
    assert!(places.into_iter().all(|place| text_encoder::table(&file, place).is_empty()));
}

/// The way back: of the U-Net's tensors of any checkpoint.
#[test]
fn original_names_are_found_again() {
    let inner = |layer: &str, names: &[&str]| names.iter().map(|name| format!("{layer}.{name}")).collect::<Vec<_>>();
    let resnet = |place: &str| {
        inner(place, &["in_layers.0.bias", "in_layers.2.weight", "emb_layers.1.weight", "skip_connection.bias"])
    };
    let attention = |place: &str| inner(place, &["norm.weight", "transformer_blocks.1.attn2.to_k.weight"]);
    let originals: Vec<String> = [
        inner("input_blocks.0.0", &["weight"]),
        inner("time_embed.2", &["bias"]),
        inner("label_emb.0.0", &["weight"]),
        resnet("input_blocks.1.0"),
        resnet("input_blocks.2.0"),
        inner("input_blocks.3.0.op", &["weight"]),
        resnet("input_blocks.4.0"),
        attention("input_blocks.4.1"),
        resnet("middle_block.0"),
        attention("middle_block.1"),
        resnet("middle_block.2"),
        resnet("output_blocks.0.0"),
        attention("output_blocks.0.1"),
        resnet("output_blocks.1.0"),
        attention("output_blocks.1.1"),
        inner("output_blocks.1.2.conv", &["bias"]),
        resnet("output_blocks.2.0"),
        resnet("output_blocks.3.0"),
        inner("out.2", &["bias"]),
    ]
    .concat();
    let prefixed: Vec<String> = originals.iter().map(|name| format!("{}{name}", unet::PREFIX)).collect();
    let tensors: Vec<(&str, &[i64])> = prefixed.iter().map(|name| (name.as_str(), [8].as_slice())).collect();
    let table = unet::table(&listing(&tensors));
    assert_eq!(table.len(), originals.len());
    let found = unet::original_names(&table.keys().cloned().collect::<Vec<_>>());
    for (new, alias) in table {
        assert_eq!(format!("{}{}", unet::PREFIX, found[&new]), alias.name, "{new}");
    }
}

/// OpenCLIP's text encoder of 2.x has 24 layers, of which the last is not used; some files were saved without it.
#[test]
fn the_last_layer_of_open_clip_is_left_out_once() {
    let used = |width: i64, layers: usize| {
        let names: Vec<String> = (0..layers)
            .map(|index| format!("cond_stage_model.model.transformer.resblocks.{index}.ln_1.weight"))
            .collect();
        let shapes = ([77, width], [width]);
        let mut tensors: Vec<(&str, &[i64])> = names.iter().map(|name| (name.as_str(), shapes.1.as_slice())).collect();
        tensors.push(("cond_stage_model.model.positional_embedding", &shapes.0));
        let table = text_encoder::table(&listing(&tensors), Place::SECOND);
        table.keys().filter(|name| name.ends_with("layer_norm1.weight")).count()
    };
    assert_eq!([used(1024, 24), used(1024, 23), used(64, 3), used(64, 1)], [23, 23, 2, 0]);
}
