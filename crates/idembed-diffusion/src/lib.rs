//! Stable Diffusion 1.x and 2.x and SDXL on libtorch.
//!
//! This crate reads a model, a folder in diffusers layout or a checkpoint in one file ([`StableDiffusion`]), and draws pictures with it ([`TextToImage`]);
//! the text encoder is the one of `idembed-clip`. It declares the cross-attention [`hook`] and takes its text states per
//! timestep range ([`conditioning`]), so that others can watch and steer it. It never sees a face, an identity file, or a
//! loss.
//!
//! ```
//! # let mini = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini"));
//! use idembed_diffusion::{Compute, Error, StableDiffusion, TextToImage};
//!
//! let model = StableDiffusion::load(mini, Compute::CPU_F32)?;
//! let (prompt, negative) = (&model.condition("a photo of a woman at the beach")?, &model.condition("")?);
//! let request = TextToImage { steps: 2, guidance_scale: 4.0, ..TextToImage::new(&model, prompt, negative, &[7]) };
//! let each = |_, picture: image::RgbImage| Ok::<_, Error>(assert_eq!(picture.dimensions(), (128, 128)));
//! request.run(&model, &mut (), each)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod area;
mod contexts;
mod error;
mod model_files;
mod resnet;
mod stable_diffusion;
mod start;
mod text_to_image;

pub mod conditioning;
pub mod controlnet;
pub mod hook;
pub mod memory;
pub mod noise;
pub mod picture;
pub mod schedulers;
pub mod text_encoders;
pub mod unet;
pub mod vae;

pub use area::Area;
pub use error::{Error, Result};
/// Where and in which number format to compute: every network is loaded with a [`Compute`].
pub use idembed_weights::{Compute, DeviceChoice, DtypeChoice};
pub use model_files::{GivenPart, Lora, ModelFiles, TextEncoderFiles, read_listing};
pub use stable_diffusion::StableDiffusion;
pub use start::FromPicture;
pub use text_to_image::{Callback, StepInfo, TextToImage};
