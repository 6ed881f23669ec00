//! Scores of pictures that were drawn of somebody: how much the face is like them, how well the prompt was followed, how much
//! was copied from the photo, how different the pictures of one prompt are.
//!
//! [`Instruments`] are the networks that look, opened once; [`Instruments::person`] prepares somebody to compare with,
//! [`Instruments::score`] and [`Instruments::score_pair`] give the numbers by their names:
//!
//! | Score | What it is |
//! |---|---|
//! | `id`, `id_found` | cosine of the face to the photo learned from; without a face 0, or left out |
//! | `id_others`, `copy` | mean cosine to other pictures of the person, and how much less that is than `id` |
//! | `detect`, `faces` | 1 if a face was found, and how many were |
//! | `prompt`, `prompt_deleted` | CLIP's cosine of picture and prompt, the class word in the identity's place or nothing |
//! | `wishes` | the share of what was wished for that the [`judge`] sees |
//! | `followed`, `id_p`, `id_others_p` | 1 if the prompt was followed, and the likeness where it was |
//! | `whole`, `background` | CLIP's cosine of picture and photo, with and without the face |
//! | `framed` | how much the picture looks like one in a border, see [`framed()`] |
//! | `diversity` | how different the face is from those of the prompt's other pictures, see [`diversity()`] |
//! | `mix_up`, `both`, `duplicates` | of two people: faces in the other's place, both there, one there twice |
//! | `id@NAME`, `prompt@NAME` ... | the same by a further recogniser or CLIP |
//!
//! A score that does not exist for a picture is left out. This crate never sees a method, a training, an identity file, a
//! diffusion model, or the files and statistics of an evaluation: it gets pixels and texts, and gives numbers.
//!
//! ```
//! # let mini = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini"));
//! use idembed_metrics::judge::Judge;
//! use idembed_metrics::{Request, framed};
//! use idembed_weights::Compute;
//!
//! let judge = Judge::load(&mini.join("judge"), Compute::CPU_F32)?;
//! let wishes = [("scene".to_owned(), "in the desert".to_owned()), ("headwear".to_owned(), "hat".to_owned())];
//! let request = Request::new("a photo of {} wearing a hat in the desert", "person", wishes.into());
//! let picture = image::open(mini.join("portraits/person3_a.png"))?.to_rgb8();
//! let verdict = judge.judge(&[picture.clone()])?.remove(0);
//! assert_eq!((verdict.class("scene"), verdict.class("headwear")), (Some("in the desert"), Some("none")));
//! assert_eq!(verdict.granted(&request.wishes), Some(0.5));
//! assert_eq!(framed(&picture), 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod background;
mod clip_view;
mod diversity;
mod error;
mod found;
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
