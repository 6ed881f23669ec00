//! What helps against an error of the libraries, in the words of this program: its flags and commands.

use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;

use idembed_clip::Error as ClipError;
use idembed_diffusion::Error as DiffusionError;
use idembed_face::PhotoError;
use idembed_face::select::SelectError;
use idembed_studio::models::{self, Part};
use idembed_studio::{Fits, RECOGNISERS, StudioError, TooLarge};
use idembed_tokens::{FileError, TokensError};

/// How to do without a found face.
const BY_HAND: &str =
    "frame the face by hand with `--crop X,Y,W,H` (of one photo), or learn from the whole picture with `--no-face`";

/// What helps against one error of a chain, where that is known.
pub(crate) fn of(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = cause.downcast_ref::<StudioError>() {
        return of_studio(error);
    }
    if let Some(error) = cause.downcast_ref::<TokensError>() {
        return of_tokens(error);
    }
    if let Some(error) = cause.downcast_ref::<DiffusionError>() {
        return of_diffusion(error);
    }
    if let Some(error) = cause.downcast_ref::<ClipError>() {
        return of_clip(error);
    }
    if let Some(error) = cause.downcast_ref::<PhotoError>() {
        return error.hint().map(str::to_owned);
    }
    if let Some(error) = cause.downcast_ref::<SelectError>() {
        return Some(of_select(error));
    }
    of_io(cause.downcast_ref::<std::io::Error>()?.kind())
}

/// For a disk that takes no more, whatever limits it.
fn of_io(kind: ErrorKind) -> Option<String> {
    let full = matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge);
    full.then(|| "make room on the disk, or write to another place with --out".to_owned())
}

fn of_studio(error: &StudioError) -> Option<String> {
    Some(match error {
        StudioError::Tokens(error) => return of_tokens(error),
        StudioError::Diffusion(error) => return of_diffusion(error),
        StudioError::Clip(error) => return of_clip(error),
        StudioError::Load { source, .. } => return of_diffusion(source),
        StudioError::Photo(error)
        | StudioError::Mask { source: error, .. }
        | StudioError::Source { source: error, .. } => {
            return error.hint().map(str::to_owned);
        }
        StudioError::Select(error) => of_select(error),
        StudioError::Caption { .. } => {
            "write {} where the person stands, as in `a photo of {} at the beach`; `learn --no-captions` leaves such files \
             alone"
                .to_owned()
        }
        StudioError::NothingMasked { white: true, .. } => {
            "paint black what should stay, or leave --inpaint out to draw from the whole picture".to_owned()
        }
        StudioError::NothingMasked { .. } => "paint white what should be drawn anew".to_owned(),
        StudioError::TooLarge(error) => what_fits(error),
        StudioError::NoModel { known, .. } if known.is_empty() => {
            format!("no model was found; set {} to a folder that holds model folders", models::VARIABLE)
        }
        StudioError::NoModel { known, .. } => {
            format!("the models found are: {}; others can be given by the path of their folder or file", known.join(", "))
        }
        StudioError::NoControlNet { .. } => {
            "give the path of its folder or file, or its name in the model's folder or in models/; the bundled model has \
             `controlnet`, for edges (`canny:`)"
                .to_owned()
        }
        StudioError::Missing { part: Part::Detector } => {
            "`cargo xtask setup` brings them (2 MB); --crop X,Y,W,H and --no-face of `learn` do without".to_owned()
        }
        StudioError::Missing { part: Part::Parser } => {
            "`cargo xtask download bisenet` brings them; --mask ellipse needs none".to_owned()
        }
        StudioError::Missing { part: Part::Clip } => "`cargo xtask download clip-vit-b-32` brings them".to_owned(),
        StudioError::Missing { .. } => {
            let [first, ..] = RECOGNISERS;
            let name = first.name;
            format!("`cargo xtask download {name}` brings one (100 MB); or name a file with --recogniser")
        }
        StudioError::NoRecogniser { wanted } => {
            let known = RECOGNISERS.map(|known| known.name).join(", ");
            format!("`cargo xtask download {wanted}` if it is one of {known}")
        }
        StudioError::NoFace { .. } => BY_HAND.to_owned(),
        StudioError::NoRoom => {
            "--no-face learns the photo as it is; one that shows hair and shoulders teaches more".to_owned()
        }
        StudioError::NoPortrait => "name the part with --crop X,Y,W,H".to_owned(),
        StudioError::MaskWithoutFace => "leave out --crop and --no-face, or give a picture as --mask".to_owned(),
        StudioError::Opaque => "leave out --mask alpha, or give a picture as --mask".to_owned(),
        StudioError::NothingParsed => "use --mask ellipse, or give a picture as --mask".to_owned(),
        _ => return None,
    })
}

