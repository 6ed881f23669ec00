//! The prompts that pictures are learned with: the run's template, or a picture's own.

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::text_encoders::TextEncoders;
use tch::Tensor;

use crate::config::{LearnConfig, template_parts};
use crate::contexts::TrainingPrompt;
use crate::examples::Example;
use crate::layout::Layout;
use crate::prompt::Prompt;
use crate::{Result, TokensError};

/// The training prompts of a run, each once.
#[derive(Debug)]
pub(crate) struct TrainingPrompts {
    prompts: Vec<TrainingPrompt>,
    /// For each picture, the number of its prompt.
    of_pictures: Vec<usize>,
}

impl TrainingPrompts {
    /// The prompts of the pictures.
    ///
    /// # Errors
    /// A template without its one placeholder, or one that is too long.
    pub(crate) fn new(
        model: &StableDiffusion,
        config: &LearnConfig,
        layout: &Layout,
        pictures: &[Example],
    ) -> Result<Self> {
        let mut templates: Vec<&str> = Vec::new();
        let of_pictures = pictures.iter().map(|picture| {
            let template = picture.template.as_deref().unwrap_or(&config.template);
            place_in(&mut templates, template)
        });
        let of_pictures = of_pictures.collect();
        let prompts = templates.into_iter().map(|template| parse(model, &config.name, layout, template));
        Ok(TrainingPrompts { prompts: prompts.collect::<Result<_>>()?, of_pictures })
    }

    /// Whether pictures have different prompts.
    pub(crate) fn differ(&self) -> bool {
        self.prompts.len() > 1
    }

    /// For each sample, the number of the prompt of the picture that it shows.
    pub(crate) fn of_samples(&self, pictures: &[usize]) -> Vec<usize> {
        pictures.iter().map(|&picture| self.of_pictures[picture]).collect()
    }

    /// For each prompt, the token positions of the identity.
    pub(crate) fn positions(&self) -> Vec<Vec<i64>> {
        self.prompts.iter().map(TrainingPrompt::positions).collect()
    }

