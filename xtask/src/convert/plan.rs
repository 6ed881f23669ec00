//! Which pickles there are, and what becomes of each: looked up before anything is converted.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use xtask::hint::Hinted;

/// The networks of a model in diffusers layout that `idembed` reads.
const PARTS: [&str; 3] = ["text_encoder", "unet", "vae"];
/// How the names of weight files begin, and how they do as safetensors; transformers gives two names.
const STEMS: [(&str, &str); 3] =
    [("diffusion_pytorch_model", "diffusion_pytorch_model"), ("pytorch_model", "model"), ("model", "model")];
/// How the names of pickles end.
const PICKLES: [&str; 4] = ["bin", "pt", "pth", "ckpt"];
/// What stands between stem and variant in the name of an index of shards.
const INDEX: &str = ".bin.index";

/// What to convert.
pub(super) struct Plan {
    /// Where.
    pub(super) folder: PathBuf,
    /// In this order: an index comes after its shards.
    pub(super) steps: Vec<Step>,
}

/// One file to write.
pub(super) struct Step {
    /// The file.
    pub(super) target: PathBuf,
    /// How it is made.
    pub(super) work: Work,
}

/// How a file is made.
pub(super) enum Work {
    /// It is there.
    Done,
    /// From a pickle of so many bytes.
    Weights { pickled: PathBuf, size: u64 },
    /// The index of shards, which names the new files.
    Index { content: String },
}

impl Plan {
    /// Looks at a model folder, a folder of weights or a pickle.
    ///
    /// # Errors
    /// When there is no such file or folder, no pickle in it, or an index names shards that are not there.
    pub(super) fn of(path: &Path) -> Result<Plan> {
        let found = fs::metadata(path).with_context(|| format!("cannot open `{}`", path.display()))?;
        if found.is_file() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            ensure!(path.extension() != Some(OsStr::new("safetensors")), "`{}` is no pickle", path.display());
            let known = path.file_name().and_then(OsStr::to_str).and_then(as_safetensors);
            let target = known.map_or_else(|| path.with_extension("safetensors"), |name| path.with_file_name(name));
            let steps = vec![Step::weights(path, target)?];
            return Ok(Plan { folder: folder.to_path_buf(), steps });
        }
        let is_model = path.join("model_index.json").is_file();
        let parts: Vec<PathBuf> = match is_model {
            true => PARTS.iter().map(|part| path.join(part)).filter(|part| part.is_dir()).collect(),
            false => vec![path.to_path_buf()],
        };
        let mut steps = Vec::new();
        for part in &parts {
            steps.extend(steps_in(part)?);
        }
        if steps.is_empty() {
            let message = format!("there are no pickled weights in `{}`", path.display());
            let hint = "give the folder that holds model_index.json, a folder with *.bin files, or one file";
            return Err(Hinted::new(message, hint).into());
        }
        Ok(Plan { folder: path.to_path_buf(), steps })
    }

    /// About how much will be written.
    pub(super) fn bytes(&self) -> u64 {
        let sizes = self.steps.iter().map(|step| match step.work {
            Work::Weights { size, .. } => size,
            Work::Done | Work::Index { .. } => 0,
        });
        sizes.sum()
    }

    /// What was done, once all is done.
    pub(super) fn summary(&self) -> String {
        let pickles = self.steps.iter().filter(|step| matches!(step.work, Work::Weights { .. })).count();
        match pickles {
            0 => "nothing was left to convert".to_owned(),
            1 => "1 file converted; it is kept".to_owned(),
            many => format!("{many} files converted; they are kept"),
        }
    }
}

impl Step {
    fn weights(pickled: &Path, target: PathBuf) -> Result<Step> {
        let size = fs::metadata(pickled).with_context(|| format!("cannot open `{}`", pickled.display()))?.len();
        let work = if target.exists() { Work::Done } else { Work::Weights { pickled: pickled.to_path_buf(), size } };
        Ok(Step { target, work })
    }
}

/// The weights in a folder, and their indices.
fn steps_in(folder: &Path) -> Result<Vec<Step>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        // A name that is not Unicode is none of those that are looked for.
        names.extend(entry?.file_name().into_string().ok().filter(|name| folder.join(name).is_file()));
    }
    names.sort();
    let mut steps = Vec::new();
    for name in &names {
        if let Some(target) = as_safetensors(name) {
            steps.push(Step::weights(&folder.join(name), folder.join(target))?);
        }
    }
    for name in &names {
        if let Some(target) = index_as_safetensors(name) {
            let content = index(&folder.join(name), &names)?;
            let target = folder.join(target);
            let work = if target.exists() { Work::Done } else { Work::Index { content } };
            steps.push(Step { target, work });
        }
    }
    Ok(steps)
}

/// The name that a pickled weight file gets; none for what is no weights of a network.
fn as_safetensors(name: &str) -> Option<String> {
    let (rest, end) = name.rsplit_once('.')?;
    if !PICKLES.contains(&end) {
        return None;
    }
    Some(format!("{}.safetensors", with_new_stem(rest)?))
}

