//! `idembed export`: an identity as other tools read it.

mod staged;

use std::path::PathBuf;

use clap::ValueEnum;
use idembed_tokens::{Embedding, Identity};
use serde_json::json;

use crate::failure::wrong_usage;
use crate::output;
use staged::StagedArgs;

const EXAMPLES: &str = "\
Examples:
  idembed export me.identity.safetensors --to embedding --out me.safetensors
  idembed export me.identity.safetensors --to staged-embeddings --out embeddings
  idembed export me.identity.safetensors --to staged-embeddings --out embeddings \\
      --prompt \"a photo of <me> at the beach\" --steps 25 --schedule karras

The embedding is one vector named `emb_params` for the text encoder's input, as
textual inversion has. Tools for Stable Diffusion load it as an embedding for
the model that the identity was learned for. What is lost is said.

Staged embeddings are a folder with one such file for each stage, me-1 for the
noisiest, and how to let them take turns: me.txt has a prompt that AUTOMATIC1111
and interfaces of its kind read, and me-comfyui.json the nodes of a ComfyUI
workflow. Stages are ranges of the model's timesteps. ComfyUI's ranges are, too,
so that they hold for any sampler and any number of steps; prompts that switch
count steps: --steps and --schedule make the two agree.";

/// Flags of `idembed export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// An identity file
    file: PathBuf,
    /// The form to write
    #[arg(long, value_name = "FORM")]
    to: Form,
    /// Where to write it: a file, or, for staged embeddings, a folder
    #[arg(long, short, value_name = "PATH")]
    out: PathBuf,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    staged: StagedArgs,
}

/// The forms that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One textual-inversion vector
    Embedding,
    /// One for each stage, and how to switch from one to the next
    StagedEmbeddings,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args.to {
        Form::Embedding => embedding(args),
        Form::StagedEmbeddings => staged::run(args),
    }
}

fn embedding(args: &Args) -> anyhow::Result<()> {
    if let Some(flag) = args.staged.given() {
        return Err(wrong_usage(format!("{flag} is for --to staged-embeddings")));
    }
    output::check_new_file(&args.out, args.force)?;
    output::check_inputs_stay([&args.out], &[&args.file])?;
    let identity = Identity::read(&args.file)?;
    let embedding = Embedding::of(&identity)?;
    embedding.write(&args.out)?;
    tracing::info!("{}", embedding.loss());
    if args.json {
        return output::json(&json!({
            "file": output::shown(&args.out),
            "to": "embedding",
            "name": identity.name,
            "hidden": identity.hidden(),
            "vectors": embedding.rows,
            "spread": embedding.spread,
            "loss": embedding.loss(),
        }));
    }
    output::line(args.out.display())
}