fn of_tokens(error: &TokensError) -> Option<String> {
    Some(match error {
        TokensError::Diffusion(error) => return of_diffusion(error),
        TokensError::UnknownIdentity { name, .. } => {
            format!("give it with --identity {name}=FILE, or an embedding of another tool with --embedding {name}=FILE")
        }
        TokensError::GivenTwice { .. } => "each --identity needs a NAME of its own".to_owned(),
        TokensError::PlaceholderCutOff { .. } => "shorten the prompt, or name the identity earlier".to_owned(),
        TokensError::PromptWeight { .. } => {
            "--plain-prompt draws brackets as text, and so does a backslash before each".to_owned()
        }
        TokensError::OtherBase { .. } | TokensError::OtherTraining { .. } => {
            "give the model it was learned for with --model, or use --force to try it anyway".to_owned()
        }
        TokensError::OtherUNet { .. } => "give the model it was learned for with --model, or --force".to_owned(),
        TokensError::TwoChangeWeights { .. } => {
            "draw them one at a time, or learn one of them with another --method".to_owned()
        }
        TokensError::EmbeddingStrength { name } => format!("a weight in the prompt does the like: (<{name}>:0.7)"),
        TokensError::EmbeddingWidth { .. } => "give a model that it is for with --model".to_owned(),
        TokensError::WideIdentity { .. } => "it cannot stand in a prompt; one of fewer vectors can".to_owned(),
        TokensError::OtherHidden { .. } | TokensError::OtherLayers { .. } => {
            "give the model it was learned for with --model".to_owned()
        }
        TokensError::OtherRun { .. } => {
            "resume with the settings, model and photos of that run; --steps alone may grow".to_owned()
        }
        TokensError::StepsDecay { got, .. } => {
            format!("give --steps {got}, and go on from the identity with --start FILE")
        }
        TokensError::NotFinite { checkpoint, .. } => {
            let kept = checkpoint.as_ref().map(|path| format!("; the state before it is in `{}`", path.display()));
            format!("try a lower --lr, or --dtype f32{}", kept.unwrap_or_default())
        }
        TokensError::ModelChanged { checkpoint: Some(path), .. } => {
            let path = path.display();
            format!("put the file back as it was; the state before that step is in `{path}`, to go on from")
        }
        TokensError::ModelChanged { source, .. } => return of_diffusion(source),
        TokensError::Stopped { checkpoint: Some(path), .. } => {
            format!("the same command with --resume {} goes on from here", path.display())
        }
        TokensError::File { source: FileError::Format { .. } | FileError::MissingKey("format"), .. } => {
            "it may have been made by another program (its embeddings are given with --embedding NAME=FILE), or by a later \
             version of this one"
                .to_owned()
        }
        TokensError::File { source: FileError::Damaged(_), .. } => "the file may be cut short".to_owned(),
        _ => return None,
    })
}

fn of_diffusion(error: &DiffusionError) -> Option<String> {
    match error {
        DiffusionError::Clip(error) => of_clip(error),
        DiffusionError::Pickled { folder, .. } => Some(conversion(folder)),
        DiffusionError::PickledFile { path } => Some(conversion(path)),
        DiffusionError::NotFinite { .. } | DiffusionError::BlankPicture { .. } => {
            Some("numbers too large for f16 do this (--dtype f32 or bf16 holds them); so do damaged weights".to_owned())
        }
        other => other.hint().map(str::to_owned),
    }
}

fn of_clip(error: &ClipError) -> Option<String> {
    match error {
        ClipError::SkippedLayers { most, .. } => Some(format!("give --clip-skip N with N from 1 to {}", most + 1)),
        other => other.hint().map(str::to_owned),
    }
}

fn of_select(error: &SelectError) -> String {
    match error {
        SelectError::NoFace => BY_HAND.to_owned(),
        SelectError::OutOfRange { found: 1, .. } => "leave `--face` out, or give `--face 1`".to_owned(),
        SelectError::OutOfRange { found, .. } => {
            format!("give `--face N` with N from 1 to {found}; `idembed face PHOTO` shows them")
        }
    }
}

fn what_fits(error: &TooLarge) -> String {
    match error.fits {
        Fits::Batch(batch) => format!("--batch {batch} would fit"),
        Fits::Size(size) if error.forecast.batch > 1 => format!("--size {size} would fit with --batch 1"),
        Fits::Size(size) => format!("--size {size} would fit"),
        Fits::Nothing => "the weights alone are too large; --dtype bf16 halves them".to_owned(),
    }
}

/// What makes pickled weights usable: the conversion of a file, or of the whole model that the network in a folder belongs to.
fn conversion(pickled: &Path) -> String {
    let model = pickled.parent().filter(|parent| parent.join(models::INDEX).is_file()).unwrap_or(pickled);
    format!("`cargo xtask convert {}` makes safetensors of them, and runs nothing that is in them", model.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_of_another_number_is_counted() {
        assert!(of_select(&SelectError::OutOfRange { wanted: 3, found: 2 }).contains("from 1 to 2"));
        assert!(of_select(&SelectError::OutOfRange { wanted: 2, found: 1 }).contains("`--face 1`"));
        let hint = of(&StudioError::NoFace { tried: Vec::new() }).unwrap_or_default();
        assert!(hint.contains("`--crop X,Y,W,H`") && hint.contains("`--no-face`"), "{hint}");
    }
}
