//! Both sides of a CLIP and what makes them comparable. Layout as in `transformers.CLIPModel`.

use std::path::Path;

use idembed_layers::Linear;
use idembed_weights::{Compute, Init, Weights};
use tch::{Kind, Tensor};

use crate::Result;
use crate::config::ClipConfig;
use crate::text_model::TextTransformer;
use crate::vision_model::VisionTransformer;

/// Of the scale before training: the logarithm of 1 / 0.07 (arXiv 2103.00020, section 2.5).
const LOGIT_SCALE_INIT: Init = Init::Constant(2.659_260_036_932_778);

/// A CLIP: how well texts and pictures fit each other.
#[derive(Debug)]
pub struct ClipModel {
    config: ClipConfig,
    text_model: TextTransformer,
    vision_model: VisionTransformer,
    text_projection: Linear,
    visual_projection: Linear,
    logit_scale: Tensor,
    weights: Weights,
}

impl ClipModel {
    /// Loads `config.json` and `model.safetensors` from a folder.
    ///
    /// # Errors
    /// Unreadable files, or weights that do not match the configuration.
    pub fn load(folder: &Path, compute: Compute) -> Result<Self> {
        let config = ClipConfig::read(&folder.join("config.json"))?;
        Self::from_weights(config, Weights::open(folder, "model", compute)?)
    }

    /// Builds the CLIP of a configuration on weights from anywhere.
    ///
    /// # Errors
    /// Weights that do not match the configuration.
    pub fn from_weights(config: ClipConfig, weights: Weights) -> Result<Self> {
        let root = weights.root();
        let (text, vision, width) = (config.text.hidden_size, config.vision.hidden_size, config.projection_dim);
        let text_model = TextTransformer::load(&(&root / "text_model"), config.text.clone())?;
        let vision_model = VisionTransformer::load(&(&root / "vision_model"), config.vision.clone())?;
        let text_projection = Linear::load_without_bias(&(&root / "text_projection"), text, width)?;
        let visual_projection = Linear::load_without_bias(&(&root / "visual_projection"), vision, width)?;
        let logit_scale = root.tensor("logit_scale", &[], LOGIT_SCALE_INIT)?;
        weights.check_all_used(&["position_ids"])?;
        Ok(ClipModel { config, text_model, vision_model, text_projection, visual_projection, logit_scale, weights })
    }

    /// The configuration.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Where and in which format it computes.
    pub fn compute(&self) -> Compute {
        self.weights.compute()
    }

    /// The logarithm of the factor between cosines and the logits of the contrastive loss; a scalar.
    pub fn logit_scale(&self) -> &Tensor {
        &self.logit_scale
    }

    /// The states of all tokens of texts. Those before a text's end do not depend on what follows, so padding may be
    /// left out.
    ///
    /// # Shapes
    /// - `ids`: `[batch, tokens]`, i64
    /// - returns: `[batch, tokens, hidden]`
    ///
    /// # Errors
    /// An id that is not in the vocabulary, or more tokens than positions.
    pub fn text_states(&self, ids: &Tensor) -> Result<Tensor> {
        self.text_model.encode(&self.text_model.embed_tokens(ids)?)
    }

    /// The state at each text's end token, which stands for the whole text.
    ///
    /// # Shapes
    /// - `states`: `[batch, tokens, hidden]`
    /// - `ids`: `[batch, tokens]`, i64, each row with an end token
    /// - returns: `[batch, hidden]`
    pub fn end_states(&self, states: &Tensor, ids: &Tensor) -> Result<Tensor> {
        let ids = ids.f_to_device(states.device())?;
        // Of equal numbers, `argmax` gives the first.
        let ends = match self.config.end_token {
            Some(end) => ids.f_eq(end)?.f_to_kind(Kind::Int)?.f_argmax(1, false)?,
            None => ids.f_argmax(1, false)?,
        };
        let hidden = self.config.text.hidden_size;
        let index = ends.f_view([-1, 1, 1])?.f_expand([-1, 1, hidden], false)?;
        Ok(states.f_gather(1, &index, false)?.f_squeeze_dim(1)?)
    }

    /// Text states as vectors of length 1 that can be compared with pictures; f32.
    ///
    /// # Shapes
    /// - `states`: `[..., hidden]`
    /// - returns: `[..., projection_dim]`
    pub fn project_text(&self, states: &Tensor) -> Result<Tensor> {
        unit(&self.text_projection.forward(&states.f_to_kind(self.compute().kind)?)?)
    }

    /// Whole texts as vectors of length 1; f32.
    ///
    /// # Shapes
    /// - `ids`: `[batch, tokens]`, i64, each row with an end token
    /// - returns: `[batch, projection_dim]`
    ///
    /// # Errors
    /// As [`ClipModel::text_states`].
    pub fn text_embeds(&self, ids: &Tensor) -> Result<Tensor> {
        self.project_text(&self.end_states(&self.text_states(ids)?, ids)?)
    }

    /// Pictures as vectors of length 1; f32.
    ///
    /// # Shapes
    /// - `pixel_values`: `[batch, 3, image_size, image_size]`, normalised as [`crate::ClipPreprocessor`] does
    /// - returns: `[batch, projection_dim]`
    ///
    /// # Errors
    /// Pictures of another size.
    pub fn image_embeds(&self, pixel_values: &Tensor) -> Result<Tensor> {
        let pixel_values = pixel_values.f_to_device(self.compute().device)?;
        unit(&self.visual_projection.forward(&self.vision_model.forward(&pixel_values)?)?)
    }
}

fn unit(x: &Tensor) -> Result<Tensor> {
    let x = x.f_to_kind(Kind::Float)?;
    Ok(x.f_div(&x.f_norm_scalaropt_dim(2.0, [-1i64], true)?)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use idembed_weights::Parameters;
    use tch::Device;

    use super::*;
    use crate::{Activation, ClipTextConfig, ClipVisionConfig};

    /// As `transformers.CLIPModel` and the paper have it; the layers have their own starts.
    #[test]
    fn embeddings_start_near_zero_and_the_scale_at_the_papers() {
        let (activation, layer_norm_eps) = (Activation::QuickGelu, 1e-5);
        let text = ClipTextConfig {
            vocab_size: 300,
            hidden_size: 16,
            intermediate_size: 20,
            layers: 1,
            heads: 2,
            max_positions: 40,
            activation,
            layer_norm_eps,
            projection_dim: 8,
        };
        let vision = ClipVisionConfig {
            image_size: 32,
            patch_size: 8,
            hidden_size: 16,
            intermediate_size: 20,
            layers: 1,
            heads: 2,
            activation,
            layer_norm_eps,
        };
        let config = ClipConfig { text, vision, projection_dim: 8, end_token: None };
        let parameters = Parameters::new(4, Device::Cpu);
        let clip = ClipModel::from_weights(config, Weights::from_parameters(&parameters, Kind::Float)).unwrap();
        assert!((clip.logit_scale().double_value(&[]) - (1.0f64 / 0.07).ln()).abs() < 1e-6);
        let embeddings: Vec<_> =
            parameters.list().into_iter().filter(|(name, _)| name.contains("_embedding")).collect();
        assert_eq!(embeddings.len(), 5);
        for (name, values) in embeddings {
            let (mean, std) = (values.mean(Kind::Float).double_value(&[]), values.std(true).double_value(&[]));
            // A class embedding of 16 numbers says little about its spread.
            let tolerance = if values.numel() > 100 { 0.002 } else { 0.01 };
            assert!(mean.abs() < tolerance && (std - 0.02).abs() < tolerance, "{name}: {mean} {std}");
        }
    }
}