/// The name that an index of pickled shards gets: diffusers writes `X.bin.index.fp16.json`, transformers
/// `X.bin.index.json`.
fn index_as_safetensors(name: &str) -> Option<String> {
    let (stem, rest) = name.split_once(INDEX)?;
    rest.ends_with(".json").then_some(())?;
    Some(format!("{}.safetensors.index{rest}", with_new_stem(stem)?))
}

/// `pytorch_model-00001-of-00002` becomes `model-00001-of-00002`: what follows the stem is a variant or a shard.
fn with_new_stem(name: &str) -> Option<String> {
    let (old, new) = STEMS
        .iter()
        .find(|(old, _)| name.strip_prefix(old).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-'])))?;
    Some(format!("{new}{}", name.strip_prefix(old)?))
}

/// The index with the new names of the shards, which are among `names`.
fn index(path: &Path, names: &[String]) -> Result<String> {
    let read = || -> Result<String> {
        let mut index: Value = serde_json::from_slice(&fs::read(path)?)?;
        let map = index.get_mut("weight_map").and_then(Value::as_object_mut).context("it has no `weight_map`")?;
        for shard in map.values_mut() {
            let name = shard.as_str().context("a shard is no text")?;
            ensure!(names.iter().any(|there| there == name), "the shard `{name}` is not beside it");
            *shard = as_safetensors(name).with_context(|| format!("the shard `{name}` is no pickle"))?.into();
        }
        Ok(serde_json::to_string_pretty(&index)? + "\n")
    };
    read().with_context(|| format!("`{}` cannot be used", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_diffusers_and_transformers_give() {
        let cases = [
            ("diffusion_pytorch_model.bin", Some("diffusion_pytorch_model.safetensors")),
            ("diffusion_pytorch_model.fp16.bin", Some("diffusion_pytorch_model.fp16.safetensors")),
            (
                "diffusion_pytorch_model.fp16-00001-of-00002.bin",
                Some("diffusion_pytorch_model.fp16-00001-of-00002.safetensors"),
            ),
            ("pytorch_model.bin", Some("model.safetensors")),
            ("pytorch_model-00002-of-00003.bin", Some("model-00002-of-00003.safetensors")),
            ("model.pt", Some("model.safetensors")),
            ("model.fp16.ckpt", Some("model.fp16.safetensors")),
            ("training_args.bin", None),
            ("modelcard.bin", None),
            ("pytorch_model.bin.index.json", None),
            ("model.safetensors", None),
            ("bin", None),
        ];
        for (name, expected) in cases {
            assert_eq!(as_safetensors(name).as_deref(), expected, "{name}");
        }
        let cases = [
            ("pytorch_model.bin.index.json", Some("model.safetensors.index.json")),
            (
                "diffusion_pytorch_model.bin.index.fp16.json",
                Some("diffusion_pytorch_model.safetensors.index.fp16.json"),
            ),
            ("diffusion_pytorch_model.safetensors.index.json", None),
            ("optimizer.bin.index.json", None),
        ];
        for (name, expected) in cases {
            assert_eq!(index_as_safetensors(name).as_deref(), expected, "{name}");
        }
    }

    fn refused(files: &[(&str, &str)]) -> String {
        let place = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, content)| fs::write(place.path().join(name), content).unwrap());
        format!("{:#}", Plan::of(place.path()).err().unwrap()).replace(&place.path().display().to_string(), "FOLDER")
    }

    #[test]
    fn what_cannot_be_converted_is_said_before_anything_is() {
        assert_eq!(refused(&[("README.md", ""), ("scheduler.bin", "")]), "there are no pickled weights in `FOLDER`");
        let index = "pytorch_model.bin.index.json";
        let unusable = format!("`FOLDER/{index}` cannot be used: ");
        let cases = [
            (r#"{"weight_map": {"a": "model-1.bin"}}"#, "the shard `model-1.bin` is not beside it"),
            (r#"{"weight_map": {"a": "../model.bin"}}"#, "the shard `../model.bin` is not beside it"),
            (r#"{"weight_map": {"a": "here.txt"}}"#, "the shard `here.txt` is no pickle"),
            (r#"{"weight_map": {"a": 3}}"#, "a shard is no text"),
            (r#"{"weights": {}}"#, "it has no `weight_map`"),
            ("{", "EOF"),
        ];
        for (content, expected) in cases {
            let message = refused(&[(index, content), ("here.txt", "")]);
            assert!(message.starts_with(&unusable) && message.contains(expected), "{message}");
        }
        let place = tempfile::tempdir().unwrap();
        assert!(Plan::of(&place.path().join("nothing")).is_err());
        for (name, expected) in [("pytorch_model.bin", "model.safetensors"), ("of mine.pth", "of mine.safetensors")] {
            fs::write(place.path().join(name), "").unwrap();
            assert_eq!(Plan::of(&place.path().join(name)).unwrap().steps[0].target, place.path().join(expected));
        }
        let ready = place.path().join("model.safetensors");
        fs::write(&ready, "").unwrap();
        assert!(Plan::of(&ready).is_err());
    }
}
