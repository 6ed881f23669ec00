//! The CLIP image encoder: a picture as a sentence of patches. Source: arXiv 2010.11929, as CLIP has it.

use idembed_layers::LayerNorm;
use idembed_weights::Scope;
use tch::Tensor;

use crate::config::ClipVisionConfig;
use crate::encoder::{EMBEDDING_INIT, Encoder};
use crate::{Error, Result};

/// The image encoder as a part of a CLIP.
#[derive(Debug)]
pub(crate) struct VisionTransformer {
    config: ClipVisionConfig,
    class_embedding: Tensor,
    /// `[hidden, 3, patch, patch]`.
    patch_embedding: Tensor,
    position_embedding: Tensor,
    pre_layer_norm: LayerNorm,
    encoder: Encoder,
    post_layer_norm: LayerNorm,
}

impl VisionTransformer {
    pub(crate) fn load(root: &Scope<'_>, config: ClipVisionConfig) -> Result<Self> {
        let (hidden, patch, eps) = (config.hidden_size, config.patch_size, config.layer_norm_eps);
        let positions = config.grid() * config.grid() + 1;
        let embeddings = root / "embeddings";
        Ok(VisionTransformer {
            class_embedding: embeddings.tensor("class_embedding", &[hidden], EMBEDDING_INIT)?,
            patch_embedding: embeddings.tensor("patch_embedding.weight", &[hidden, 3, patch, patch], EMBEDDING_INIT)?,
            position_embedding: embeddings.tensor("position_embedding.weight", &[positions, hidden], EMBEDDING_INIT)?,
            // Spelled so in every checkpoint.
            pre_layer_norm: LayerNorm::load(&(root / "pre_layrnorm"), hidden, eps)?,
            encoder: Encoder::load(&(root / "encoder"), config.encoder(), false)?,
            post_layer_norm: LayerNorm::load(&(root / "post_layernorm"), hidden, eps)?,
            config,
        })
    }

    /// The state of each picture's class token.
    ///
    /// # Shapes
    /// - `pixel_values`: `[batch, 3, image_size, image_size]`, normalised
    /// - returns: `[batch, hidden]`
    pub(crate) fn forward(&self, pixel_values: &Tensor) -> Result<Tensor> {
        let side = self.config.image_size;
        let got = pixel_values.size();
        let &[batch, 3, height, width] = got.as_slice() else { return Err(self.shape_error(got)) };
        if (height, width) != (side, side) {
            return Err(self.shape_error(got));
        }
        let class = self.class_embedding.f_expand([batch, 1, -1], false)?;
        let states = Tensor::f_cat(&[class, self.embed_patches(pixel_values)?], 1)?.f_add(&self.position_embedding)?;
        let states = self.encoder.forward(self.pre_layer_norm.forward(&states)?)?;
        Ok(self.post_layer_norm.forward(&states.f_select(1, 0)?)?)
    }

    /// A convolution whose stride is its kernel, as the matrix product that it is: patches do not overlap. What is left
    /// at the right and at the bottom is not seen.
    fn embed_patches(&self, pixel_values: &Tensor) -> Result<Tensor> {
        let (grid, patch) = (self.config.grid(), self.config.patch_size);
        let pixels = pixel_values.f_to_kind(self.patch_embedding.kind())?;
        let seen = pixels.f_narrow(2, 0, grid * patch)?.f_narrow(3, 0, grid * patch)?;
        // Row by row of patches, each row by row of pixels, the channels of a pixel side by side: as in memory.
        let patches = seen.f_reshape([-1, 3, grid, patch, grid, patch])?.f_permute([0, 2, 4, 3, 5, 1])?.f_reshape([
            -1,
            grid * grid,
            3 * patch * patch,
        ])?;
        let weight = self.patch_embedding.f_permute([0, 2, 3, 1])?.f_reshape([self.config.hidden_size, -1])?;
        Ok(patches.f_linear(&weight, None::<Tensor>)?)
    }

    fn shape_error(&self, got: Vec<i64>) -> Error {
        let side = self.config.image_size;
        Error::Shape { what: "pictures for CLIP", got, expected: format!("[batch, 3, {side}, {side}]") }
    }
}
