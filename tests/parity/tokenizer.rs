//! Token ids against `transformers.CLIPTokenizer` (`fixtures/tokenizer/generate.py`).

use std::fs;
use std::path::Path;

use idembed_clip::Tokenizer;
use idembed_integration_tests::{Parity, fixture_dir, mini_model, read_json, read_safetensors};
use tempfile::TempDir;

#[test]
fn ids_of_hard_prompts() {
    let folder = fixture_dir("tokenizer");
    let cases = read_json(&folder.join("cases.json"));
    let prompts: Vec<&str> =
        cases["prompts"].as_array().unwrap().iter().map(|prompt| prompt.as_str().unwrap()).collect();
    let expected = read_safetensors(&folder.join("ids.safetensors"));
    let mut parity = Parity::new();
    for variant in cases["variants"].as_array().unwrap() {
        let variant = variant.as_str().unwrap();
        let files = tokenizer_files(&folder, variant);
        let tokenizer = Tokenizer::from_folder(files.path()).unwrap();
        let mut wrong = 0;
        for (index, prompt) in prompts.iter().enumerate() {
            let ours = tokenizer.encode(prompt).unwrap().ids;
            let theirs: Vec<i64> = expected[variant].get(index as i64).to_kind(tch::Kind::Int64).try_into().unwrap();
            if ours != theirs {
                println!("{variant}: {prompt:?}\n  ours   {ours:?}\n  theirs {theirs:?}");
                wrong += 1;
            }
        }
        parity.check_metric(&format!("tokenizer/{variant}"), "wrong_prompts", f64::from(wrong), 0.0);
    }
    parity.finish();
}

/// A copy of a variant's files; those that have no vocabulary of their own get that of the miniature.
fn tokenizer_files(folder: &Path, variant: &str) -> TempDir {
    let files = tempfile::tempdir().unwrap();
    let copy_all = |from: &Path| {
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, files.path().join(path.file_name().unwrap())).unwrap();
        }
    };
    let mini = mini_model().join("tokenizer");
    if variant == "mini" {
        copy_all(&mini);
        return files;
    }
    let own = folder.join(variant);
    if !own.join("vocab.json").is_file() && !own.join("tokenizer.json").is_file() {
        for name in ["vocab.json", "merges.txt"] {
            fs::copy(mini.join(name), files.path().join(name)).unwrap();
        }
    }
    copy_all(&own);
    files
}
