//! The card of a trained miniature: what it is, how it was made, what it can do, in the folder that is given out.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use idembed_weights::TensorFile;
use idembed_world::factors::{Object, Scene, Shirt, Style};
use idembed_world::identity::{NAMED, name};
use time::OffsetDateTime;
use time::macros::format_description;

use super::Report;
use crate::Result;
use crate::checkpoint::SIZE_LIMIT;

/// The networks: the stage, the weights in the folder, what it is.
const NETWORKS: [(&str, &[&str], &str); 6] = [
    ("vae", &["vae/diffusion_pytorch_model.safetensors"], "autoencoder, f = 8, 4 channels"),
    (
        "unet",
        &["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"],
        "noise predictor with its text encoder, epsilon, scaled-linear betas",
    ),
    (
        "controlnet",
        &["controlnet/diffusion_pytorch_model.safetensors"],
        "ControlNet: steers the noise predictor along edges (Canny)",
    ),
    ("clip", &["clip/model.safetensors"], "CLIP: text and image encoder"),
    ("recogniser", &["recogniser/model.safetensors"], "tells people apart"),
    ("judge", &["judge/model.safetensors"], "says what a picture shows"),
];

/// The card in Markdown, for the model in `model` whose checkpoints are in `out`.
///
/// # Errors
/// A checkpoint or a weight file cannot be read.
pub(super) fn card(report: &Report, out: &Path, model: &Path) -> Result<String> {
    let mut text = String::from(
        "# A miniature Stable Diffusion\n\n\
         Made by this project's own crates from random weights: the architecture of Stable Diffusion 1.x in diffusers' \
         layout (`StableDiffusionPipeline.from_pretrained` loads it), for 128 x 128 pictures, with a ControlNet for edges, \
         a CLIP, a face recogniser and a judge of pictures beside it. Nothing in it comes from a photo or from another \
         model.\n\n\
         ![Drawn by it](samples.png)\n\n\
         ## Networks\n\n| Network | fp16 file | Trained on |\n|---|---|---|\n",
    );
    for (stage, files, what) in NETWORKS {
        let sizes = files.iter().map(|file| fs::metadata(model.join(file)).map_or(0, |file| file.len()));
        let size = sizes.sum::<u64>() as f64 / 1e6;
        let _ = writeln!(text, "| `{stage}`: {what} | {size:.1} MB | {} |", training(out, stage)?);
    }
    let _ = write!(
        text,
        "\nThe data are drawn by `idembed-world` while the networks learn, from the seed of the run on; the people of the \
         portraits and of all figures are held out. `cargo xtask pretrain --stage NAME -- --samples N --batch N \
         --learning-rate F` with the numbers of the table makes a first training again, `--from MODEL` goes on from a network; \
         `cargo xtask pretrain --report -- --model models/mini` measures these. Measured on {}.\n\n## What it knows\n\n{}\n\n## Figures\n\n| Metric | Reached | Asked |\n|---|---|---|\n",
        today(),
        knows()
    );
    for figure in &report.figures {
        let verdict = figure.is_met().map_or("", |met| if met { "" } else { " (missed)" });
        let _ = writeln!(text, "| {} | {}{verdict} | {} |", figure.name, figure.text(), figure.target_text());
    }
    let _ = write!(
        text,
        "\nMeasured with: {}. In brackets: 95 % intervals of a mean over pictures. Likeness of people is \
         the cosine to the mean of several plain photos of them. `idembed.json` holds the settings that suit the model. `portraits/personN_a.png` and `_b.png` \
         show people it has never seen, with the true mask of each face and its box in `truth.json`.\n",
        report.settings.used
    );
    Ok(text)
}

/// What the checkpoint of a stage says about its training.
fn training(out: &Path, stage: &str) -> Result<String> {
    let path = out.join(format!("{stage}.ckpt"));
    if !path.is_file() {
        return Ok("(its checkpoint is not there)".to_owned());
    }
    let metadata = TensorFile::read(&path, "checkpoint", SIZE_LIMIT)?.metadata;
    let number = |key: &str| metadata.get(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let text = |key: &str| metadata.get(key).map_or("?", String::as_str);
    let batch = number("run.batch");
    Ok(format!(
        "{} samples, {batch} per step, learning rate {}, seed {}",
        number("step") * batch,
        text("run.learning_rate"),
        text("run.seed")
    ))
}

/// The words of the world, as prompts use them.
fn knows() -> String {
    format!(
        "- a man, a woman, a person, each also old; {NAMED} invented people by their names, such as {}, {}, {}; a cat, a bear, a car\n\
         - {}\n- holding {}\n- smiling, laughing with open mouth, looking sad, with eyes closed, wearing sunglasses, a hat or a cap, \
         with a beard, with blue, pink or green hair\n- faces in words: the colour and cut of hair, skin, eyes, brows, nose, mouth, \
         lips, jaw, ears, freckles, moles, moustaches, \"rather\" and \"very\" so\n- in {}\n- {}; close-up, or from afar; on the left, on the right; two people side by side",
        name(0),
        name(1),
        name(2),
        Scene::ALL.map(Scene::phrase).join(", "),
        Object::ALL.map(Object::phrase).join(", "),
        Shirt::ALL.map(Shirt::phrase).join(", "),
        Style::ALL.map(Style::phrase).join(", "),
    )
}

/// The date in UTC.
fn today() -> String {
    OffsetDateTime::now_utc().date().format(format_description!("[year]-[month]-[day]")).unwrap_or_default()
}
