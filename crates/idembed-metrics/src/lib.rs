//! Scores of pictures that were drawn of somebody: how much the face is like them, how well the prompt was followed, how much
//! was copied from the photo, how different the pictures of one prompt are.
//!
//! [`Instruments`] are the networks that look, opened once; [`Instruments::person`] prepares somebody to compare with,
//! [`Instruments::score`] and [`Instruments::score_pair`] give the numbers. The [`judge`] says what a picture shows. This crate
//! never sees a method, a training, an identity file, a diffusion model, or the files and statistics of an evaluation: it gets
//! pixels and texts, and gives numbers with names.
mod background;
mod diversity;
mod error;
mod framed;
mod heads;
mod instruments;
pub mod judge;
mod likeness;
mod pair;
mod person;
mod request;
mod scored;

pub use background::without_face;
pub use diversity::diversity;
pub use error::{MetricsError, Result};
pub use framed::framed;
pub use instruments::Instruments;
pub use person::{Person, References};
pub use request::{OTHER_PLACEHOLDER, PLACEHOLDER, Request};
pub use scored::{Scored, Scores};
