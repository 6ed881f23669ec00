//! One embedding for each stage, for tools that can change the text while they draw.

use idembed_weights::UnknownName;

use super::Embedding;
use super::comfy;
use super::prompt_editing::{self, Schedule, Switches};
use crate::{Identity, Result};

/// Which of an identity's vectors go into an embedding: other tools know one vector for keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
pub enum Half {
    /// The mean of both.
    Mean,
    /// Those that the keys see: where to look.
    Keys,
    /// Those that the values see: what to draw. On the miniature they alone draw somebody as the whole identity does.
    #[default]
    Values,
}

/// One embedding for each stage of an identity, and how other tools switch from one to the next.
#[derive(Debug)]
pub struct StagedEmbeddings {
    /// The noisiest stage first.
    pub stages: Vec<Embedding>,
    /// What prompts call them: `NAME-1`, `NAME-2` and so on.
    pub names: Vec<String>,
    /// Number of training timesteps that the stages divide.
    pub train_timesteps: usize,
    name: String,
    half: Half,
    halves_differ: bool,
}

impl StagedEmbeddings {
    /// The embeddings of an identity.
    pub fn of(identity: &Identity, half: Half) -> Result<Self> {
        let count = identity.stages();
        let stages = (0..count).map(|stage| Embedding::of_stage(identity, stage, half)).collect::<Result<_>>()?;
        let halves_differ = identity.encoders.iter().any(|rows| !rows.k.equal(&rows.v));
        Ok(StagedEmbeddings {
            stages,
            names: (1..=count).map(|number| format!("{}-{number}", identity.name)).collect(),
            train_timesteps: identity.train_timesteps,
            name: identity.name.clone(),
            half,
            halves_differ,
        })
    }

    /// The file of each embedding: other tools call an embedding as its file.
    pub fn file_names(&self) -> Vec<String> {
        self.names.iter().map(|name| format!("{name}.safetensors")).collect()
    }

    /// When to switch in a run of so many steps, or, without, at which fractions of a run.
    ///
    /// # Errors
    /// A number of steps that no sampler takes.
    pub fn switches(&self, run: Option<(usize, Schedule)>) -> Result<Switches> {
        match run {
            Some((steps, schedule)) => Switches::of_steps(self.names.len(), self.train_timesteps, steps, schedule),
            None => Ok(Switches::of_fractions(self.names.len())),
        }
    }

    /// A prompt, in which `<NAME>` stands for the identity, with the syntax that switches its embeddings.
    pub fn edited(&self, prompt: &str, switches: &Switches) -> String {
        prompt.replace(&format!("<{}>", self.name), &prompt_editing::edited(&self.names, switches))
    }

    /// When in a run each embedding holds, as ComfyUI's `start` and `end`.
    ///
    /// # Errors
    /// A model that was trained with another number of timesteps than ComfyUI knows.
    pub fn ranges(&self) -> Result<Vec<[f64; 2]>> {
        comfy::ranges(self.names.len(), self.train_timesteps)
    }

    /// The conditioning of a prompt, in which `<NAME>` stands for the identity, as nodes of a ComfyUI workflow.
    ///
    /// # Errors
    /// As [`StagedEmbeddings::ranges`].
    pub fn workflow(&self, prompt: &str) -> Result<serde_json::Value> {
        let with = |name: &String| prompt.replace(&format!("<{}>", self.name), &format!("embedding:{name}"));
        Ok(comfy::workflow(&self.names.iter().map(with).collect::<Vec<_>>(), &self.ranges()?))
    }

