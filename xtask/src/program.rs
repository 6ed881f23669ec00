//! Building a program of the workspace, to be called directly afterwards.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

/// Compiles the program `name` with these options of `cargo build` and tells where it lies.
///
/// # Errors
/// When it does not compile.
pub fn build(name: &str, options: &[&str]) -> Result<PathBuf> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--bin", name, "--message-format=json-render-diagnostics"]).args(options);
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "the program `{name}` does not compile");
    executable(name, &String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("cargo does not tell where the program `{name}` is"))
}

/// The program of this name in the messages of cargo.
fn executable(name: &str, messages: &str) -> Option<PathBuf> {
    messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_wanted = message["target"]["name"] == name;
        message["executable"].as_str().filter(|_| is_wanted).map(PathBuf::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"tch\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"bench\"},\"executable\":\"/t/debug/bench\"}\n";
        assert_eq!(executable("bench", messages), Some(PathBuf::from("/t/debug/bench")));
        assert_eq!(executable("idembed", messages), None);
        assert_eq!(executable("bench", "{\"reason\":\"build-finished\",\"success\":true}"), None);
    }
}
