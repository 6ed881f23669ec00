//! `idembed identity`: identity files made of others.

use std::path::PathBuf;
use std::str::FromStr;

use idembed_diffusion::{Compute, StableDiffusion};
use idembed_studio::sha256_of;
use idembed_tokens::{Identity, Weighted, blend, class_vectors, subtract};
use serde_json::json;

use crate::args::{ModelArgs, identity_name};
use crate::failure::Hinted;
use crate::file_args::split_numbers;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  idembed identity blend ann.safetensors:0.7 bob.safetensors:0.3 --name both
  idembed identity subtract ann.safetensors bob.safetensors:0.5 --name ann-2

The result is an identity like any other; `idembed inspect` shows what it was
made of. To draw with one identity more or less strongly, no file is needed:
  idembed generate \"a photo of <me>\" -i me=me.identity.safetensors:0.7";

const BLEND_EXAMPLES: &str = "\
Examples:
  idembed identity blend ann.safetensors bob.safetensors --name both
  idembed identity blend ann.safetensors:0.7 bob.safetensors:0.3 --name both
  idembed identity blend ann.safetensors:1.5 bob.safetensors:-0.5 --name ann-2

Vectors, and weights that are changed, are added in shares: each weight divided
by the sum of all, which must be above 0. A weight below 0 goes away from that
identity, here half as far again as from Bob to Ann. All must be of one model
and of as many words. Of 2 and 3 stages come 6, which loses nothing. The class
word is that of the first.";

const SUBTRACT_EXAMPLES: &str = "\
Examples:
  idembed identity subtract ann.safetensors bob.safetensors --name ann-2
  idembed identity subtract ann.safetensors bob.safetensors:0.5 --name ann-2

What Bob adds to his class word is taken from Ann, times a weight above 0 and at
most 2. The model says where the class word lies: give the one that both were
learned for.";

/// Flags of `idembed identity`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    making: Making,
}

/// What to make of identities.
#[derive(Debug, clap::Subcommand)]
enum Making {
    /// Mix identities by weight
    Blend(BlendArgs),
    /// Take what one identity adds to its class word from another one
    Subtract(Box<SubtractArgs>),
}

/// Flags of `idembed identity blend`.
#[derive(Debug, clap::Args)]
#[command(after_help = BLEND_EXAMPLES)]
struct BlendArgs {
    /// Identity files, two or more, each with its weight [default weight: 1]
    #[arg(required = true, num_args = 1.., value_name = "FILE[:WEIGHT]")]
    files: Vec<WeightedFile>,
    #[command(flatten)]
    result: ResultArgs,
}

/// Flags of `idembed identity subtract`.
#[derive(Debug, clap::Args)]
#[command(after_help = SUBTRACT_EXAMPLES)]
struct SubtractArgs {
    /// The identity file to take from
    from: PathBuf,
    /// The identity file to take away, and how much of it [default weight: 1]
    #[arg(value_name = "FILE[:WEIGHT]")]
    what: WeightedFile,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    result: ResultArgs,
}

/// What to call the result, and where to put it.
#[derive(Debug, clap::Args)]
struct ResultArgs {
    /// What to call the new identity: letters, digits, - and _
    #[arg(long, value_name = "NAME", value_parser = identity_name)]
    name: String,
    /// Where to write it [default: NAME.identity.safetensors]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A file with its weight, written `FILE` or `FILE:WEIGHT`.
#[derive(Debug, Clone, PartialEq)]
struct WeightedFile {
    path: PathBuf,
    weight: f64,
}

impl FromStr for WeightedFile {
    type Err = String;

    fn from_str(text: &str) -> Result<WeightedFile, String> {
        let (path, number) = split_numbers(text);
        if path.is_empty() {
            return Err("expected FILE or FILE:WEIGHT, such as ann.safetensors:0.7".to_owned());
        }
        let weight = match number {
            Some(number) => number.parse().map_err(|_| format!("`{number}` is more than one weight"))?,
            None => 1.0,
        };
        Ok(WeightedFile { path: PathBuf::from(path), weight })
    }
}

/// An identity file that was read.
struct Read {
    identity: Identity,
    sha256: String,
    weight: f64,
}

impl Read {
    fn new(file: &WeightedFile) -> anyhow::Result<Read> {
        Ok(Read { identity: Identity::read(&file.path)?, sha256: sha256_of(&file.path)?, weight: file.weight })
    }

