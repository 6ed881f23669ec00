//! Chores of the workspace: set-up, tests, the demo, parity with Python, benchmarks, evaluation.
//!
//! One file per command. This package never links libtorch, so that it compiles in seconds and can fetch libtorch;
//! it drives `cargo`, `python3` and the programs of the other packages.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test stops at the first surprise"))]

mod bench;
mod convert;
mod demo;
mod download;
mod eval;
mod importing;
mod manifest;
mod parity;
mod pretrain;
mod processors;
mod reference;
mod reference_faces;
mod report;
mod setup;
mod test;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::{atomic, disk, hint, lock, models, pickle, program, pypi, python, stamp, wheel, workspace};

/// Chores of the idembed workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetch libtorch into `.libtorch` and the face detector into `models/mtcnn`, once
    Setup(setup::Args),
    /// Fetch weight files that `models/manifest.json` names
    Download(download::Args),
    /// Turn the pickled weights of a model folder into safetensors, without unpickling them
    Convert(convert::Args),
    /// Learn the bundled portrait and draw it in new scenes
    Demo(demo::Args),
    /// Run all tests of the workspace
    Test(test::Args),
    /// Compare with diffusers on fresh random models
    Parity(parity::Args),
    /// Measure speed and memory side by side with diffusers and facenet-pytorch
    Bench(bench::Args),
    /// Compare methods over people, or measure how much pictures look like a photo
    Eval(Box<eval::Args>),
    /// Check `models/manifest.json` against the bundled files
    Manifest(manifest::Args),
    /// Train the networks of the miniature on the drawn world
    Pretrain(pretrain::Args),
    /// Draw pictures of the miniature world
    World(world::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Setup(args) => setup::run(&args),
        Command::Download(args) => download::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Parity(args) => parity::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Manifest(args) => manifest::run(&args),
        Command::Pretrain(args) => pretrain::run(&args),
        Command::World(args) => world::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", hint::render(&error));
            ExitCode::FAILURE
        }
    }
}
