//! Files in the folder that the stages share.

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

use idembed_files::IoError;
use idembed_weights::{Parameters, TensorFile};
use image::{DynamicImage, ImageFormat};

use crate::checkpoint::SIZE_LIMIT;
use crate::tokenizer::Vocabulary;
use crate::{PretrainError, Result};

/// The file of the weights of a network, as `transformers` calls it.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The same as diffusers calls it.
pub(crate) const DIFFUSERS_WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// The vectors of the words in a text encoder.
const TOKEN_EMBEDDING: &str = "text_model.embeddings.token_embedding.weight";

/// Makes a folder with all above it.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| write_error(path, source))
}

/// Writes a file in a folder that may not be there yet, whole or not at all.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    path.parent().map_or(Ok(()), make_folder)?;
    idembed_files::write(path, content).map_err(|source| write_error(path, source))
}

/// Writes a picture as PNG.
pub(crate) fn write_png(path: &Path, picture: impl Into<DynamicImage>) -> Result<()> {
    write(path, &png(path, picture)?)
}

/// A picture as PNG; `path` is the file that it is for.
pub(crate) fn png(path: &Path, picture: impl Into<DynamicImage>) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let encoded = picture.into().write_to(&mut bytes, ImageFormat::Png);
    encoded.map_err(|error| write_error(path, io::Error::other(error)))?;
    Ok(bytes.into_inner())
}

/// Copies a file that an earlier stage left in its folder below `out` into the folder `to`.
pub(crate) fn take_over(out: &Path, stage: &'static str, name: &str, to: &Path) -> Result<()> {
    copy_of(stage, &out.join(stage).join(name), &to.join(name))
}

/// Copies a file that a stage left.
pub(crate) fn copy_of(stage: &'static str, from: &Path, to: &Path) -> Result<()> {
    let earlier = |source| PretrainError::Earlier { stage, path: from.to_path_buf(), source };
    write(to, &fs::read(from).map_err(earlier)?)
}

/// Gives parameters the values of a file of weights.
pub(crate) fn read_weights(parameters: &Parameters, path: &Path) -> Result<()> {
    Ok(parameters.set(&TensorFile::read(path, "weights", SIZE_LIMIT)?.tensors)?)
}

/// The same for a text encoder whose tokenizer may have been another one: a word keeps what was learned of it, and what
/// is new keeps the values it has. `from` and `to` are the folders of the tokenizers.
pub(crate) fn read_text_weights(parameters: &Parameters, path: &Path, from: &Path, to: &Path) -> Result<()> {
    let mut values = TensorFile::read(path, "weights", SIZE_LIMIT)?.tensors;
    let own = parameters.list().into_iter().find(|(name, _)| name == TOKEN_EMBEDDING);
    if let (Some(rows), Some((_, own))) = (values.get_mut(TOKEN_EMBEDDING), own) {
        *rows = Vocabulary::read(to)?.carry_over(rows, &Vocabulary::read(from)?, &own)?;
    }
    Ok(parameters.set(&values)?)
}

fn write_error(path: &Path, source: io::Error) -> PretrainError {
    IoError::writing(path)(source).into()
}
