//! `idembed export`: an identity as other tools read it.

use std::path::PathBuf;

use clap::ValueEnum;
use idembed_tokens::{Embedding, Identity};
use serde_json::json;

use crate::output;

const EXAMPLES: &str = "\
Examples:
  idembed export me.identity.safetensors --to embedding --out me.safetensors

The embedding is one vector named `emb_params` for the text encoder's input, as
textual inversion has. Tools for Stable Diffusion load it as an embedding for
the model that the identity was learned for. What is lost is said.";

/// Flags of `idembed export`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// An identity file
    file: PathBuf,
    /// The form to write
    #[arg(long, value_name = "FORM")]
    to: Form,
    /// Where to write it
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The forms that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One textual-inversion vector
    Embedding,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    output::check_new_file(&args.out, args.force)?;
    output::check_inputs_stay([&args.out], &[&args.file])?;
    let identity = Identity::read(&args.file)?;
    let Form::Embedding = args.to;
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
