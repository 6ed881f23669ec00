//! `cargo xtask download`: the program `xtask-download`, compiled when it is first asked for.
//!
//! It is a package of its own because HTTP and TLS take longer to compile than all of xtask.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{program, workspace};

/// Arguments of `cargo xtask download`, as the program understands them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Names and options; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Runs the command: the program takes the place of this one, with its exit status.
///
/// # Errors
/// When the program does not compile or start.
pub(crate) fn run(args: &Args) -> Result<()> {
    let options = [workspace::WITHOUT_LIBTORCH, "--quiet", "--profile=xtask", "--package=xtask-download"];
    let program = program::build("xtask-download", &options)?;
    let error = Command::new(&program).args(&args.arguments).exec();
    Err(error).with_context(|| format!("cannot start `{}`", program.display()))
}
