//! The program `idembed`: from flags to a checked plan, one library call, and a report.
//!
//! Nothing is computed here. Each command is a file in [`commands`]; results go to the standard output, everything else
//! to the standard error.
#![allow(clippy::print_stderr, reason = "a program talks")]

mod args;
mod commands;
mod failure;
mod file_args;
mod hints;
mod interrupt;
mod jobs;
mod logging;
mod output;
mod photos;
mod progress;
mod report;
mod sheet;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use commands::Cli;

fn main() -> ExitCode {
    failure::announce_panics();
    idembed_weights::keep_freed_memory();
    idembed_weights::announce_lost_pages();
    let cli = Cli::parse();
    logging::start(cli.quiet, cli.verbose);
    interrupt::install();
    match catch_unwind(AssertUnwindSafe(|| commands::run(cli.command))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            eprint!("{}", failure::render(&error));
            ExitCode::from(failure::exit_status(&error))
        }
        // What happened was printed where it happened.
        Err(_) => ExitCode::from(failure::FAILED),
    }
}
