//! `idembed doctor`: what is there, and how to get what is missing.

mod libtorch;
mod models;
mod networks;

use serde_json::json;

use crate::failure::Hinted;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  idembed doctor
  idembed doctor --json";

/// Flags of `idembed doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command. Fails if nothing can be drawn with what is there.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let libtorch = libtorch::examine();
    let models = models::examine();
    let usable = models.iter().any(|model| model.problem.is_none());
    let mut advice = libtorch.advice();
    advice.extend(models::advice(&models));
    let networks = networks::examine();
    advice.extend(networks::advice(&networks));

    if args.json {
        output::json(&json!({
            "ok": usable,
            "version": env!("CARGO_PKG_VERSION"),
            "libtorch": libtorch.to_json(),
            "models": models.iter().map(models::Found::to_json).collect::<Vec<_>>(),
            "networks": networks.iter().map(networks::Network::to_json).collect::<Vec<_>>(),
            "advice": advice,
        }))?;
    } else {
        let mut rows = vec![("idembed".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
        rows.extend(libtorch.rows());
        rows.extend(models.iter().map(models::Found::row));
        rows.extend(networks.iter().map(networks::Network::row));
        output::table(&rows)?;
        if !advice.is_empty() {
            output::line("")?;
        }
        advice.iter().try_for_each(|line| output::line(format_args!("- {line}")))?;
    }
    if usable {
        return Ok(());
    }
    Err(Hinted::new("no model can be used", "restore the folder models/ of the repository, or set IDEMBED_MODELS")
        .into())
}
