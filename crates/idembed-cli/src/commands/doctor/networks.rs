//! The networks that look at faces: which weights are there, and how to get the others.

use std::path::PathBuf;

use serde_json::{Value, json};

use idembed_studio::RECOGNISERS;
use idembed_studio::models::{self, DETECTOR, PARSER};

use crate::output;

/// One network's weights.
pub(super) struct Network {
    name: &'static str,
    purpose: &'static str,
    folder: Option<PathBuf>,
}

/// Looks for every network that some command can use.
pub(super) fn examine() -> Vec<Network> {
    let network = |name, file, purpose| Network { name, purpose, folder: models::weights(name, file) };
    let mut networks = vec![
        network(DETECTOR, "pnet.safetensors", "finds faces"),
        network(PARSER, "model.safetensors", "--mask parsing"),
    ];
    networks.extend(RECOGNISERS.map(|known| network(known.name, "model.safetensors", "recognises faces")));
    networks
}

/// How to get what most people want.
pub(super) fn advice(networks: &[Network]) -> Vec<String> {
    let has = |name: &str| networks.iter().any(|network| network.name == name && network.folder.is_some());
    let mut advice = Vec::new();
    if !has(DETECTOR) {
        advice.push("to find faces: `cargo xtask setup` fetches the detector (2 MB)".to_owned());
    }
    if !RECOGNISERS.iter().any(|known| has(known.name)) {
        let [first, ..] = RECOGNISERS;
        advice.push(format!(
            "to measure likeness: `cargo xtask download {}` fetches a face recognition network (100 MB)",
            first.name
        ));
    }
    advice
}

impl Network {
    /// A line of the report.
    pub(super) fn row(&self) -> (String, String) {
        let place = self.folder.as_ref().map_or_else(|| "not there".to_owned(), |folder| folder.display().to_string());
        (format!("network {}", self.name), format!("{}, {place}", self.purpose))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "name": self.name, "purpose": self.purpose, "folder": self.folder.as_deref().map(output::shown) })
    }
}
