//! The commands, one file each: flags, then a plan that is checked, then one library call, then a report.

mod attention;
mod compare;
mod demo;
mod doctor;
mod export;
mod face;
mod generate;
mod identity;
mod inspect;
mod learn;

use clap::{Parser, Subcommand};

/// One photo of a face in, a small identity file out; then any prompt with that face in it.
#[derive(Debug, Parser)]
#[command(name = "idembed", version, max_term_width = 110, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Say nothing but warnings and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(long, short, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  idembed demo                        see it all at work, in a few minutes
  idembed learn photo.jpg --name me   learn a face from one photo
  idembed generate \"a photo of <me> at the beach\" -i me=me.identity.safetensors
  idembed attention \"a photo of <me> at the beach\" -i me=me.identity.safetensors
  idembed doctor                      what is there, and what is missing

`idembed help COMMAND` explains a command. Learn only faces of people who agreed.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Learn an identity from one photo, or several
    Learn(Box<learn::Args>),
    /// Draw pictures from a prompt, with identities or without
    Generate(generate::Args),
    /// Show where in a picture each word of the prompt acts
    Attention(attention::Args),
    /// Find the faces in photos: boxes, landmarks, mask, portrait
    Face(face::Args),
    /// Tell how much the faces in pictures are like the one in a photo
    Compare(compare::Args),
    /// Tell what an identity file, the state of a run, a picture made here or a weight file is, and from what
    Inspect(inspect::Args),
    /// Make an identity of others: mix them, or take one from another
    Identity(identity::Args),
    /// Write an identity in a form that other tools read
    Export(export::Args),
    /// Tell what is there (libtorch, devices, models) and how to get what is missing
    Doctor(doctor::Args),
    /// Learn the bundled portrait and draw it in new scenes
    Demo(demo::Args),
}

/// Runs a command.
///
/// # Errors
/// Whatever keeps it from its result, to be rendered by [`crate::failure::render`].
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Learn(args) => learn::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Attention(args) => attention::run(&args),
        Command::Face(args) => face::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Identity(args) => identity::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Demo(args) => demo::run(&args),
    }
}
