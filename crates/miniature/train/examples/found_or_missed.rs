//! Does learning a person from one photo miss what the model knows of them, or find something that fits the photo better?
//!
//! For people whom the model knows by name, a perfect answer exists. Here each is learned from one drawn photo, and the noise
//! loss is measured over the same noises and timesteps: with the class word, with the name, and with what was learned; on the
//! photo that was learned from, and on others of the same person; in the face, and around it. Learned above named: it was not
//! found. Learned below named on the photo alone: the photo was learned and not the person.
//!
//! `cargo run -p idembed-pretrain --example found_or_missed -- --people 3 --steps 200 --lr 0.01`
#![allow(clippy::print_stdout, reason = "a command-line program")]

use anyhow::{Context as _, Result};
use clap::Parser;
use idembed_diffusion::StableDiffusion;
use idembed_diffusion::conditioning::Conditioning;
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::unet::UNetInput;
use idembed_studio::{Learn, LearnWishes, Model, Photo, Studio};
use idembed_tokens::{Identities, Method, Prompt, condition};
use idembed_weights::{Compute, DeviceChoice, DtypeChoice};
use idembed_world::{Drawn, SIDE, Sample, Who};
use tch::{Kind, Tensor};

/// Compare the noise losses of names and of what is learned.
#[derive(Parser)]
struct Args {
    /// The model
    #[arg(long, default_value = "mini")]
    model: String,
    /// How many people
    #[arg(long, default_value_t = 3)]
    people: u32,
    /// Photos of each beside the one that is learned
    #[arg(long, default_value_t = 3)]
    others: u64,
    /// The method; default: the model's
    #[arg(long)]
    method: Option<Method>,
    /// Steps of learning; default: the model's
    #[arg(long)]
    steps: Option<usize>,
    /// The learning rate; default: the model's
    #[arg(long)]
    lr: Option<f64>,
    /// The weight of the attention loss; default: the method's
    #[arg(long)]
    lambda: Option<f64>,
    /// Count the noise loss only in the face
    #[arg(long)]
    masked_noise: bool,
    /// Noises for each timestep
    #[arg(long, default_value_t = 8)]
    noises: usize,
}

/// The timesteps at which losses are measured: the middle of each tenth.
const TIMESTEPS: [i64; 10] = [50, 150, 250, 350, 450, 550, 650, 750, 850, 950];
/// Not among the seeds of any training.
const SEED: u64 = (1 << 63) | (1 << 40);

fn main() -> Result<()> {
    let args = Args::parse();
    let compute = Compute::resolve(DeviceChoice::default(), DtypeChoice::default())?;
    let own = Model::find(&args.model)?;
    let model = StableDiffusion::load(&own.folder, compute)?;
    let studio = Studio::load(own, compute)?;
    let method = args.method.unwrap_or_else(|| studio.model().usual_method(None));
    let template = studio.model().learn_config("me", method).template;

    println!("person, pictures, where: noise loss of the class word, of the name, of what was learned");
    for who in 0..args.people {
        let photos: Vec<Drawn> = (0..=args.others).map(|index| photo(who, index)).collect::<Result<_>>()?;
        let wishes = LearnWishes {
            steps: args.steps,
            lr: args.lr,
            lambda: args.lambda,
            masked_noise: args.masked_noise.then_some(true),
            ..LearnWishes::default()
        };
        let how = Learn { method: Some(method), wishes, ..Learn::default() };
        let learned = studio.learn("me", &Photo::from(photos[0].picture.clone()), how)?;
        let name = Who::Named(who).name().context("somebody with a name")?;
        let identities = Identities::named([("me", &learned.identity)])?;
        let (template_of_me, tokenizers) = (template.replace("{}", "<me>"), model.text_encoders.tokenizers());
        let text = Prompt::parse_with(&template_of_me, tokenizers, |name| identities.words(name))?;
        let conditionings = [
            model.condition(&template.replace("{}", "person"))?,
            model.condition(&template.replace("{}", &name))?,
            condition(&model, &text, &identities, false)?,
        ];
        for (pictures, of) in [(&photos[..1], "the learned one"), (&photos[1..], "others")] {
            let losses = conditionings.iter().map(|it| noise_loss(&model, pictures, it, args.noises));
            let losses = losses.collect::<Result<Vec<[f64; 2]>>>()?;
            for (part, place) in ["face", "around"].into_iter().enumerate() {
                let losses: Vec<String> = losses.iter().map(|loss| format!("{:.5}", loss[part])).collect();
                println!("{name}, {of}, {place}: {}", losses.join("  "));
            }
        }
    }
    Ok(())
}

/// A plain photo of a person whom the model knows.
fn photo(who: u32, index: u64) -> Result<Drawn> {
    Ok(idembed_world::draw(&Sample::plain(Who::Named(who), SEED + index), SIDE)?)
}

/// The means over pictures, timesteps and noises in the face and around it.
fn noise_loss(model: &StableDiffusion, pictures: &[Drawn], text: &Conditioning, noises: usize) -> Result<[f64; 2]> {
    tch::no_grad(|| {
        let mut sums = [0.0; 2];
        for drawn in pictures {
            let side = i64::from(SIDE);
            let pixels =
                Tensor::f_from_slice(drawn.picture.as_raw())?.f_view([1, side, side, 3])?.f_permute([0, 3, 1, 2])?;
            let pixels = pixels.f_to_kind(Kind::Float)?.f_div_scalar(127.5)?.f_sub_scalar(1.0)?;
            let latents = model.vae.encode(&pixels)?.mean;
            let (_, channels, height, width) = latents.size4()?;
            let count = noises as i64;
            let face = Tensor::f_from_slice(drawn.masks.faces.first().context("a face")?.as_raw())?;
            let face = face.f_view([1, 1, side, side])?.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?;
            let face = face.f_adaptive_avg_pool2d([height, width])?;
            let around = face.f_neg()?.f_add_scalar(1.0)?;
            let latents = latents.f_expand([count, channels, height, width], false)?;
            for timestep in TIMESTEPS {
                let noise = seeded_noise(timestep as u64, &[count, channels, height, width], 1)?.remove(0);
                let timesteps = vec![timestep; noises];
                let noisy = model.noise_schedule.add_noise(&latents, &noise, &timesteps)?;
                let target = model.noise_schedule.training_target(&latents, &noise, &timesteps)?;
                let states = &text.pieces()[text.piece_at(timestep as f64)].states;
                let context = model.unet.project(states)?;
                let timesteps = Tensor::f_from_slice(&timesteps)?.f_to_kind(Kind::Float)?;
                let predicted = model.unet.forward(UNetInput::new(&noisy, &timesteps, &context), None)?;
                let error = predicted.f_to_kind(Kind::Float)?.f_sub(&target)?.f_square()?;
                for (sum, part) in sums.iter_mut().zip([&face, &around]) {
                    let share = part.f_mean(Kind::Float)?;
                    *sum += error.f_mul(part)?.f_mean(Kind::Float)?.f_div(&share)?.f_double_value(&[])?;
                }
            }
        }
        Ok(sums.map(|sum| sum / (pictures.len() * TIMESTEPS.len()) as f64))
    })
}
