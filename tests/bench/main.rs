//! One measurement of the networks, printed as one JSON object: the Rust half of `cargo xtask bench`.
//!
//! Usage: `bench MODEL unet_step|train_step|load f32|bf16 RUNS THREADS`, or `bench WEIGHTS detect f32 RUNS THREADS
//! PHOTO` for the face detector. Every measurement is a process of its own, so that its peak memory is its own too.
#![allow(clippy::print_stdout, reason = "the result goes to stdout")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::unet::{UNet, UNetInput};
use idembed_diffusion::{Compute, DeviceChoice, DtypeChoice, StableDiffusion};
use idembed_face::detect::Mtcnn;
use tch::{Kind, Reduction, Tensor};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, what, dtype, runs, threads, photo @ ..] = args.as_slice() else {
        return Err("usage: bench MODEL unet_step|train_step|load|detect f32|bf16 RUNS THREADS [PHOTO]".into());
    };
    idembed_weights::keep_freed_memory();
    tch::set_num_threads(threads.parse()?);
    let compute = Compute::resolve(DeviceChoice::Auto, dtype.parse::<DtypeChoice>()?)?;
    let (model, runs) = (Path::new(model), runs.parse()?);
    let seconds = match what.as_str() {
        "load" => load(model, compute)?,
        "unet_step" => unet_step(model, compute, runs)?,
        "train_step" => train_step(model, compute, runs)?,
        "detect" => detect(model, Path::new(photo.first().ok_or("detect needs a photo")?), compute, runs)?,
        other => return Err(format!("unknown measurement `{other}`").into()),
    };
    let line = serde_json::json!({
        "what": what,
        "dtype": compute.dtype_name(),
        "device": compute.to_string(),
        "seconds": median(seconds.clone()),
        "runs": seconds.len(),
        "peak_rss_mb": peak_rss_mb()?,
    });
    println!("{line}");
    Ok(())
}

/// Loading the whole folder. Weights that need no conversion are only mapped, here as in diffusers.
fn load(model: &Path, compute: Compute) -> Result<Vec<f64>> {
    let start = Instant::now();
    let _model = StableDiffusion::load(model, compute)?;
    Ok(vec![start.elapsed().as_secs_f64()])
}

/// One guided denoising step: the U-Net at batch 2 on the model's own size, without gradient.
fn unet_step(model: &Path, compute: Compute, runs: usize) -> Result<Vec<f64>> {
    let unet = UNet::load(&model.join("unet"), compute)?;
    let (latents, times, states) = inputs(&unet, compute, 2)?;
    tch::no_grad(|| {
        let context = unet.project(&TextStates::shared(states))?;
        measure(compute, runs, || {
            let _noise_pred = unet.forward(UNetInput::new(&latents, &times, &context), None)?;
            Ok(())
        })
    })
}

/// One step of learning an embedding: text encoder and U-Net at batch 1, forward and backward, the gradient of the
/// noise loss with respect to one token's embedding.
fn train_step(model: &Path, compute: Compute, runs: usize) -> Result<Vec<f64>> {
    let text_encoder = idembed_clip::ClipTextModel::load(&model.join("text_encoder"), compute)?;
    let unet = UNet::load(&model.join("unet"), compute)?;
    let (latents, times, _) = inputs(&unet, compute, 1)?;
    let target = latents.to_kind(Kind::Float);
    let ids = Tensor::f_arange(text_encoder.max_positions(), (Kind::Int64, compute.device))?.unsqueeze(0);
    let table = tch::no_grad(|| text_encoder.embed_tokens(&ids))?.to_kind(Kind::Float);
    let token = table.narrow(1, 5, 1).copy().set_requires_grad(true);
    measure(compute, runs, || {
        let embeds = Tensor::f_cat(&[&table.narrow(1, 0, 5), &token, &table.narrow(1, 6, table.size()[1] - 6)], 1)?;
        let context = unet.project(&TextStates::shared(text_encoder.encode(&embeds)?))?;
        let noise = unet.forward(UNetInput::new(&latents, &times, &context), None)?.to_kind(Kind::Float);
        let loss = noise.f_mse_loss(&target, Reduction::Mean)?;
        let _gradients = Tensor::f_run_backward(&[loss], &[&token], false, false)?;
        Ok(())
    })
}

/// Finding the faces of a photo that is decoded already.
fn detect(weights: &Path, photo: &Path, compute: Compute, runs: usize) -> Result<Vec<f64>> {
    let detector = Mtcnn::load(weights, compute)?;
    let picture = image::open(photo)?.into_rgb8();
    measure(compute, runs, || match detector.detect(&picture)?.is_empty() {
        true => Err("no face was found".into()),
        false => Ok(()),
    })
}

fn inputs(unet: &UNet, compute: Compute, batch: i64) -> Result<(Tensor, Tensor, Tensor)> {
    let config = unet.config();
    let side = config.sample_size.unwrap_or(64);
    let draw = |seed, shape: &[i64]| -> Result<Tensor> {
        Ok(seeded_noise(seed, shape, 1)?.remove(0).to_device(compute.device).to_kind(compute.kind))
    };
    let latents = draw(1, &[batch, config.channels, side, side])?;
    let times = Tensor::f_full([batch], 500.0, (Kind::Float, compute.device))?;
    Ok((latents, times, draw(2, &[batch, 77, config.cross_attention_dim])?))
}

/// One run to warm up, then the timed ones.
fn measure(compute: Compute, runs: usize, mut body: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let synchronize = || {
        if let tch::Device::Cuda(index) = compute.device {
            tch::Cuda::synchronize(index as i64);
        }
    };
    body()?;
    (0..runs)
        .map(|_| {
            synchronize();
            let start = Instant::now();
            body()?;
            synchronize();
            Ok(start.elapsed().as_secs_f64())
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The most memory this process ever had resident, as the kernel counts it.
fn peak_rss_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the kernel does not tell VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
}
