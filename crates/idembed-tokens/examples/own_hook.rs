//! A training loop of one's own that watches: one vector learns a picture (textual inversion), and at every step a hook
//! tells how much attention each layer pays to it.
//!
//! `cargo run -p idembed-tokens --example own_hook`

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::path::Path;

use idembed_diffusion::hook::{AttentionHook, Observed, Site};
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::{Compute, StableDiffusion};
use idembed_optimizer::{AdamW, AdamWConfig};
use idembed_tokens::objective::{Batch, NoiseWeights, losses};
use idembed_tokens::{Layout, Prompt, TrainingPrompt};
use tch::{Kind, Tensor};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini");
const STEPS: usize = 10;

/// The share of attention that a token gets, by layer.
struct Shares {
    position: i64,
    by_layer: Vec<(i64, f64)>,
}

impl AttentionHook for Shares {
    fn wants(&self, _: &Site<'_>) -> bool {
        true
    }

    fn observe(&mut self, site: &Site<'_>, observed: &Observed<'_>) -> idembed_diffusion::Result<()> {
        // Only a number is kept: a map would keep its graph alive.
        let share = observed.probs.f_detach()?.f_select(-1, self.position)?.f_mean(Kind::Float)?;
        self.by_layer.push((site.width, share.f_double_value(&[])?));
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = StableDiffusion::load(Path::new(MODEL), Compute::CPU_F32)?;
    let picture = tch::vision::image::load(Path::new(MODEL).join("portraits/person4_a.png"))?;
    let picture = picture.to_kind(Kind::Float).unsqueeze(0) / 127.5 - 1.0;
    let latents = tch::no_grad(|| model.vae.encode(&picture))?.mean;

    let encoders = &model.text_encoders;
    let prompt = Prompt::parse("a photo of <me>", encoders.tokenizers())?;
    let position = prompt.placeholders[0].positions[0];
    let start = encoders.first().embed(&encoders.first().tokenizer.token_ids("person")?)?.get(0).get(0);
    let train_timesteps = model.noise_schedule.train_timesteps;
    let prompt = TrainingPrompt::new(encoders.embed(&prompt.ids)?, position, Layout::staged(1, false), train_timesteps);

    let vector = start.copy().set_requires_grad(true);
    let rate = 0.05 * start.square().mean(Kind::Float).sqrt().double_value(&[]);
    let mut optimizer = AdamW::new(AdamWConfig::default(), &[&vector])?;
    for step in 0..STEPS {
        let timesteps = vec![(train_timesteps * (2 * step + 1) / (2 * STEPS)) as i64];
        let noise = seeded_noise(step as u64, &latents.size(), 1)?.remove(0);
        let batch = Batch { latents: latents.shallow_clone(), noise, timesteps, mask: None };

        let rows = Tensor::f_stack(&[&vector, &vector], 0)?;
        let states = prompt.states(encoders, &[rows], &batch.timesteps)?;
        let mut shares = Shares { position, by_layer: Vec::new() };
        let loss = losses(&model, &states, &batch, None, NoiseWeights::default(), Some(&mut shares))?.noise;
        let gradients = Tensor::f_run_backward(&[&loss], &[&vector], false, false)?;
        optimizer.update(&[&vector], &gradients, &[rate])?;

        println!(
            "timestep {:3}, noise loss {:.3}; attention to <me> by layer:",
            batch.timesteps[0],
            loss.double_value(&[])
        );
        let layers = shares.by_layer.iter().map(|(width, share)| format!("{width}x{width} {:.1} %", 100.0 * share));
        println!("    {}", layers.collect::<Vec<_>>().join(", "));
    }
    Ok(())
}
