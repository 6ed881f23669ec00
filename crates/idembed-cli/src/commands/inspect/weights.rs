//! Weights of other tools: what kind they are and what they are for.

use std::collections::BTreeMap;
use std::path::Path;

use idembed_layouts::{Checkpoint, Family, Kind};
use idembed_weights::Listing;
use serde_json::{Value, json};

use super::Facts;

/// Before what this tool writes into its own files' metadata, which are told by [`super::learned`].
const OWN_FORMAT: &str = "idembed-";

/// What a file of weights of another tool is; nothing of a file that is none, of this tool's own, or of no kind that is known.
pub(super) fn of_others(path: &Path) -> Option<Facts> {
    let listing = Listing::read(path).ok()?;
    if listing.metadata.get("format").is_some_and(|format| format.starts_with(OWN_FORMAT)) {
        return None;
    }
    let kind = Some(Kind::of(&listing)).filter(|kind| *kind != Kind::Unknown)?;
    let mut fields = Vec::new();
    let mut add = |name: &str, value: Value| fields.push((name.to_owned(), value));
    match &kind {
        Kind::Checkpoint(checkpoint) => checkpoint_fields(checkpoint, &mut add),
        Kind::Vae { original, .. } | Kind::ControlNet { original } => {
            add("layout", json!(if *original { "original" } else { "diffusers" }));
        }
        Kind::Lora { form, family } => {
            add("form", json!(form.to_string()));
            add("made_for", json!(family.map(|family| family.to_string())));
        }
        Kind::Embedding { vectors, widths } => {
            add("vectors", json!(vectors));
            add("width", json!(widths));
            add("made_for", json!(Family::of_text_width(widths.iter().sum()).map(|family| family.to_string())));
        }
        _ => {}
    }
    // What model sites and trainers say, such as `modelspec.title`; longer texts are statistics of the training.
    const LONGEST: usize = 200;
    let said = listing.metadata.iter().filter(|(_, text)| text.len() <= LONGEST);
    let said: BTreeMap<&String, &String> = said.collect();
    if !said.is_empty() {
        add("metadata", json!(said));
    }
    add("tensors", json!(listing.tensors.len()));
    add("numbers", json!(numbers(&listing)));
    Some(Facts { kind: kind.to_string(), fields })
}

fn checkpoint_fields(checkpoint: &Checkpoint, add: &mut impl FnMut(&str, Value)) {
    let Checkpoint { family, conditioner, has_vae, has_average, input_channels, prediction, zero_terminal_snr } =
        checkpoint;
    add("family", json!(family.to_string()));
    add("text_encoder", json!(conditioner.is_some()));
    add("autoencoder", json!(has_vae));
    add("averaged_copy", json!(has_average));
    add("input_channels", json!(input_channels));
    add("prediction", json!(prediction.as_deref().unwrap_or("not said")));
    add("zero_terminal_snr", json!(zero_terminal_snr));
}

/// How many numbers of each format there are.
fn numbers(listing: &Listing) -> BTreeMap<&str, i64> {
    let mut numbers = BTreeMap::new();
    for listed in listing.tensors.values() {
        *numbers.entry(listed.dtype.as_str()).or_default() += listed.shape.iter().product::<i64>();
    }
    numbers
}
