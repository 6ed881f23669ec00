//! The tokenizer of the miniature: byte-pair encoding in CLIP's own form, so that any text can be written in it, in which
//! each word of a caption and of a name is one token.
//!
//! It is learned in two seconds, and always the same one.

mod corpus;
mod merges;
mod vocabulary;

use std::path::Path;

use idembed_clip::Tokenizer;
use idembed_files::IoError;
use serde_json::{Value, json};

use crate::Result;
use crate::outputs::make_folder;
pub(crate) use vocabulary::Vocabulary;

/// Tokens of a prompt with its frame, as in Stable Diffusion.
pub const MAX_LENGTH: usize = 77;

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
/// The files, of which the last one is written last: a folder that has it is complete.
pub(crate) const FILES: [&str; 4] = ["merges.txt", "tokenizer_config.json", "special_tokens_map.json", "vocab.json"];

/// The tokenizer of a folder; made there if it is not there yet.
///
/// # Errors
/// Its files do not fit together, or cannot be written.
pub fn ensure(folder: &Path) -> Result<Tokenizer> {
    let [.., last] = FILES;
    if !folder.join(last).is_file() {
        make(folder)?;
    }
    Ok(Tokenizer::from_folder(folder)?)
}

/// Learns the tokenizer and writes it as `transformers.CLIPTokenizer` reads it: `vocab.json`, `merges.txt`,
/// `tokenizer_config.json` and `special_tokens_map.json`.
///
/// # Errors
/// A file cannot be written; then the older one is untouched.
pub fn make(folder: &Path) -> Result<()> {
    let merges = merges::learn(&corpus::words()?);
    let tokens = merges::tokens(&merges).into_iter().chain([START, END].map(str::to_owned));
    // In the order of their ids, which a JSON object of `serde_json` would not keep.
    let entries: Vec<String> =
        tokens.enumerate().map(|(id, token)| format!("  {}: {id}", Value::from(token))).collect();
    let vocabulary = format!("{{\n{}\n}}\n", entries.join(",\n"));
    // Readers skip the first line.
    let merges = merges.iter().map(|(left, right)| format!("{left} {right}\n"));
    let merges: String = std::iter::once("#version: 0.2\n".to_owned()).chain(merges).collect();
    let special = json!({ "bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END });
    let config = json!({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_LENGTH, "do_lower_case": true, "errors": "replace",
        "add_prefix_space": false, "bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END,
    });

    make_folder(folder)?;
    for (name, text) in FILES.into_iter().zip([merges, format!("{config:#}\n"), format!("{special:#}\n"), vocabulary]) {
        let path = folder.join(name);
        idembed_files::write(&path, text.as_bytes()).map_err(IoError::writing(&path))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::fs;

    use std::collections::BTreeSet;

    use idembed_clip::WordSplitter;
    use idembed_world::identity::{NAMED, name};
    use idembed_world::{Captions, Sample};

    use super::*;
    use crate::seeds;

    fn made() -> (tempfile::TempDir, Tokenizer) {
        let folder = tempfile::tempdir().unwrap();
        let tokenizer = ensure(&folder.path().join("tokenizer")).unwrap();
        (folder, tokenizer)
    }

    #[test]
    fn captions_and_names_are_one_token_a_word_and_captions_fit() {
        let (_folder, tokenizer) = made();
        let splitter = WordSplitter::new().unwrap();
        let (mut seen, mut longest) = (BTreeSet::new(), 0);
        // Not those it was learned from.
        for index in 0..10_000 {
            let Captions { main, complete, brief } = Captions::of(&Sample::training(seeds::training(1, index)));
            for caption in [main].iter().chain(&complete).chain(&brief) {
                let words = splitter.split(caption).unwrap();
                longest = longest.max(words.len());
                seen.extend(words);
            }
        }
        seen.extend((0..NAMED).flat_map(|index| splitter.split(&name(index)).unwrap()));
        for word in &seen {
            assert_eq!(tokenizer.token_ids(word).unwrap().len(), 1, "{word}");
        }
        assert!(seen.len() > 450 && longest <= MAX_LENGTH - 2, "{} words, captions of up to {longest}", seen.len());
        assert!((1500..=2500).contains(&tokenizer.vocab_size()), "{}", tokenizer.vocab_size());
    }

    #[test]
    fn any_text_can_be_written_and_the_frame_comes_last_in_the_vocabulary() {
        let (_folder, tokenizer) = made();
        let last = tokenizer.vocab_size() as i64 - 1;
        assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (last - 1, last, last));
        assert_eq!(tokenizer.max_length(), MAX_LENGTH);
        for text in ["xq", "é😀", "12 中", "\u{0}\u{ff}"] {
            let ids = tokenizer.token_ids(text).unwrap();
            assert!(!ids.is_empty() && ids.iter().all(|&id| id < last), "{text}: {ids:?}");
        }
    }

    #[test]
    fn it_is_made_once_and_always_the_same() {
        let (first, _) = made();
        let (second, _) = made();
        let read = |folder: &tempfile::TempDir, name| fs::read(folder.path().join("tokenizer").join(name)).unwrap();
        for name in FILES {
            assert_eq!(read(&first, name), read(&second, name), "{name}");
        }
        // What is there already is read, not replaced.
        let merges = first.path().join("tokenizer/merges.txt");
        fs::write(&merges, "#version: 0.2\n").unwrap();
        let tokenizer = ensure(&first.path().join("tokenizer")).unwrap();
        assert_eq!(tokenizer.token_ids("photo").unwrap().len(), 5);
        fs::remove_file(first.path().join("tokenizer/vocab.json")).unwrap();
        assert_eq!(ensure(&first.path().join("tokenizer")).unwrap().token_ids("photo").unwrap().len(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(ensure(&file.join("tokenizer")), Err(crate::PretrainError::Io(IoError::Write { .. }))));
    }
}
