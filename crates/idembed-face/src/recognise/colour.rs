//! Which colour comes first in a network that says so in the file beside its weights.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use idembed_files::IoError;
use serde::Deserialize;

use crate::{FaceError, FaceResult};

/// The order of the channels that a network was trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum ColourOrder {
    Rgb,
    Bgr,
}

/// `config.json` of CVLFace.
#[derive(Deserialize)]
struct ConfigJson {
    conf: Option<ConfJson>,
}

#[derive(Deserialize)]
struct ConfJson {
    color_space: Option<ColourOrder>,
}

/// What `config.json` in the folder of `weights` says, if there is such a file and it says anything.
pub(super) fn stated_beside(weights: &Path) -> FaceResult<Option<ColourOrder>> {
    let path = weights.with_file_name("config.json");
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(idembed_weights::Error::from(IoError::Read { path, source }).into()),
        Ok(bytes) => bytes,
    };
    let config: ConfigJson = serde_json::from_slice(&bytes).map_err(|source| FaceError::Config { path, source })?;
    Ok(config.conf.and_then(|conf| conf.color_space))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stated_is_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("model.safetensors");
        assert_eq!(stated_beside(&weights).unwrap(), None);
        for (text, expected) in [
            (r#"{"conf": {"color_space": "BGR", "name": "ir101"}}"#, Some(ColourOrder::Bgr)),
            (r#"{"conf": {"color_space": "RGB"}, "torch_dtype": "float32"}"#, Some(ColourOrder::Rgb)),
            (r#"{"conf": {}}"#, None),
            (r#"{"model_type": "other"}"#, None),
        ] {
            fs::write(folder.path().join("config.json"), text).unwrap();
            assert_eq!(stated_beside(&weights).unwrap(), expected, "{text}");
        }
        for text in ["", "{", r#"{"conf": {"color_space": "GREY"}}"#] {
            fs::write(folder.path().join("config.json"), text).unwrap();
            let error = stated_beside(&weights).unwrap_err();
            assert!(error.to_string().contains("config.json"), "{text}: {error}");
        }
    }
}
