//! Files of other tools that cannot be used, by each flag that takes one: no safetensors, endless headers, nothing but zeros.

use std::io::Write;
use std::path::Path;

use idembed_integration_tests::checkpoints::{checkpoint, controlnet};
use idembed_integration_tests::fixture_dir;
use tch::{Device, Kind, Tensor};

use crate::program::{Place, mini, portrait, text};

/// A header as long as this is below the format's limit, and longer than that of any model.
const LONG: usize = 20_000_000;

/// The flags that take a file, with a prompt that needs it.
fn flags(file: &str) -> [(String, &'static str); 5] {
    [
        (format!("--model={file}"), "a man"),
        (format!("--lora={file}"), "a man"),
        (format!("--vae={file}"), "a man"),
        (format!("--control={file}={}", text(&portrait())), "a man"),
        (format!("--embedding=cat={file}"), "a <cat>"),
    ]
}

fn arguments<'a>(prompt: &'a str, flag: &'a str) -> [&'a str; 6] {
    ["generate", prompt, "--steps=1", "--size=64x64", "--out=out", flag]
}

/// Writes a file for each flag, as it should be.
fn sound(place: &Place, flag: usize, name: &str) {
    let path = place.path(name);
    let copy = |from: &Path| std::fs::write(&path, std::fs::read(from).unwrap()).unwrap();
    match flag {
        0 => checkpoint("sd1").write(&path),
        1 => copy(&fixture_dir("lora").join("early.safetensors")),
        2 => copy(&mini().join("vae/diffusion_pytorch_model.safetensors")),
        3 => controlnet("a").write(&path),
        _ => copy(&fixture_dir("embeddings").join("one.safetensors")),
    }
}

/// Puts blanks behind the header, which are part of it.
fn lengthened(file: &[u8]) -> Vec<u8> {
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let length = (header + LONG).next_multiple_of(8);
    let mut longer = (length as u64).to_le_bytes().to_vec();
    longer.extend(&file[8..8 + header]);
    longer.resize(8 + length, b' ');
    longer.extend(&file[8 + header..]);
    longer
}

#[test]
fn what_is_no_safetensors_file_is_told_by_every_flag() {
    let place = Place::new();
    let write = |name: &str, content: &[u8]| std::fs::write(place.path(name), content).unwrap();
    // An archive and a pickle of other tools under another name, a header that is not there, nothing at all.
    write("zip.safetensors", b"PK\x03\x04\x00\x00\x08\x08\x00\x00 archive/data.pkl");
    write("pickle.safetensors", b"\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01K\x01s.");
    write("claims.safetensors", &[&(LONG as u64).to_le_bytes()[..], b"{\"x\":{}}"].concat());
    write("zeros.safetensors", &[0; 4096]);
    for file in ["zip.safetensors", "pickle.safetensors", "claims.safetensors", "zeros.safetensors"] {
        for (flag, prompt) in flags(file) {
            place.fails(1, &arguments(prompt, &flag), &[file, "damaged or is not safetensors", "hint: "]);
        }
    }
    for file in ["old.ckpt", "old.pt", "old.bin"] {
        write(file, b"\x80\x02}q\x00.");
        for (flag, prompt) in flags(file) {
            let said = format!("{file}` is a pickle");
            place.fails(1, &arguments(prompt, &flag), &[&said, "not read", "hint: `cargo xtask convert ", file]);
        }
    }
}

#[test]
fn a_long_header_is_read_and_many_tensors_are_named() {
    let place = Place::new();
    for (index, (flag, prompt)) in flags("long.safetensors").into_iter().enumerate() {
        sound(&place, index, "long.safetensors");
        let longer = lengthened(&std::fs::read(place.path("long.safetensors")).unwrap());
        std::fs::write(place.path("long.safetensors"), longer).unwrap();
        place.succeeds(&[&arguments(prompt, &flag)[..], &["--overwrite"]].concat());
    }
    // As long with tensors that nothing asks for.
    let place = Place::new();
    let mut file = std::io::BufWriter::new(std::fs::File::create(place.path("many.safetensors")).unwrap());
    let entry = |index: usize| {
        format!("\"lora_unet_{index:06}.lora_down.weight\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}")
    };
    let header = format!("{{{}}}", (0..LONG / 90).map(entry).collect::<Vec<_>>().join(","));
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    drop(file);
    let expected: [&[&str]; 5] = [
        &["is no checkpoint: LoRA"],
        &["`lora_unet_000000.lora_down.weight` stands alone"],
        &["holds no autoencoder: LoRA"],
        &["is no ControlNet: LoRA"],
        &["it is no embedding: LoRA"],
    ];
    for ((flag, prompt), expected) in flags("many.safetensors").into_iter().zip(expected) {
        place.fails(1, &arguments(prompt, &flag), expected);
    }
}

/// A file that was made and never filled is told where it is read, not by what it draws.
#[test]
fn nothing_but_zeros() {
    let place = Place::new();
    let part = |prefix: &'static str| {
        let drawn = checkpoint("sd1");
        let tensors: Vec<(&str, Tensor)> = drawn
            .shapes
            .iter()
            .map(|(name, shape)| {
                let is_zero = name.starts_with(prefix);
                let zeros = || Tensor::zeros(shape.as_slice(), (Kind::Float, Device::Cpu));
                (name.as_str(), if is_zero { zeros() } else { drawn.draw(name, shape) })
            })
            .collect();
        Tensor::write_safetensors(&tensors, place.path("zero.safetensors")).unwrap();
    };
    for (prefix, first) in [
        ("", "`embeddings.position_embedding.weight`"),
        ("model.diffusion_model.", "`conv_in.bias`"),
        ("first_stage_model.", "`decoder.conv_in.bias`"),
        ("cond_stage_model.", "`embeddings.position_embedding.weight`"),
    ] {
        part(prefix);
        let expected = ["cannot load", "zero.safetensors", first, "are 0", "hint: the file was made but never filled"];
        place.fails(1, &arguments("a man", "--model=zero.safetensors"), &expected);
    }
    for (flag, name) in [(2, "--vae=zero.safetensors".to_owned()), (3, flags("zero.safetensors")[3].0.clone())] {
        sound(&place, flag, "sound.safetensors");
        let whole = Tensor::read_safetensors(place.path("sound.safetensors")).unwrap();
        let zeros: Vec<(String, Tensor)> =
            whole.into_iter().map(|(name, tensor)| (name, tensor.zeros_like())).collect();
        Tensor::write_safetensors(&zeros, place.path("zero.safetensors")).unwrap();
        place.fails(1, &arguments("a man", &name), &["zero.safetensors", "are 0", "never filled"]);
    }
    assert!(!place.path("out").exists(), "nothing is left of what was not drawn");
}
