//! `--list`: every model of the manifest in a few lines.

use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use indicatif::BinaryBytes;
use xtask::models::{Manifest, Model};

/// Prints every model, in order.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn print(manifest: &Manifest, models: &Path) -> Result<()> {
    let texts = manifest.models.iter().map(|(name, model)| describe(name, model, models));
    match io::stdout().write_all(texts.collect::<Vec<_>>().join("\n").as_bytes()) {
        // A reader that went away is no error.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot print the list"),
        _ => Ok(()),
    }
}

fn describe(name: &str, model: &Model, models: &Path) -> String {
    let there = model.files.keys().filter(|path| models.join(name).join(path).exists()).count();
    let state = match (&model.source, there) {
        (None, _) => "bundled".to_owned(),
        (Some(_), 0) => "not there".to_owned(),
        (Some(_), count) if count == model.files.len() => "there".to_owned(),
        (Some(_), count) => format!("{count} of {} files there", model.files.len()),
    };
    let only = if model.research_only { "; for research only" } else { "" };
    let mut lines = vec![format!("{name}: {state}, {}", size(model)), model.purpose.clone()];
    lines.push(format!("licence: {}{only}", model.licence));
    lines.extend(model.restriction.iter().map(|why| format!("asks for --accept-licence: {why}")));
    lines.push(format!("origin: {}", model.origin));
    lines.extend(model.source.iter().map(|source| format!("source: {source}")));
    lines.extend(model.note.iter().map(|note| format!("note: {note}")));
    lines.join("\n  ") + "\n"
}

/// The size of what is known: configurations are small, so only weights count as unknown.
fn size(model: &Model) -> String {
    let weights = || model.files.iter().filter(|(path, _)| path.ends_with(".safetensors")).map(|(_, file)| file);
    let known = BinaryBytes(model.files.values().filter_map(|file| file.size).sum());
    match weights().filter(|file| file.size.is_some()).count() {
        0 => "size not known".to_owned(),
        count if count == weights().count() => known.to_string(),
        _ => format!("more than {known}"),
    }
}
