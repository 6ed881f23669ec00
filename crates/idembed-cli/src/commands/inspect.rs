//! `idembed inspect`: what a file is, and from what it was made.

mod weights;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use idembed_tokens::checkpoint::{self, CheckpointInfo};
use idembed_tokens::{FileError, Identity, TokensError};
use serde_json::{Map, Value, json};

use crate::failure::Hinted;
use crate::output;
use idembed_studio::picture_file;
use idembed_studio::sha256_of;

const EXAMPLES: &str = "\
Examples:
  idembed inspect me.identity.safetensors
  idembed inspect dreamshaper.safetensors
  idembed inspect out/0.png --json";

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Flags of `idembed inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// An identity file, the state of a learning run, a picture made by `idembed generate`, or weights of other tools: a
    /// model in one file, a LoRA, an embedding, an autoencoder, a ControlNet
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What there is to say about a file.
struct Facts {
    kind: String,
    fields: Vec<(String, Value)>,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.file.is_dir() {
        return Err(a_folder(&args.file));
    }
    let facts = match starts_as_png(&args.file)? {
        true => picture(&args.file)?,
        false => match weights::of_others(&args.file) {
            Some(facts) => facts,
            None => learned(&args.file)?,
        },
    };
    if args.json {
        let mut object = Map::new();
        object.insert("kind".to_owned(), json!(facts.kind));
        object.extend(facts.fields);
        return output::json(&Value::Object(object));
    }
    let mut rows = vec![("kind".to_owned(), facts.kind)];
    let shown = facts.fields.into_iter().map(|(name, value)| (name.replace('_', " "), shown(value)));
    rows.extend(shown.filter(|(_, value)| !value.is_empty()));
    output::table(&rows)
}

/// Folders are looked at file by file: names one that can be.
fn a_folder(folder: &Path) -> anyhow::Error {
    let is_weights = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "safetensors");
    let files =
        || Some(std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_weights));
    let hint = match files().and_then(Iterator::min) {
        Some(file) => format!("`idembed inspect {}` looks at its weights", file.display()),
        None => "give one of the files in it, such as unet/diffusion_pytorch_model.safetensors of a model".to_owned(),
    };
    Hinted::new(format!("`{}` is a folder", folder.display()), hint).into()
}

fn starts_as_png(path: &Path) -> anyhow::Result<bool> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut start = Vec::new();
        File::open(path)?.take(PNG_SIGNATURE.len() as u64).read_to_end(&mut start)?;
        Ok(start)
    };
    Ok(read().with_context(|| format!("cannot read `{}`", path.display()))? == PNG_SIGNATURE)
}

fn picture(path: &Path) -> anyhow::Result<Facts> {
    let text = picture_file::read(path)?;
    let mut fields = Vec::new();
    match (text.record, text.parameters) {
        (Some(record), _) => {
            if let Value::Object(mut object) = serde_json::to_value(record)? {
                for name in ["prompt", "negative", "identities", "model", "model_sha256"] {
                    fields.extend(object.remove_entry(name));
                }
                fields.extend(object);
            }
        }
        (None, Some(parameters)) => {
            fields.push(("size".to_owned(), json!([text.size.0, text.size.1])));
            fields.push(("parameters".to_owned(), json!(parameters)));
        }
        (None, None) => {
            let message = format!("`{}` does not say how it was made", path.display());
            return Err(Hinted::new(message, "pictures of `idembed generate` do; other programs may drop it").into());
        }
    }
    Ok(Facts { kind: "picture".to_owned(), fields })
}

/// An identity file or a checkpoint.
fn learned(path: &Path) -> anyhow::Result<Facts> {
    match Identity::read(path) {
        Ok(identity) => identity_facts(path, &identity),
        Err(TokensError::File { source: FileError::Format { got, .. }, .. }) if got == checkpoint::FORMAT => {
            let info = CheckpointInfo::read(path)?;
            let run = info.run.into_iter().map(|(name, value)| (name.replace(['-', ' '], "_"), json!(value)));
            let fields = std::iter::once(("steps_done".to_owned(), json!(info.step))).chain(run).collect();
            Ok(Facts { kind: "checkpoint".to_owned(), fields })
        }
        Err(error @ TokensError::File { source: FileError::Damaged(_), .. }) => {
            let message = format!("`{}` is neither an identity file nor a picture", path.display());
            Err(anyhow::Error::new(error)
                .context(Hinted::new(message, "the file may be cut short, or of another kind")))
        }
        Err(error) => Err(error.into()),
    }
}

fn identity_facts(path: &Path, identity: &Identity) -> anyhow::Result<Facts> {
    let mut fields: Vec<(String, Value)> = Vec::new();
    for (name, value) in identity.metadata() {
        let number = value.parse().ok().map(|number: serde_json::Number| Value::Number(number));
        // A name or a class may look like a number and is none.
        let is_number = matches!(
            name,
            "encoders" | "stages" | "layers" | "words" | "train_timesteps" | "hidden" | "lambda" | "steps" | "seed"
        );
        fields.push((name.to_owned(), number.filter(|_| is_number).unwrap_or(Value::String(value))));
    }
    fields.push(("vectors".to_owned(), json!(identity.vectors())));
    if let Some(unet) = &identity.unet {
        fields.push(("changed_weights".to_owned(), json!(unet.count())));
    }
    fields.push(("bytes".to_owned(), json!(std::fs::metadata(path)?.len())));
    fields.push(("sha256".to_owned(), json!(sha256_of(path)?)));
    Ok(Facts { kind: "identity".to_owned(), fields })
}

/// A value as people read it.
fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(items) if items.iter().all(Value::is_number) => {
            items.into_iter().map(shown).collect::<Vec<_>>().join(" x ")
        }
        Value::Array(items) => items.into_iter().map(shown).collect::<Vec<_>>().join("; "),
        Value::Object(object) => {
            let of_stages = |items: &[Value]| items.iter().map(Value::to_string).collect::<Vec<_>>().join("/");
            let field = |(name, value): (String, Value)| match value {
                Value::Array(items) if name == "strength" => format!("{name} {}", of_stages(&items)),
                value => format!("{name} {}", shown(value)),
            };
            object.into_iter().map(field).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}
