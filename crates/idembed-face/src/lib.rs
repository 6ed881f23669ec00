//! From a photo on disk to the faces in it, as pixels, coordinates, masks and embeddings.
//!
//! [`Photo::open`] turns a picture file, as phones, cameras and labs give them, into upright RGB. [`detect`] finds the faces
//! and their landmarks, [`search()`] does so in several views of a difficult picture, [`select`] chooses one,
//! [`align`] brings it into a network's or a portrait's frame, [`mask`] and [`parsing`] tell its pixels from the others, and
//! [`recognise`] turns it into an embedding. Every file that cannot be used is refused with a [`PhotoError`] that says why.
//!
//! This crate never sees diffusion: it knows no model, no latent, no token, and not what the pixels are for.
//!
//! ```
//! # let mini = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini"));
//! use idembed_face::{CropRect, Photo, crop_and_resize};
//!
//! let photo = Photo::open(&mini.join("portraits/person3_a.png"))?;
//! let (width, height) = photo.pixels.dimensions();
//! let square = crop_and_resize(&photo.pixels, CropRect::centre_square(width, height), 64, 64)?;
//! assert_eq!(square.dimensions(), (64, 64));
//! assert!(Photo::open(&mini.join("README.md")).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod align;
mod crop;
mod decode;
pub mod detect;
mod error;
mod folder;
mod format;
mod geometry;
mod heic;
pub mod input;
mod iso;
mod jpeg;
pub mod mask;
pub mod parsing;
mod photo;
pub mod recognise;
pub mod residual;
mod search;
pub mod select;

pub use crop::{CropError, CropRect, crop_and_resize, mirror};
pub use error::{DecoderError, FaceError, FaceResult, PhotoError};
pub use folder::pictures_in;
pub use geometry::{Face, FaceBox, Landmarks, Point};
pub use photo::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, MIN_SIDE, Note, Photo, Transparency};
pub use search::{Attempt, Search, Turn, View, search};
