//! What the stages write in the hands of diffusers and transformers. Needs their Python: `cargo xtask test --python`.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use idembed_clip::ClipScorer;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::controlnet::ControlNet;
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::unet::UNetInput;
use idembed_diffusion::vae::Vae;
use idembed_integration_tests::{Parity, fixture_dir, mini_model, photo, python, read_json, read_safetensors};
use idembed_pretrain::clip::ClipTask;
use idembed_pretrain::vae::VaeTask;
use idembed_pretrain::{Choices, Recipe, RunOptions, Task, tokenizer, train};
use idembed_weights::Compute;
use tch::{Kind, Tensor};

/// The stage `tokenizer` writes what `CLIPTokenizer.from_pretrained` reads, and both give the same ids for any text.
#[test]
fn transformers_reads_the_learned_tokenizer() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (texts, ids) = (folder.path().join("texts.json"), folder.path().join("ids.json"));
    let tokenizer = tokenizer::ensure(&folder.path().join("tokenizer")).unwrap();
    // Hard texts, and what it is made for.
    let mut prompts = read_json(&fixture_dir("tokenizer").join("cases.json"))["prompts"].take();
    let prompts = prompts.as_array_mut().unwrap();
    for caption in ["A photo of the face of nuzol puger", "a pop art picture of a man, in an orange shirt, in space"] {
        prompts.push(caption.into());
    }
    fs::write(&texts, serde_json::to_vec(prompts).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/encode.py");
    let output = Command::new(python).arg(script).args([&folder.path().join("tokenizer"), &texts, &ids]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let theirs = read_json(&ids);
    for (prompt, theirs) in prompts.iter().zip(theirs.as_array().unwrap()) {
        let ours = tokenizer.encode(prompt.as_str().unwrap()).unwrap().ids;
        assert_eq!(serde_json::json!(ours), *theirs, "{prompt}");
    }
}

/// The stage `vae` of the training writes what `AutoencoderKL.from_pretrained` reads, and it does the same there.
#[test]
fn diffusers_loads_a_trained_autoencoder() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let recipe = VaeTask::recipe(&Choices { samples: Some(6), batch: Some(2), ..Choices::default() });
    train_in(folder.path(), &VaeTask::new(recipe).unwrap(), &recipe);

    let (vae, given, theirs) =
        ["vae", "given.safetensors", "theirs.safetensors"].map(|name| folder.path().join(name)).into();
    let images = seeded_noise(5, &[2, 3, 40, 24], 1).unwrap().remove(0).clamp(-1.0, 1.0);
    Tensor::write_safetensors(&[("images", &images)], &given).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/reconstruct.py");
    let output = Command::new(python).args([&script, &vae, &given, &theirs]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let ours = Vae::load(&vae, Compute::CPU_F32).unwrap();
    let _guard = tch::no_grad_guard();
    let latents = ours.encode(&images).unwrap().mean;
    let theirs = read_safetensors(&theirs);
    let spread = latents.std(false).double_value(&[]);
    assert!((0.2..5.0).contains(&spread), "the scaling factor makes the latents about as large as noise: {spread}");
    let mut parity = Parity::new();
    parity.check_tensors("reference/vae.latents", &latents, &theirs["latents"], 1e-4);
    parity.check_tensors("reference/vae.decoded", &ours.decode(&latents).unwrap(), &theirs["decoded"], 1e-4);
    parity.finish();
}

/// The stage `clip` writes what `CLIPModel` and `CLIPProcessor` read, and the scores of prompts are the same there.
#[test]
fn transformers_scores_prompts_as_we_do() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let recipe = ClipTask::recipe(&Choices { samples: Some(8), batch: Some(4), ..Choices::default() });
    train_in(folder.path(), &ClipTask::new(recipe, folder.path()).unwrap(), &recipe);

    let clip = folder.path().join("clip");
    let texts = ["a photo of a person", "an oil painting of nuzol puger at the beach, smiling", "Ünknown wörds 😀", ""];
    // As large as the network's pictures, larger, and not square.
    let whole = image::open(photo()).unwrap().to_rgb8();
    let parts = [(128, 128), (512, 512), (300, 171)];
    let files = [0, 1, 2].map(|index| folder.path().join(format!("{index}.png")));
    for ((width, height), file) in parts.into_iter().zip(&files) {
        image::imageops::crop_imm(&whole, 0, 0, width, height).to_image().save(file).unwrap();
    }
    let (given, theirs) = (folder.path().join("texts.json"), folder.path().join("theirs.safetensors"));
    fs::write(&given, serde_json::to_vec(&texts).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/score.py");
    let output = Command::new(python).args([&script, &clip, &given, &theirs]).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let pictures = files.map(|file| image::open(file).unwrap().to_rgb8());
    let ours = ClipScorer::load(&clip, Compute::CPU_F32).unwrap();
    let _guard = tch::no_grad_guard();
    let ours = ours.score(&pictures, &texts).unwrap();
    let theirs = &read_safetensors(&theirs)["cosines"];
    let mut parity = Parity::new();
    parity.check_tensors("reference/clip.cosines", &ours.get(0), &theirs.get(0), 1e-4);
    // Resized ones may differ by a grey level here and there.
    parity.check_tensors("reference/clip.cosines_resized", &ours, theirs, 1e-3);
    parity.finish();
}

/// The bundled ControlNet is one for `ControlNetModel.from_pretrained`, and adds the same there.
#[test]
fn diffusers_loads_the_bundled_control_net() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let net = mini_model().join("controlnet");
    let [given, theirs] = ["given.safetensors", "theirs.safetensors"].map(|name| folder.path().join(name));
    let noise = |seed, shape: &[i64]| seeded_noise(seed, shape, 1).unwrap().remove(0);
    let (latents, states) = (noise(1, &[2, 4, 16, 24]), noise(2, &[2, 77, 128]));
    let picture = noise(3, &[1, 3, 128, 192]).gt(1.0).to_kind(Kind::Float);
    let timesteps = Tensor::from_slice(&[40.0f32, 900.0]);
    let tensors = [("latents", &latents), ("states", &states), ("picture", &picture), ("timesteps", &timesteps)];
    Tensor::write_safetensors(&tensors, &given).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/steer.py");
    let output = Command::new(python).args([&script, &net, &given, &theirs]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let ours = ControlNet::load(&net, Compute::CPU_F32).unwrap();
    let _guard = tch::no_grad_guard();
    let context = ours.project(&TextStates::shared(states)).unwrap();
    let hint = ours.hint(&picture).unwrap();
    let residuals = ours.forward(UNetInput::new(&latents, &timesteps, &context), &hint, 1.0).unwrap();
    let theirs = read_safetensors(&theirs);
    let mut parity = Parity::new();
    for (index, skip) in residuals.skips.iter().enumerate() {
        parity.check_tensors(
            &format!("reference/controlnet.skip_{index}"),
            skip,
            &theirs[&format!("skip_{index}")],
            1e-4,
        );
    }
    parity.check_tensors("reference/controlnet.middle", &residuals.middle, &theirs["middle"], 1e-4);
    assert_eq!(theirs.len(), residuals.skips.len() + 1);
    parity.finish();
}

/// Trains a stage to its end.
fn train_in<S: Task>(folder: &Path, stage: &S, recipe: &Recipe) {
    let options = RunOptions {
        out: folder.to_path_buf(),
        from: None,
        compute: Compute::CPU_F32,
        threads: 1,
        time: None,
        line_every: Duration::MAX,
        save_every: Duration::MAX,
        sheet_every: Duration::MAX,
    };
    train(stage, recipe, &options, &AtomicBool::new(false), &mut |_| ()).unwrap();
}
