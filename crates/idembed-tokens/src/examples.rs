//! What an identity is learned from.

use tch::Tensor;

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
}

/// One picture of an identity.
#[derive(Debug)]
pub struct Example {
    /// `[1, 3, H, W]` in -1..1.
    pub image: Tensor,
    /// 1 on the face, `[1, 1, H, W]` in 0..1.
    pub mask: Option<Tensor>,
}

impl Examples {
    /// One picture, and nothing else.
    pub fn one(image: &Tensor, mask: Option<&Tensor>) -> Self {
        let example = Example { image: image.shallow_clone(), mask: mask.map(Tensor::shallow_clone) };
        Examples { pictures: vec![example], ..Examples::default() }
    }
}