    /// The text states of samples that belong to the prompts of these numbers, as [`TrainingPrompt::states`].
    ///
    /// Each prompt that occurs is one call of the encoders: what they pool stands at the end of a text, and texts end at
    /// different positions.
    pub(crate) fn states(
        &self,
        encoders: &TextEncoders,
        tokens: &[Tensor],
        samples: &[usize],
        timesteps: &[i64],
    ) -> Result<TextStates> {
        let mut used = Vec::new();
        for &prompt in samples {
            place_in(&mut used, prompt);
        }
        if let [prompt] = used[..] {
            return self.prompts[prompt].states(encoders, tokens, timesteps);
        }
        // The samples, prompt after prompt.
        let mut order = Vec::with_capacity(samples.len());
        let parts = used.into_iter().map(|prompt| {
            let own: Vec<usize> = (0..samples.len()).filter(|&sample| samples[sample] == prompt).collect();
            let own_timesteps: Vec<i64> = own.iter().map(|&sample| timesteps[sample]).collect();
            order.extend(own);
            self.prompts[prompt].states(encoders, tokens, &own_timesteps)
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let mut rows = vec![0; samples.len()];
        order.into_iter().enumerate().for_each(|(row, sample)| rows[sample] = row as i64);
        gathered(&parts, &rows)
    }

    /// The text states of every prompt with fixed vectors, as [`TrainingPrompt::fixed_states`].
    ///
    /// # Shapes
    /// - returns: `[prompts, tokens, sum of hidden]`
    pub(crate) fn fixed_states(&self, encoders: &TextEncoders, vectors: &[Tensor]) -> Result<Tensor> {
        let states = self.prompts.iter().map(|prompt| prompt.fixed_states(encoders, vectors));
        Ok(Tensor::f_cat(&states.collect::<Result<Vec<_>>>()?, 0)?)
    }
}

/// The place of an item in a list, at whose end it is put if it is not there yet.
fn place_in<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

/// A template with the identity at its `{}`.
fn parse(model: &StableDiffusion, name: &str, layout: &Layout, template: &str) -> Result<TrainingPrompt> {
    let (before, after) = template_parts(template)?;
    let text = format!("{before}<{name}>{after}");
    let prompt = Prompt::parse_with(&text, model.text_encoders.tokenizers(), |_| layout.words)?;
    let position = match &prompt.placeholders[..] {
        [placeholder] if placeholder.positions.len() == 1 => placeholder.positions[0],
        _ => {
            let expected = "a prompt with no <NAME> in it".to_owned();
            return Err(TokensError::Setting { what: "template", got: template.to_owned(), expected });
        }
    };
    for warning in &prompt.warnings {
        tracing::warn!("in the training prompt `{template}`, {warning}");
    }
    let embeds = model.text_encoders.embed(&prompt.ids)?;
    Ok(TrainingPrompt::new(embeds, position, layout.clone(), model.noise_schedule.train_timesteps))
}

/// The states of several batches as one, its rows in this order.
fn gathered(parts: &[TextStates], rows: &[i64]) -> Result<TextStates> {
    let rows = Tensor::f_from_slice(rows)?;
    let gather = |tensors: Vec<&Tensor>, dim: i64| -> Result<Tensor> {
        let joined = Tensor::f_cat(&tensors, dim)?;
        Ok(joined.f_index_select(dim, &rows.f_to_device(joined.device())?)?)
    };
    // Samples come before tokens and their numbers, and after layers where these have rows of their own.
    let states = |of: fn(&TextStates) -> &Tensor| gather(parts.iter().map(of).collect(), -3);
    let pooled: Option<Vec<&Tensor>> = parts.iter().map(|part| part.pooled.as_ref()).collect();
    Ok(TextStates {
        key: states(|part| &part.key)?,
        value: states(|part| &part.value)?,
        pooled: pooled.map(|pooled| gather(pooled, 0)).transpose()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use std::path::Path;

    use idembed_attention::Target;
    use idembed_diffusion::Compute;
    use tch::{Device, Kind};

    use super::*;
    use crate::Method;
    use crate::objective::{AttentionOptions, Batch, NoiseWeights, losses};
    use crate::start::word_vectors;
    use crate::trainer::attention_term;

    fn example(template: Option<&str>) -> Example {
        Example { image: Tensor::new(), mask: None, template: template.map(str::to_owned) }
    }

    /// The prompts of four pictures, the last two of which share one, and their layout.
    fn prompts(model: &StableDiffusion, per_layer: bool) -> (TrainingPrompts, Layout) {
        let config = LearnConfig::new("me", "person", Method::Sefi);
        let layout = Layout { layers: if per_layer { 2 } else { 1 }, ..Layout::staged(2, true) };
        let own = [None, Some("{} at the beach"), Some("a drawing of {}"), Some("a drawing of {}")];
        let prompts = TrainingPrompts::new(model, &config, &layout, &own.map(example)).unwrap();
        (prompts, layout)
    }

    fn mini() -> StableDiffusion {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini");
        StableDiffusion::load(&folder, Compute::CPU_F32).unwrap()
    }

    #[test]
    fn every_sample_has_the_states_and_positions_of_its_own_prompt() {
        let model = mini();
        let encoders = &model.text_encoders;
        for per_layer in [false, true] {
            let (prompts, layout) = prompts(&model, per_layer);
            assert!(prompts.differ());
            assert_eq!(prompts.of_samples(&[3, 1, 0, 2]), [2, 1, 0, 2]);
            let positions = prompts.positions();
            assert_eq!((positions.len(), &positions[1][..]), (3, &[1][..]));
            assert!(positions[0] != positions[2] && positions[2] != [1]);

            let shape = [layout.rows() as i64, encoders.first().model.hidden_size()];
            let tokens = [Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.02];
            let (samples, timesteps) = ([2, 1, 0, 2, 1], [10, 900, 400, 600, 100]);
            let states = prompts.states(encoders, &tokens, &samples, &timesteps).unwrap();
            for (sample, (&prompt, &timestep)) in samples.iter().zip(&timesteps).enumerate() {
                let alone = prompts.prompts[prompt].states(encoders, &tokens, &[timestep]).unwrap();
                for (got, expected) in [(&states.key, alone.key), (&states.value, alone.value)] {
                    let difference = (got.narrow(-3, sample as i64, 1) - expected).abs().max().double_value(&[]);
                    assert!(difference < 1e-5, "{sample}: {difference}");
                }
            }
        }
    }

    #[test]
    fn a_batch_of_different_prompts_has_the_mean_loss_of_its_samples() {
        let model = mini();
        let (prompts, layout) = prompts(&model, false);
        let wave = |shape: &[i64], step: f64| {
            let count: i64 = shape.iter().product();
            ((Tensor::arange(count, (Kind::Float, Device::Cpu)) * step).sin()).reshape(shape)
        };
        let class = word_vectors(&model, "class", "person").unwrap();
        let hidden = model.text_encoders.first().model.hidden_size();
        let tokens = [&class[0] + wave(&[layout.rows() as i64, hidden], 0.71) * 0.02];
        let (samples, timesteps) = ([2, 1, 0], [10, 900, 400]);
        let channels = model.unet.config().channels;
        let (latents, noise) = (wave(&[3, channels, 8, 8], 0.37), wave(&[3, channels, 8, 8], 0.91));
        let mask = wave(&[3, 1, 8, 8], 0.21).ge(0.0);
        for target in [Target::default(), Target::Mask] {
            let mut options = AttentionOptions::weighted(1.0).unwrap();
            options.loss.target = target;
            let term = attention_term(&model, &options, &prompts, &class).unwrap();
            let loss = |rows: &[usize]| {
                let of = |tensor: &Tensor| {
                    tensor.index_select(0, &Tensor::from_slice(&rows.iter().map(|&row| row as i64).collect::<Vec<_>>()))
                };
                let own: Vec<usize> = rows.iter().map(|&row| samples[row]).collect();
                let timesteps: Vec<i64> = rows.iter().map(|&row| timesteps[row]).collect();
                let states = prompts.states(&model.text_encoders, &tokens, &own, &timesteps).unwrap();
                let batch = Batch { latents: of(&latents), noise: of(&noise), timesteps, mask: Some(of(&mask)) };
                let term = term.of_samples(&own).unwrap();
                let losses = losses(&model, &states, &batch, Some(&term), NoiseWeights::default(), None).unwrap();
                [losses.noise, losses.attention.unwrap()].map(|loss| loss.double_value(&[]))
            };
            let together = loss(&[0, 1, 2]);
            let alone = [loss(&[0]), loss(&[1]), loss(&[2])];
            for (which, together) in together.into_iter().enumerate() {
                let mean = alone.iter().map(|losses| losses[which]).sum::<f64>() / 3.0;
                assert!(mean > 0.0 && (together / mean - 1.0).abs() < 1e-4, "{target:?} {which}: {together} {mean}");
            }
        }
    }

    #[test]
    fn templates_have_one_place_for_one_identity() {
        let model = mini();
        let config = LearnConfig::new("me", "person", Method::Sefi);
        let refused = |template: &str| {
            let pictures = [example(Some(template))];
            TrainingPrompts::new(&model, &config, &Layout::staged(1, false), &pictures).unwrap_err().to_string()
        };
        assert!(refused("a photo of me").contains("one {}"));
        assert!(refused("{} and {}").contains("one {}"));
        assert!(refused("{} and <you>").contains("no <NAME>"));
        assert!(refused("{} and <me>").contains("no <NAME>"));
        assert!(refused(&format!("{}{{}}", "photo ".repeat(90))).contains("comes after that"));
    }
}
