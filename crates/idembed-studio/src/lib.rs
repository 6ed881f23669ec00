//! From a photo to pictures: find and cut the face, learn it, draw it, look at attention, compare, read and write files.
//!
//! This crate is everything that a program needs between a photo and a picture. It never sees a flag, a terminal or an exit
//! code: what happens is told by [`Event`]s, what fails by a [`StudioError`].
//!
//! ```
//! # let mini = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini");
//! # let portrait = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini/portraits/person3_a.png"));
//! # let folder = tempfile::tempdir()?;
//! use idembed_studio::{Draw, Frame, Learn, LearnWishes, Photo, Studio, SubjectChoice};
//!
//! let studio = Studio::open(mini)?;
//! let subject = SubjectChoice { frame: Frame::Centre, ..Default::default() }; // by default, around the face
//! let wishes = LearnWishes { steps: Some(2), ..Default::default() }; // by default, as the model likes it
//! let how = Learn { subject, wishes, ..Default::default() };
//! let me = studio.learn("me", &Photo::open(portrait)?, how)?;
//! let pictures = studio.draw("a photo of <me> at the beach", [("me", &me)], Draw::default())?;
//! pictures[0].save(folder.path().join("me.png"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod comparing;
mod drawing;
mod error;
mod event;
mod face_detail;
mod faces;
mod hashes;
mod job;
mod learning;
mod memory;
mod model;
mod pixels;
mod preview;
mod prompt_fit;
mod recognition;
mod scoring;
mod second_pass;
mod size;
mod source;
mod steering;
mod studio;
mod subject;
mod tiles;

pub mod captions;
pub mod models;
pub mod picture_file;
pub mod settings;

pub use comparing::{Compared, Likeness};
pub use drawing::{Draw, DrawSettings, DrawWarning, Drawing, Drawn, NamedIdentity, RegionWish, Watch, Watched};
pub use error::{Result, StudioError};
pub use event::Event;
pub use face_detail::FaceDetail;
pub use faces::{ChosenFace, FaceReport, Finder, Found, shown_box};
pub use hashes::{sha256_of, short};
pub use idembed_face::Photo;
pub use idembed_tokens::LearnWishes;
pub use job::{Canceller, Job};
pub use learning::{Learned, Lesson};
pub use memory::{Fits, Forecast, TooLarge, bytes};
pub use model::Model;
pub use pixels::open_mask;
pub use preview::{BestPreview, Enough, Preview, PreviewWish};
pub use prompt_fit::PromptFit;
pub use recognition::{Network, RECOGNISERS};
pub use scoring::{Judges, instruments};
pub use second_pass::Enlargement;
pub use size::Size;
pub use source::Source;
pub use steering::{ControlWish, Preparation, edges};
pub use studio::{Facts, Learn, Studio};
pub use subject::{Cut, Frame, MaskChoice, Subject, SubjectChoice, SubjectFinder};
