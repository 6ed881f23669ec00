//! The program behind `cargo xtask download`: weight files from Hugging Face, GitHub and PyPI into `models`.
//!
//! What there is, and how to recognise it, stands in `models/manifest.json`. This package knows no network and no
//! tensor; it knows files, their sums, and the terms under which they are given out.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

mod client;
mod endpoints;
mod install;
mod list;
mod plan;
mod progress;
mod record;
mod transfer;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use xtask::models::{self, Manifest};

use crate::endpoints::Endpoints;
use crate::install::Installer;
use crate::plan::{HubCopy, Plan};

/// Fetch weight files that `models/manifest.json` names.
#[derive(Parser)]
#[command(
    name = "cargo xtask download",
    bin_name = "cargo xtask download",
    after_help = "\
Examples:
  cargo xtask download --list
  cargo xtask download dlib-face
  cargo xtask download stable-diffusion-1.5 --accept-licence
  cargo xtask download stable-diffusion-2.1-base --repo OWNER/NAME --accept-licence

Environment:
  HF_TOKEN                 who you are at Hugging Face, for models that ask for it
  HF_ENDPOINT              a mirror of https://huggingface.co
  HF_HOME, HF_HUB_CACHE    where files of Hugging Face may lie already
  IDEMBED_GITHUB_ENDPOINT  a mirror of https://github.com
  HTTPS_PROXY, NO_PROXY    as everywhere
  SSL_CERT_FILE            certificates to trust instead of the built-in ones"
)]
struct Args {
    /// Models to fetch, by their names in --list
    #[arg(value_name = "NAME", required_unless_present_any = ["list", "all"])]
    names: Vec<String>,
    /// Show every model: whether it is there, size, licence, purpose
    #[arg(long, conflicts_with_all = ["names", "all"])]
    list: bool,
    /// Fetch every model
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// You have read the terms of the models you ask for, and accept them
    #[arg(long)]
    accept_licence: bool,
    /// Fetch the one model you name from this copy at Hugging Face; what the manifest knows of its files still counts
    #[arg(long, value_name = "OWNER/NAME[@REVISION]", conflicts_with_all = ["list", "all"])]
    repo: Option<HubCopy>,
    /// Folder of `manifest.json` and of the models [default: `models` of this repository]
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", xtask::hint::render(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    let folder = args.models.unwrap_or_else(models::folder);
    let manifest = Manifest::read(&folder)?;
    if args.list {
        return list::print(&manifest, &folder);
    }
    let plan = Plan::new(&manifest, &folder, &args.names, args.repo.as_ref())?;
    plan.require_acceptance(args.accept_licence)?;
    let installer = Installer::new(&folder, Endpoints::from_env())?;
    plan.wanted.iter().try_for_each(|wanted| installer.install(wanted))
}
