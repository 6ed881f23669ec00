//! From a photo on disk to the pixels that the rest of the software wants.
//!
//! [`Photo::open`] turns a JPEG, PNG or WebP file into upright RGB; [`CropRect`] and [`crop_and_resize`] cut out the
//! part with the face. Every file that cannot be used is refused with a [`PhotoError`] that says why.
//!
//! This crate never sees diffusion: it knows no model, no latent, no token, and not what the pixels are for.

mod crop;
mod error;
mod format;
mod jpeg;
mod photo;

pub use crop::{CropError, CropRect, crop_and_resize, mirror};
pub use error::PhotoError;
pub use photo::{MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE, MIN_SIDE, Note, Photo};