    /// What other tools cannot know of this identity, in a sentence or two.
    pub fn loss(&self) -> String {
        let farthest = self.stages.iter().map(|stage| stage.spread).fold(0.0, f64::max);
        let halves = match (self.halves_differ, self.half) {
            (false, _) if farthest == 0.0 => "nothing is lost: keys and values have the same vectors".to_owned(),
            (true, Half::Keys) => "the stages are kept, the vectors of the values are left out".to_owned(),
            (true, Half::Values) => "the stages are kept, the vectors of the keys are left out".to_owned(),
            _ => format!(
                "the stages are kept, but all vectors of a stage (keys, values, layers) become their mean; they lie at most \
                 {:.0} % of its length away from it",
                100.0 * farthest
            ),
        };
        match self.stages.iter().any(|stage| stage.leaves_weights) {
            false => halves,
            true => {
                format!("the weights of the U-Net that this identity changes are left out; of the vectors, {halves}")
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use tch::Tensor;

    use super::*;
    use crate::identity::{EncoderRows, example};

    fn vectors(half: Half) -> Vec<Vec<f32>> {
        let embeddings = StagedEmbeddings::of(&example(), half).unwrap();
        embeddings.stages.iter().map(|stage| Vec::try_from(stage.vectors[0].flatten(0, -1)).unwrap()).collect()
    }

    #[test]
    fn each_stage_has_its_own_vector() {
        // Keys 1 2 3 and 4 5 6, values 6 5 4 and 3 2 1.
        assert_eq!(vectors(Half::Mean), [[3.5; 3], [3.5; 3]]);
        assert_eq!(vectors(Half::Keys), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert_eq!(vectors(Half::Values), [[6.0, 5.0, 4.0], [3.0, 2.0, 1.0]]);
        let embeddings = StagedEmbeddings::of(&example(), Half::Mean).unwrap();
        assert_eq!(embeddings.file_names(), ["me-1.safetensors", "me-2.safetensors"]);
        assert_eq!((embeddings.stages[0].rows, embeddings.stages[0].vectors[0].size()), (2, vec![1, 3]));
    }

    #[test]
    fn what_is_lost_is_said() {
        let loss = |half| StagedEmbeddings::of(&example(), half).unwrap().loss();
        // 2.5 1.5 0.5 on each side of 3.5 3.5 3.5: sqrt(8.75 / 36.75) of its length.
        assert!(loss(Half::Mean).contains("at most 49 % of its length"), "{}", loss(Half::Mean));
        assert!(loss(Half::Keys).contains("values are left out") && loss(Half::Values).contains("keys are left out"));
        let rows = || Tensor::from_slice(&[1.0f32, 2.0]).view([2, 1]);
        let same =
            Identity { encoders: vec![EncoderRows { k: rows(), v: rows(), sha256: String::new() }], ..example() };
        assert!(StagedEmbeddings::of(&same, Half::Keys).unwrap().loss().starts_with("nothing is lost"));
        let weights = Identity {
            unet: Some(crate::UNetChanges { sha256: String::new(), deltas: Default::default() }),
            ..same.clone()
        };
        let loss = StagedEmbeddings::of(&weights, Half::Mean).unwrap().loss();
        assert!(loss.contains("U-Net that this identity changes are left out"), "{loss}");
        let layered = Identity { layers: 2, ..same };
        assert!(StagedEmbeddings::of(&layered, Half::Keys).unwrap().loss().contains("become their mean"));
    }

    #[test]
    fn the_identity_is_found_in_the_prompt() {
        let embeddings = StagedEmbeddings::of(&example(), Half::Mean).unwrap();
        let prompt = "a photo of <me> and <you>, <me>";
        let edited = embeddings.edited(prompt, &embeddings.switches(None).unwrap());
        assert_eq!(edited, "a photo of [me-1:me-2:0.5] and <you>, [me-1:me-2:0.5]");
        let workflow = embeddings.workflow("a photo of <me>").unwrap();
        let texts: Vec<&str> =
            workflow.as_object().unwrap().values().filter_map(|node| node["inputs"]["text"].as_str()).collect();
        assert_eq!(texts, ["a photo of embedding:me-1", "a photo of embedding:me-2"]);
    }
}
