//! Why a photo was refused, and what can go wrong with the networks that look at it.

use std::path::PathBuf;

use crate::format::READ;
use crate::photo::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, MIN_SIDE};

/// What can be wrong with a file given as a photo.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PhotoError {
    /// The file is not there or the system refused to read it.
    #[error("cannot read the photo `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A folder was given.
    #[error("`{path}` is a folder, not a photo")]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file holds no byte.
    #[error("`{path}` is empty")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The content is of no known picture format.
    #[error("`{path}` is not a picture")]
    NotAPicture {
        /// The file.
        path: PathBuf,
    },
    /// A picture, but in a format that is not read here.
    #[error("`{path}` is of the format {format}; {READ}")]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// The file itself is too big to be a photo.
    #[error("`{path}` has {bytes} bytes; a photo may have at most {MAX_FILE_BYTES}")]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// More pixels than will be decoded.
    #[error(
        "`{path}` is {width} x {height} pixels; a photo may have at most {MAX_SIDE} on a side and {} million in all",
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// Too few pixels to show a face.
    #[error("`{path}` is {width} x {height} pixels; a photo needs at least {MIN_SIDE} on each side")]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// The file ends before the picture does.
    #[error("`{path}` is cut short: the file ends before the picture does")]
    Truncated {
        /// The file.
        path: PathBuf,
    },
    /// The decoder gave up.
    #[error("cannot decode the photo `{path}`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: DecoderError,
    },
    /// A file of a known format, but of a kind that the decoder does not know.
    #[error("`{path}` is a kind of picture that is not read here")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: DecoderError,
    },
}

/// What a decoder says when it gives up.
pub type DecoderError = Box<dyn std::error::Error + Send + Sync>;

impl PhotoError {
    /// A remedy to print below the error, where one is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            PhotoError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Some("check the path; a path with spaces needs quotes")
            }
            PhotoError::Folder { .. } => Some("name one photo inside the folder"),
            PhotoError::Empty { .. } | PhotoError::Truncated { .. } => {
                Some("the copy or download may have been interrupted; fetch the file again")
            }
            PhotoError::OtherFormat { format: "AVIF", .. } => Some(
                "`magick photo.avif photo.png` (ImageMagick) or `avifdec photo.avif photo.png` (libavif) converts it",
            ),
            PhotoError::OtherFormat { format: "HEIF", .. } => {
                Some("`heif-convert photo.heif photo.jpg` (libheif) converts it")
            }
            PhotoError::NotAPicture { .. } | PhotoError::OtherFormat { .. } => {
                Some("save the photo as JPEG or PNG; the content counts, not the file's name")
            }
            PhotoError::Unsupported { .. } => {
                Some("`magick PHOTO photo.png` (ImageMagick) converts it; a phone can share it as JPEG")
            }
            PhotoError::FileTooLarge { .. } | PhotoError::TooLarge { .. } => {
                Some("scale it down, or cut out the part with the face")
            }
            PhotoError::TooSmall { .. } => Some("take a photo where the face is at least a few hundred pixels wide"),
            PhotoError::Damaged { .. } => Some("open it in an image editor and save it again as PNG"),
            PhotoError::Read { .. } => None,
        }
    }
}

/// What can go wrong when a network looks at a picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaceError {
    /// A configuration beside the weights does not parse.
    #[error("`{path}` is not a valid configuration")]
    Config {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// The weights cannot be used.
    #[error(transparent)]
    Weights(#[from] idembed_weights::Error),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// An option of the detector is out of its range.
    #[error("the detector's option `{name}` is {value}; expected {expected}")]
    DetectOption {
        /// Its name.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// The tensors' names are those of no network that is known here.
    #[error("`{path}` holds no network for {task} that is known here; known are: {known}")]
    UnknownNetwork {
        /// The weight file.
        path: PathBuf,
        /// What the network was wanted for.
        task: &'static str,
        /// The known networks, each with a tensor that tells it.
        known: &'static str,
    },
    /// A predictor of landmarks that asks for what is not there.
    #[error("the predictor of landmarks in `{path}` asks for pixels or landmarks that are not there")]
    Landmarks {
        /// The weight file.
        path: PathBuf,
    },
    /// A picture that was not cut out for the network.
    #[error("a picture of {width} x {height} pixels was given to a network for {side} x {side}")]
    CropSize {
        /// The picture's width.
        width: u32,
        /// The picture's height.
        height: u32,
        /// Both sides that the network was made for.
        side: u32,
    },
    /// NaN or infinity came out.
    #[error(
        "the network computes numbers that are not finite: its weights are damaged, or the number format is too small"
    )]
    NotFinite,
}

/// The result of detection, parsing and recognition.
pub type FaceResult<T> = Result<T, FaceError>;
