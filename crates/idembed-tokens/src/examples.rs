//! What an identity is learned from.

use tch::Tensor;

use crate::Identity;

/// What an identity is learned from, beside the settings.
#[derive(Debug, Default)]
pub struct Examples {
    /// Pictures of it, at least one, all of one size.
    pub pictures: Vec<Example>,
    /// Pictures of its class, `[1, 3, H, W]` in -1..1 each, for methods that train weights of the U-Net with prior preservation
    /// ([`crate::UNetOptions::class_pictures`] of them).
    pub class_pictures: Vec<Tensor>,
    /// People whom the model knows by name, for methods that start at names.
    pub names: Vec<String>,
    /// The identity that learning starts at, where the settings say so ([`crate::Start::Identity`]).
    pub start: Option<Identity>,
}

/// One picture of an identity.
#[derive(Debug)]
pub struct Example {
    /// `[1, 3, H, W]` in -1..1.
    pub image: Tensor,
    /// 1 on the face, `[1, 1, H, W]` in 0..1.
    pub mask: Option<Tensor>,
    /// A training prompt of its own, with one `{}`; the run's ([`crate::LearnConfig::template`]) if `None`.
    pub template: Option<String>,
}

impl Examples {
    /// One picture, and nothing else.
    pub fn one(image: &Tensor, mask: Option<&Tensor>) -> Self {
        let example = Example { image: image.shallow_clone(), mask: mask.map(Tensor::shallow_clone), template: None };
        Examples { pictures: vec![example], ..Examples::default() }
    }
}
