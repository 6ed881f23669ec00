//! `idembed-eval`: learns people by several methods, draws them, and scores the pictures.
//!
//! `cargo xtask eval` starts it, and makes tables and a page of what it writes.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use idembed_eval::{EvalError, Run, run};

/// Learns people by several methods, draws them, and scores the pictures
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work through the units (a method and a person each) that are not finished yet
    Run(Box<Run>),
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("IDEMBED_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,idembed_eval=info"));
    let logging = tracing_subscriber::fmt().without_time().with_target(false).with_level(false);
    logging.with_writer(std::io::stderr).with_env_filter(filter).init();
    idembed_weights::announce_lost_pages();
    let Args { command: Command::Run(args) } = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("error: {}", EvalError::in_words(&error));
            ExitCode::FAILURE
        }
    }
}