    fn weighted(&self) -> Weighted<'_> {
        Weighted { identity: &self.identity, sha256: self.sha256.clone(), weight: self.weight }
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.making {
        Making::Blend(args) => {
            let out = args.result.plan(&args.files)?;
            let read: Vec<Read> = args.files.iter().map(Read::new).collect::<anyhow::Result<_>>()?;
            let weighted: Vec<Weighted<'_>> = read.iter().map(Read::weighted).collect();
            args.result.write(&blend(&args.result.name, &weighted)?, out)
        }
        Making::Subtract(args) => {
            let from = WeightedFile { path: args.from.clone(), weight: 1.0 };
            let files = [from, args.what.clone()];
            let out = args.result.plan(&files)?;
            let [from, what] = [Read::new(&files[0])?, Read::new(&files[1])?];
            let class = class_of(&what.identity, &args.model)?;
            args.result.write(&subtract(&args.result.name, &from.weighted(), &what.weighted(), &class)?, out)
        }
    }
}

/// The vectors of an identity's class word in the model that it was learned for.
fn class_of(identity: &Identity, model: &ModelArgs) -> anyhow::Result<Vec<tch::Tensor>> {
    let model = model.find()?;
    let loaded = StableDiffusion::load_files(model.files.clone(), Compute::CPU_F32)?;
    let own = identity.encoders.iter().map(|rows| rows.sha256.as_str());
    if !own.eq(loaded.text_encoders.fingerprints()?.iter().map(String::as_str)) {
        let message = format!("`{}` was not learned for the text encoder of `{}`", identity.name, model.name);
        return Err(Hinted::new(message, "give the model it was learned for with --model").into());
    }
    Ok(class_vectors(&loaded, &identity.class)?)
}

impl ResultArgs {
    /// Where to write; nothing that is read, and nothing that is there already.
    fn plan(&self, files: &[WeightedFile]) -> anyhow::Result<PathBuf> {
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.identity.safetensors", self.name)));
        output::check_new_file(&out, self.force)?;
        let read: Vec<&PathBuf> = files.iter().map(|file| &file.path).collect();
        output::check_inputs_stay([&out], &read)?;
        Ok(out)
    }

    fn write(&self, identity: &Identity, out: PathBuf) -> anyhow::Result<()> {
        identity.write(&out)?;
        let shares = identity.blended_from.iter().map(|part| format!("{} of `{}`", part.share, part.name));
        tracing::info!("`{}` is {}", identity.name, shares.collect::<Vec<_>>().join(" and "));
        if !self.json {
            return output::line(out.display());
        }
        let parts = identity
            .blended_from
            .iter()
            .map(|part| json!({ "name": part.name, "sha256": part.sha256, "share": part.share }));
        output::json(&json!({
            "identity": output::shown(&out),
            "name": identity.name,
            "class": identity.class,
            "method": identity.method,
            "stages": identity.stages(),
            "blended_from": parts.collect::<Vec<_>>(),
        }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_one_number_behind_the_last_colon() {
        let file = |path: &str, weight| WeightedFile { path: PathBuf::from(path), weight };
        assert_eq!("ann.safetensors".parse(), Ok(file("ann.safetensors", 1.0)));
        assert_eq!("a:b/ann:-0.5".parse(), Ok(file("a:b/ann", -0.5)));
        assert_eq!("ann:bob".parse(), Ok(file("ann:bob", 1.0)));
        assert_eq!("ann:1/2".parse::<WeightedFile>(), Err("`1/2` is more than one weight".to_owned()));
        assert!(["", ":1"].iter().all(|text| text.parse::<WeightedFile>().is_err()));
        assert!("ann:nan".parse::<WeightedFile>().unwrap().weight.is_nan());
    }
}
