//! A learned identity: the vectors that stand for somebody, and what they were learned from.

mod file;

use idembed_attention::Reduction;
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::schedulers::PredictionType;
use tch::Tensor;

use crate::blend::Ingredient;
use crate::unet_changes::UNetChanges;
use crate::{Result, TokensError};

/// A learned identity.
#[derive(Debug)]
pub struct Identity {
    /// The name it was learned under; a prompt may call it otherwise.
    pub name: String,
    /// The class word, such as `person`.
    pub class: String,
    /// The method that learned it.
    pub method: String,
    /// The vectors for each text encoder of the model, at least one, all with the same number of stages.
    pub encoders: Vec<EncoderRows>,
    /// Cross-attention layers with rows of their own; 1 if all layers read the same.
    pub layers: usize,
    /// Tokens that it takes in a prompt.
    pub words: usize,
    /// What it changes in the U-Net, if anything.
    pub unet: Option<UNetChanges>,
    /// Number of training timesteps that the stages divide.
    pub train_timesteps: usize,
    /// The name of the model it was learned for.
    pub base_model: String,
    /// What that model predicts.
    pub prediction_type: PredictionType,
    /// Weight of the attention loss; 0 if there was none.
    pub lambda: f64,
    /// How the attention loss reduced a layer's distances; `None` without a loss that compares with a reference prompt.
    pub attention_reduction: Option<Reduction>,
    /// Training steps.
    pub steps: usize,
    /// The seed of the run.
    pub seed: u64,
    /// SHA-256 of the identity that the run started at, if it did, as hexadecimal digits.
    pub started_from: Option<String>,
    /// The identities that it was made of, if it was not learned.
    pub blended_from: Vec<Ingredient>,
    /// The program and version that wrote it.
    pub created_by: String,
}

/// An identity's vectors for one text encoder.
#[derive(Debug)]
pub struct EncoderRows {
    /// Vectors for the keys, `[stages * layers * words, hidden]`, f32 on the CPU: by stage, the noisiest first, by layer, by
    /// word.
    pub k: Tensor,
    /// Vectors for the values, likewise.
    pub v: Tensor,
    /// Fingerprint of the text encoder that they were learned for.
    pub sha256: String,
}

impl EncoderRows {
    /// Some rows, for the values or for the keys.
    pub(crate) fn rows(&self, rows: std::ops::Range<usize>, value: bool) -> Result<Tensor> {
        let half = if value { &self.v } else { &self.k };
        Ok(half.f_narrow(0, rows.start as i64, rows.len() as i64)?)
    }

    /// Width of the vectors.
    pub(crate) fn hidden(&self) -> i64 {
        self.k.size().last().copied().unwrap_or(0)
    }
}

impl Clone for EncoderRows {
    fn clone(&self) -> Self {
        EncoderRows { k: self.k.copy(), v: self.v.copy(), sha256: self.sha256.clone() }
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity {
            name: self.name.clone(),
            class: self.class.clone(),
            method: self.method.clone(),
            encoders: self.encoders.clone(),
            unet: self.unet.clone(),
            base_model: self.base_model.clone(),
            started_from: self.started_from.clone(),
            blended_from: self.blended_from.clone(),
            created_by: self.created_by.clone(),
            ..*self
        }
    }
}

impl AsRef<Identity> for Identity {
    fn as_ref(&self) -> &Identity {
        self
    }
}

impl Identity {
    /// Number of stages.
    pub fn stages(&self) -> usize {
        let rows = self.encoders.first().map(|rows| rows.k.size());
        rows.and_then(|size| size.first().copied()).map_or(0, |rows| rows as usize / (self.layers * self.words))
    }

    /// The places of the rows of a stage and layer, one for each word.
    pub(crate) fn places(&self, stage: usize, layer: usize) -> std::ops::Range<usize> {
        let first = (stage * self.layers + layer) * self.words;
        first..first + self.words
    }

    /// Whether an older version of the file format can hold it.
    fn is_plain(&self) -> bool {
        self.layers == 1 && self.words == 1 && self.unet.is_none()
    }

    /// Number of vectors for each text encoder, keys and values together.
    pub fn vectors(&self) -> usize {
        2 * self.stages() * self.layers * self.words
    }

    /// Width of the vectors, those of all text encoders side by side.
    pub fn hidden(&self) -> i64 {
        self.encoders.iter().map(EncoderRows::hidden).sum()
    }

    /// Whether the identity can be used with this model. Of an embedding of another tool only the widths are known.
    ///
    /// `force` lets a model with other text encoders, or one that was trained otherwise, pass where the shapes allow.
    ///
    /// # Errors
    /// The model has another number of text encoders, one of them is another one or of another width, or the model predicts
    /// something else or was trained with another number of timesteps.
    pub fn check_base(&self, model: &StableDiffusion, force: bool) -> Result<()> {
        if self.is_embedding() {
            return self.check_widths(&model.text_encoders.widths());
        }
        let name = || self.name.clone();
        let (got, expected) = (self.encoders.len(), model.text_encoders.count());
        if got != expected {
            return Err(TokensError::OtherEncoders { name: name(), got, expected });
        }
        for (rows, expected) in self.encoders.iter().zip(model.text_encoders.widths()) {
            if rows.hidden() != expected {
                return Err(TokensError::OtherHidden { name: name(), got: rows.hidden(), expected });
            }
        }
        for (rows, expected) in self.encoders.iter().zip(model.text_encoders.fingerprints()?) {
            if rows.sha256 != expected && !force {
                return Err(TokensError::OtherBase { name: name(), got: rows.sha256.clone(), expected });
            }
        }
        let layers = model.unet.sites().len();
        if self.layers != 1 && self.layers != layers {
            return Err(TokensError::OtherLayers { name: name(), got: self.layers, expected: layers });
        }
        if let Some(unet) = &self.unet {
            let expected = model.unet.fingerprint()?;
            if unet.sha256 != expected && !force {
                return Err(TokensError::OtherUNet { name: name(), got: unet.sha256.clone(), expected });
            }
        }
        let schedule = &model.noise_schedule;
        let facts = [
            ("prediction type", self.prediction_type.to_string(), schedule.prediction_type.to_string()),
            ("training timesteps", self.train_timesteps.to_string(), schedule.train_timesteps.to_string()),
        ];
        match facts.into_iter().find(|(_, got, expected)| got != expected) {
            Some((what, got, expected)) if !force => {
                Err(TokensError::OtherTraining { name: name(), what, got, expected })
            }
            _ => Ok(()),
        }
    }
}

/// An identity for tests.
#[cfg(test)]
pub(crate) fn example() -> Identity {
    Identity {
        name: "me".to_owned(),
        class: "person".to_owned(),
        method: "sefi".to_owned(),
        encoders: vec![EncoderRows {
            k: Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]),
            v: Tensor::from_slice(&[6.0f32, 5.0, 4.0, 3.0, 2.0, 1.0]).view([2, 3]),
            sha256: "00ff".to_owned(),
        }],
        layers: 1,
        words: 1,
        unet: None,
        train_timesteps: 1000,
        base_model: "mini".to_owned(),
        prediction_type: PredictionType::Epsilon,
        lambda: 0.003,
        attention_reduction: Some(Reduction::Normalised),
        steps: 7,
        seed: u64::MAX,
        started_from: None,
        blended_from: Vec::new(),
        created_by: "idembed 0.1.0".to_owned(),
    }
}
