//! A record as one text of settings, in the form that other Stable Diffusion tools write and read.

use std::borrow::Cow;
use std::fmt::Write as _;

use idembed_diffusion::schedulers::SchedulerKind;

use super::record::{LORA, PictureRecord};
use crate::hashes::short;

impl PictureRecord {
    /// The record in the form of the widespread web interfaces: the prompt, the negative prompt, one line of settings.
    ///
    /// A setting with a comma, colon or line break in it is quoted as a JSON string, which is how those tools do it; an
    /// identity stands where they list textual inversions. Brackets that were text here are escaped, as they would weigh words there.
    pub fn parameters(&self) -> String {
        let prompt = |text: &str| if self.weighted { text.to_owned() } else { escaped(text) };
        let mut text = prompt(&self.prompt);
        if !self.negative.is_empty() {
            let _ = write!(text, "\nNegative prompt: {}", prompt(&self.negative));
        }
        let (sampler, schedule) = sampler(self.scheduler);
        let [width, height] = self.size;
        let _ = write!(text, "\nSteps: {}, Sampler: {sampler}", self.steps);
        if let Some(schedule) = schedule {
            let _ = write!(text, ", Schedule type: {schedule}");
        }
        if self.eta != 0.0 {
            let _ = write!(text, ", Eta DDIM: {}", self.eta);
        }
        let _ = write!(text, ", CFG scale: {}, Seed: {}", self.guidance, self.seed);
        let _ = write!(text, ", Size: {width}x{height}");
        if let Some(hash) = &self.model_sha256 {
            let _ = write!(text, ", Model hash: {}", short(hash));
        }
        let _ = write!(text, ", Model: {}", quoted(&self.model));
        if let Some(from) = &self.from {
            let _ = write!(text, ", Denoising strength: {}", from.strength);
        }
        if self.clip_skip != 1 {
            let _ = write!(text, ", Clip skip: {}", self.clip_skip);
        }
        let loras: Vec<String> = self
            .parts
            .iter()
            .filter(|part| part.part == LORA)
            .map(|part| format!("{}: {}", part.name, short(&part.sha256)))
            .collect();
        if !loras.is_empty() {
            let _ = write!(text, ", Lora hashes: {}", quoted(&loras.join(", ")));
        }
        if let Some(vae) = self.parts.iter().find(|part| part.part == "autoencoder") {
            let _ = write!(text, ", VAE hash: {}, VAE: {}", short(&vae.sha256), quoted(&vae.name));
        }
        if !self.identities.is_empty() {
            let hashes = self.identities.iter().map(|it| format!("{}: {}", it.name, short(&it.sha256)));
            let _ = write!(text, ", TI hashes: {}", quoted(&hashes.collect::<Vec<_>>().join(", ")));
        }
        let _ = write!(text, ", Version: idembed {}", self.version);
        text
    }
}

/// The name that other tools know a scheduler by, and the noise schedule that they list apart.
fn sampler(scheduler: SchedulerKind) -> (&'static str, Option<&'static str>) {
    match scheduler {
        SchedulerKind::Ddim => ("DDIM", None),
        SchedulerKind::DpmPp2m => ("DPM++ 2M", None),
        SchedulerKind::DpmPp2mKarras => ("DPM++ 2M", Some("Karras")),
        SchedulerKind::DpmPp2mSde => ("DPM++ 2M SDE", None),
        SchedulerKind::DpmPpSde => ("DPM++ SDE", None),
        SchedulerKind::UniPc => ("UniPC", None),
        SchedulerKind::Euler => ("Euler", None),
        SchedulerKind::EulerAncestral => ("Euler a", None),
        SchedulerKind::Heun => ("Heun", None),
        SchedulerKind::Pndm => ("PLMS", None),
        SchedulerKind::Lcm => ("LCM", None),
    }
}

/// A prompt as web interfaces read it when all of it is text.
fn escaped(prompt: &str) -> String {
    let escape =
        |letter: char| matches!(letter, '(' | ')' | '[' | ']' | '\\').then_some('\\').into_iter().chain([letter]);
    prompt.chars().flat_map(escape).collect()
}

fn quoted(value: &str) -> Cow<'_, str> {
    if value.contains([',', ':', '\n', '"']) { serde_json::Value::from(value).to_string().into() } else { value.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture_file::{PartRecord, SourceRecord};

    #[test]
    fn brackets_that_were_text_stay_text_elsewhere() {
        let of = |weighted| {
            PictureRecord { prompt: r"a [red] \ (hat:1.2)".to_owned(), weighted, ..PictureRecord::sample() }
                .parameters()
        };
        assert!(of(false).starts_with(r"a \[red\] \\ \(hat:1.2\)"), "{}", of(false));
        assert!(of(true).starts_with(r"a [red] \ (hat:1.2)"), "{}", of(true));
    }

    #[test]
    fn other_tools_find_their_settings() {
        assert_eq!(
            PictureRecord::sample().parameters(),
            "a photo of <me> in a forest\nNegative prompt: blurry, dark\nSteps: 25, Sampler: DDIM, CFG scale: 4, Seed: 1, \
             Size: 128x128, Model hash: fedcba9876, Model: mini, TI hashes: \"me: 0123456789\", Version: idembed 0.1.0"
        );
        let from = |mask: Option<&str>| SourceRecord {
            sha256: "1f".repeat(32),
            strength: 0.6,
            mask_sha256: mask.map(str::to_owned),
        };
        let drawn_from = |mask: Option<&str>| PictureRecord { from: Some(from(mask)), ..PictureRecord::sample() };
        assert!(drawn_from(None).parameters().contains("Model: mini, Denoising strength: 0.6, "));
        assert!(!drawn_from(None).is_same_picture(&drawn_from(Some("2e"))));
        let noisy = PictureRecord { eta: 0.5, ..PictureRecord::sample() };
        assert!(noisy.parameters().contains("Sampler: DDIM, Eta DDIM: 0.5, CFG scale"));
        assert!(!noisy.is_same_picture(&PictureRecord::sample()));
        let plain = PictureRecord {
            negative: String::new(),
            guidance: 7.5,
            scheduler: SchedulerKind::DpmPp2mKarras,
            model: "a, b".to_owned(),
            model_sha256: None,
            identities: Vec::new(),
            parts: vec![PartRecord {
                part: "autoencoder".to_owned(),
                name: "fine.safetensors".to_owned(),
                sha256: "a1".repeat(32),
                strength: None,
            }],
            ..PictureRecord::sample()
        };
        assert!(!plain.is_same_picture(&PictureRecord { parts: Vec::new(), ..plain.clone() }));
        assert_eq!(
            plain.parameters(),
            "a photo of <me> in a forest\nSteps: 25, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 1, \
             Size: 128x128, Model: \"a, b\", VAE hash: a1a1a1a1a1, VAE: fine.safetensors, Version: idembed 0.1.0"
        );
    }
}
