//! `cargo xtask convert`: pickled weights of a model folder, or an embedding, as safetensors, which is what `idembed` reads.
//!
//! The pickles are never unpickled, and they stay where they are: the new files lie beside them.

mod plan;

use std::path::PathBuf;

use anyhow::Result;
use indicatif::BinaryBytes;

use crate::{atomic, disk, pickle};
use plan::{Plan, Step, Work};

const EXAMPLES: &str = "\
Examples:
  cargo xtask convert models/my-model
  cargo xtask convert models/my-model/unet
  cargo xtask convert weights.pt
  cargo xtask convert embedding.pt

Of a model in diffusers layout, the weights of text_encoder, unet and vae are
converted, in shards or not; of any other folder, the weights that lie in it.
What a pickle asks to be run is not run. A file that is there already is kept, so
the same command goes on after a stop.";

/// Options of `cargo xtask convert`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A model folder in diffusers layout, a folder of weights, or one pickled file
    path: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When there is nothing to convert, a pickle cannot be read, or the disk is full; what was converted before stays.
pub(crate) fn run(args: &Args) -> Result<()> {
    let plan = Plan::of(&args.path)?;
    disk::require(&plan.folder, plan.bytes(), "the conversion")?;
    for step in &plan.steps {
        step.run().map_err(|error| disk::explain(error, &plan.folder))?;
    }
    println!("{}", plan.summary());
    Ok(())
}

impl Step {
    /// Writes the new file, whole or not at all, and says so.
    fn run(&self) -> Result<()> {
        let target = self.target.display();
        match &self.work {
            Work::Done => println!("`{target}` is there already"),
            Work::Weights { pickled, size } => {
                atomic::write(&self.target, &pickle::to_safetensors(pickled)?)?;
                println!("`{target}` from `{}` ({})", pickled.display(), BinaryBytes(*size));
            }
            Work::Index { content } => {
                atomic::write(&self.target, content.as_bytes())?;
                println!("`{target}`, the index of the shards");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use safetensors::SafeTensors;
    use tempfile::TempDir;

    use super::*;
    use crate::workspace;

    const UNET: &str = "unet/diffusion_pytorch_model";

    /// A copy of the tiny pickled model.
    fn model() -> TempDir {
        let place = tempfile::tempdir().unwrap();
        for part in ["text_encoder", "unet", "vae"] {
            fs::create_dir(place.path().join(part)).unwrap();
            for entry in fs::read_dir(workspace::root().join("xtask/convert/model").join(part)).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, place.path().join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
        fs::write(place.path().join("model_index.json"), "{}").unwrap();
        place
    }

    fn convert(path: &Path) -> Result<()> {
        run(&Args { path: path.to_path_buf() })
    }

    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let (name, path) = entry.map(|it| (it.file_name().into_string().unwrap(), it.path())).unwrap();
            if path.is_dir() {
                found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
            } else {
                found.insert(name, fs::read(path).unwrap());
            }
        }
        found
    }

    /// The converted files hold exactly the tensors of the safetensors that the pickles were made from.
    fn assert_same(converted: &[&[u8]], original: &str) {
        let original = fs::read(workspace::root().join("tests/fixtures/pipelines/sd2v").join(original)).unwrap();
        let original = SafeTensors::deserialize(&original).unwrap();
        let converted: Vec<_> = converted.iter().map(|bytes| SafeTensors::deserialize(bytes).unwrap()).collect();
        assert_eq!(converted.iter().map(SafeTensors::len).sum::<usize>(), original.len());
        for (name, view) in original.iter() {
            let found = converted.iter().find_map(|file| file.tensor(name).ok());
            assert_eq!(found.unwrap(), view, "{name}");
        }
    }

    #[test]
    fn a_model_is_converted_beside_its_pickles() {
        let place = model();
        let before = files(place.path());
        convert(place.path()).unwrap();
        let after = files(place.path());
        assert!(before.iter().all(|(name, bytes)| after[name] == *bytes), "the originals stay");
        let new: Vec<_> = after.keys().filter(|name| !before.contains_key(*name)).map(String::as_str).collect();
        let shards = [1, 2].map(|shard| format!("{UNET}-0000{shard}-of-00002.safetensors"));
        let index = format!("{UNET}.safetensors.index.json");
        let (text, vae) = ("text_encoder/model.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors");
        assert_eq!(new, [text, &shards[0], &shards[1], &index, vae]);
        assert_same(&[&after[text]], text);
        assert_same(&[&after[vae]], "vae/diffusion_pytorch_model.safetensors");
        assert_same(&[&after[&shards[0]], &after[&shards[1]]], "unet/diffusion_pytorch_model.safetensors");
        let index: serde_json::Value = serde_json::from_slice(&after[&index]).unwrap();
        for (tensor, shard) in index["weight_map"].as_object().unwrap() {
            let shard = SafeTensors::deserialize(&after[&format!("unet/{}", shard.as_str().unwrap())]).unwrap();
            assert!(shard.tensor(tensor).is_ok(), "{tensor}");
        }
        assert!(index["metadata"]["total_size"].is_u64(), "what else the index says is kept");
    }

    #[test]
    fn a_second_run_writes_nothing_and_a_stopped_one_is_finished() {
        let place = model();
        convert(place.path()).unwrap();
        let done = files(place.path());
        let changed = |name: &str| fs::metadata(place.path().join(name)).unwrap().modified().unwrap();
        let shard = format!("{UNET}-00001-of-00002.safetensors");
        let first = changed(&shard);
        let index = format!("{UNET}.safetensors.index.json");
        fs::remove_file(place.path().join(&index)).unwrap();
        convert(place.path()).unwrap();
        assert_eq!(files(place.path()), done);
        assert_eq!(changed(&shard), first);
    }

    #[test]
    fn a_damaged_pickle_is_named_and_leaves_what_was_done() {
        let place = model();
        let damaged = place.path().join(format!("{UNET}-00002-of-00002.bin"));
        let whole = fs::read(&damaged).unwrap();
        fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
        let error = convert(place.path()).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot convert `{}`", damaged.display()));
        let after = files(place.path());
        assert!(after.contains_key(&format!("{UNET}-00001-of-00002.safetensors")));
        assert!(!after.keys().any(|name| name.contains("00002-of-00002.safetensors") || name.contains(".tmp")));
        assert!(!after.contains_key(&format!("{UNET}.safetensors.index.json")), "the index comes last");
    }

    #[test]
    fn one_file_is_converted_too_and_what_it_asks_for_is_not_run() {
        let place = tempfile::tempdir().unwrap();
        let hostile = place.path().join("hostile.pt");
        fs::copy(workspace::root().join("xtask/convert/hostile.pt"), &hostile).unwrap();
        convert(&hostile).unwrap();
        assert_eq!(files(place.path()).keys().collect::<Vec<_>>(), ["hostile.pt", "hostile.safetensors"]);
        assert!(!Path::new("pickle-ran").exists());
    }
}
