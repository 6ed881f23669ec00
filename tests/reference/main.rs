//! Files of ours in the hands of diffusers, safetensors and TensorBoard, and faces in those of dlib. Needs their Python:
//! `cargo xtask test --python`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and says why it skips"
)]

mod faces;
mod staged_embeddings;
mod tensorboard;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::schedulers::SchedulerKind;
use idembed_diffusion::{Compute, StableDiffusion, TextToImage};
use idembed_integration_tests::{drawing, fixture_dir, identities, mini_model, python};
use idembed_tokens::{Embedding, Identities, Identity, Prompt, condition};
use image::RgbImage;
use serde_json::Value;
use tch::{Kind, Tensor};

/// `export --to embedding` writes what `load_textual_inversion` reads, and the vector means the same there.
#[test]
fn diffusers_draws_the_same_picture_from_an_exported_embedding() {
    let Some(python) = python() else { return };
    let (prompt, seed, steps) = ("a photo of <me> at the beach", 7, 8);
    let model = StableDiffusion::load(&mini_model(), Compute::CPU_F32).unwrap();
    let identity = a_staged_identity(&model);
    let folder = tempfile::tempdir().unwrap();
    let (file, theirs) = (folder.path().join("me.safetensors"), folder.path().join("theirs.png"));
    let embedding = Embedding::of(&identity).unwrap();
    embedding.write(&file).unwrap();

    let vector = &embedding.vectors[0];
    let one_vector = identities::identity(&model, "me", 1, &[[vector, vector]]);
    let ours = draw(&model, prompt, &one_vector, SchedulerKind::Ddim, seed, steps);
    let args: [OsString; 8] = [
        Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/load_embedding.py").into(),
        mini_model().into(),
        file.into(),
        "<me>".into(),
        prompt.into(),
        seed.to_string().into(),
        steps.to_string().into(),
        theirs.clone().into(),
    ];
    let output = Command::new(python).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let theirs = image::open(theirs).unwrap().to_rgb8().into_raw();
    let far = ours.as_raw().iter().zip(&theirs).filter(|(a, b)| a.abs_diff(**b) > 1).count();
    println!("parity: reference/embedding pixels_off={far} of {}", theirs.len());
    assert!(far * 1000 <= theirs.len(), "{far} of {} values differ by more than one grey level", theirs.len());
}

/// What an identity with rows for each layer, two words and changed weights is in a file is what safetensors reads there.
#[test]
fn safetensors_reads_identity_files() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in ["layers", "words", "weights"] {
        let identity = Identity::read(&fixture_dir("methods").join(format!("{name}.safetensors"))).unwrap();
        let file = folder.path().join(name);
        identity.write(&file).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/identity_file.py");
        let output = Command::new(&python).arg(script).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read: Value = serde_json::from_slice(&output.stdout).unwrap();

        let rows = &identity.encoders[0];
        let rows = [("k.0".to_owned(), &rows.k), ("v.0".to_owned(), &rows.v)];
        let changes = identity.unet.iter().flat_map(|unet| &unet.deltas);
        let changes = changes.map(|(name, delta)| (format!("unet.{name}"), delta));
        let expected: BTreeMap<String, &Tensor> = rows.into_iter().chain(changes).collect();
        let tensors = read["tensors"].as_object().unwrap();
        assert_eq!(tensors.len(), expected.len());
        for (name, tensor) in expected {
            let found = &tensors[&name];
            assert_eq!(found["dtype"], if name.starts_with("unet.") { "float16" } else { "float32" });
            assert_eq!(found["shape"], serde_json::json!(tensor.size()));
            let sum = tensor.sum(Kind::Double).double_value(&[]);
            assert!((found["sum"].as_f64().unwrap() - sum).abs() < 1e-9, "{name}");
        }
        let metadata: BTreeMap<_, _> = identity.metadata().into_iter().collect();
        assert_eq!(read["metadata"], serde_json::json!(metadata));
        let count = metadata["stages"].parse::<i64>().unwrap() * (identity.layers * identity.words) as i64;
        assert_eq!(identity.encoders[0].k.size(), [count, 16]);
    }
}

/// An identity of five stages near the class word, as learning would give it.
fn a_staged_identity(model: &StableDiffusion) -> Identity {
    let id = Tensor::from_slice(&model.text_encoders.first().tokenizer.token_ids("person").unwrap()).unsqueeze(0);
    let class = model.text_encoders.first().model.embed_tokens(&id).unwrap().reshape([1, -1]);
    let near = |draw: usize| {
        let noise =
            seeded_noise(3, &[5, model.text_encoders.first().model.hidden_size()], draw + 1).unwrap().remove(draw);
        &class + noise * 0.3 * class.std(false)
    };
    identities::identity(model, "me", 1, &[[&near(0), &near(1)]])
}

fn draw(
    model: &StableDiffusion,
    prompt: &str,
    identity: &Identity,
    scheduler: SchedulerKind,
    seed: u64,
    steps: usize,
) -> RgbImage {
    let prompt = Prompt::parse(prompt, model.text_encoders.tokenizers()).unwrap();
    let prompt = condition(model, &prompt, &Identities::named([("me", identity)]).unwrap(), false).unwrap();
    let (negative, seeds) = (model.condition("").unwrap(), [seed]);
    let usual = TextToImage::new(model, &prompt, &negative, &seeds);
    let request = TextToImage { guidance_scale: 4.0, steps, scheduler, width: 128, height: 128, ..usual };
    drawing::drawn(model, &request).remove(0)
}
