//! What a picture's file says about how it was made.

use idembed_diffusion::Area;
use idembed_diffusion::schedulers::SchedulerKind;
use idembed_tokens::Strength;
use serde::{Deserialize, Serialize};

use crate::face_detail::FaceDetail;
use crate::second_pass::Enlargement;

/// What a [`PartRecord`] of LoRA is called.
pub(crate) const LORA: &str = "LoRA";

/// Everything needed to make a picture again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PictureRecord {
    /// The prompt as typed, with `<NAME>` for identities.
    pub prompt: String,
    /// The negative prompt; empty if there was none.
    pub negative: String,
    /// Whether brackets that weigh, `BREAK` or further chunks were read in the prompts; earlier versions could not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub weighted: bool,
    /// One more than the layers of the text encoders that were left out; earlier versions took all.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub clip_skip: usize,
    /// Denoising steps.
    pub steps: usize,
    /// Guidance scale.
    pub guidance: f64,
    /// The sampler.
    pub scheduler: SchedulerKind,
    /// How much noise DDIM added at each step; absent if none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub eta: f64,
    /// The picture that it was drawn from; absent if it was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<SourceRecord>,
    /// This picture's own seed.
    pub seed: u64,
    /// Width and height in pixels.
    pub size: [u32; 2],
    /// The model's name (not its path: pictures are passed on).
    pub model: String,
    /// What the U-Net was taken to predict: `epsilon` or `v_prediction`; earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<String>,
    /// SHA-256 of the model's U-Net weights, as hexadecimal digits; earlier versions did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_sha256: Option<String>,
    /// Networks that were taken instead of the model's own, and LoRA; earlier versions could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartRecord>,
    /// ControlNets that steered it; earlier versions could not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<ControlRecord>,
    /// How it was enlarged and drawn once more; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enlarged: Option<Enlargement>,
    /// How the faces of its people were drawn once more; absent if they were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_detail: Option<FaceDetail>,
    /// What they were drawn with, `{}` standing for the identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_prompt: Option<String>,
    /// Whether it was decoded part by part, where it is large enough for that; earlier versions could not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tiled: bool,
    /// The number format that the networks ran in, such as `f32`.
    #[serde(default)]
    pub dtype: String,
    /// The identities in the prompt.
    #[serde(default)]
    pub identities: Vec<IdentityRecord>,
    /// Version of the software.
    pub version: String,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn one() -> usize {
    1
}

fn is_one(value: &usize) -> bool {
    *value == 1
}

fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// A picture that another one was drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Hash of its file.
    pub sha256: String,
    /// The share of the steps that was taken.
    pub strength: f64,
    /// Hash of the mask's file, if only a part was drawn anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_sha256: Option<String>,
}

/// A file that a picture was made with beside the model's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartRecord {
    /// What it is: `autoencoder`, `text encoder` or `LoRA`.
    pub part: String,
    /// The name of its file or folder.
    pub name: String,
    /// Hash of its weight files.
    pub sha256: String,
    /// How strongly a LoRA acted; 1 is as it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<f64>,
}

/// A ControlNet that steered a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// The name of its file or folder.
    pub name: String,
    /// Hash of its weight files.
    pub sha256: String,
    /// Hash of the file of the picture that it saw.
    pub picture_sha256: String,
    /// Whether it saw that picture's edges.
    #[serde(default, skip_serializing_if = "is_false")]
    pub edges: bool,
    /// How strongly it acted; 1 is as it was trained.
    pub scale: f64,
    /// The share of the steps after which it began to act.
    pub start: f64,
    /// The share of the steps after which it ended.
    pub end: f64,
}

/// An identity that a picture was made with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityRecord {
    /// Its name in the prompt.
    pub name: String,
    /// Hash of the identity file.
    pub sha256: String,
    /// The method that learned it.
    pub method: String,
    /// Its class word; earlier versions did not write it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// How strongly it acted; not written where it did as it was learned.
    #[serde(default, skip_serializing_if = "Strength::is_full")]
    pub strength: Strength,
    /// The part of the picture that it was kept to, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Area>,
}

impl PictureRecord {
    /// The part of the picture that an identity was kept to, if it was.
    pub fn region_of(&self, name: &str) -> Option<Area> {
        self.identities.iter().find(|identity| identity.name == name)?.region
    }

    /// Whether both describe the same picture: what only one of them knows does not count.
    pub fn is_same_picture(&self, other: &PictureRecord) -> bool {
        let agree = |own: &Option<String>, theirs: &Option<String>| own.is_none() || theirs.is_none() || own == theirs;
        let apart = |record: &PictureRecord| PictureRecord { prediction: None, model_sha256: None, ..record.clone() };
        agree(&self.prediction, &other.prediction)
            && agree(&self.model_sha256, &other.model_sha256)
            && apart(self) == apart(other)
    }
}

#[cfg(test)]
impl PictureRecord {
    /// One for tests.
    pub(crate) fn sample() -> PictureRecord {
        PictureRecord {
            prompt: "a photo of <me> in a forest".to_owned(),
            negative: "blurry, dark".to_owned(),
            weighted: false,
            clip_skip: 1,
            steps: 25,
            guidance: 4.0,
            scheduler: SchedulerKind::Ddim,
            eta: 0.0,
            from: None,
            seed: 1,
            size: [128, 128],
            model: "mini".to_owned(),
            prediction: Some("epsilon".to_owned()),
            model_sha256: Some("fedcba9876543210".repeat(4)),
            parts: Vec::new(),
            controls: Vec::new(),
            enlarged: None,
            face_detail: None,
            face_prompt: None,
            tiled: false,
            dtype: "f32".to_owned(),
            identities: vec![IdentityRecord {
                name: "me".to_owned(),
                sha256: "0123456789abcdef".repeat(4),
                method: "sefi".to_owned(),
                class: "person".to_owned(),
                strength: Strength::default(),
                region: None,
            }],
            version: "0.1.0".to_owned(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn records_of_earlier_versions_are_read() {
        let earlier = r#"{"prompt": "a photo of <me> in a forest", "negative": "blurry, dark", "steps": 25, "guidance": 4.0,
            "scheduler": "ddim", "seed": 1, "size": [128, 128], "model": "mini", "version": "0.1.0"}"#;
        let read: PictureRecord = serde_json::from_str(earlier).unwrap();
        let now = PictureRecord { dtype: String::new(), identities: Vec::new(), ..PictureRecord::sample() };
        assert_eq!(read, PictureRecord { prediction: None, model_sha256: None, ..now.clone() });
        assert!(read.is_same_picture(&now) && now.is_same_picture(&read));
        let other = PictureRecord { model_sha256: Some("0".repeat(64)), ..now.clone() };
        assert!(!other.is_same_picture(&now) && other.is_same_picture(&other));
    }

    #[test]
    fn another_strength_is_another_picture() {
        let with = |text: &str| {
            let mut record = PictureRecord::sample();
            record.identities[0].strength = text.parse().unwrap();
            record
        };
        let strengths = |text: &str| serde_json::to_value(with(text)).unwrap()["identities"][0]["strength"].clone();
        assert_eq!(strengths("0.7"), 0.7);
        assert_eq!(strengths("0.25/1"), serde_json::json!([0.25, 1.0]));
        assert_eq!((strengths("1"), with("1")), (serde_json::Value::Null, PictureRecord::sample()));
        assert!(!with("0.7").is_same_picture(&PictureRecord::sample()));
        let read: PictureRecord = serde_json::from_str(&serde_json::to_string(&with("0.25/1")).unwrap()).unwrap();
        assert_eq!(read, with("0.25/1"));
    }
}
