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
use idembed_diffusion::text_encoders::{TextEncoders, TokenEmbeds};
use idembed_diffusion::unet::{PictureSizes, ProjectedContext, UNet, UNetInput};
use idembed_diffusion::{Compute, DeviceChoice, DtypeChoice, ModelFiles, StableDiffusion};
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
        let context = unet.project(&states)?;
        measure(compute, runs, || predict(&unet, &latents, &times, &context).map(drop))
    })
}

/// The noise of latents at the model's own size.
fn predict(unet: &UNet, latents: &Tensor, times: &Tensor, context: &ProjectedContext) -> Result<Tensor> {
    let side = 8 * latents.size()[3];
    let added = unet.added(context, PictureSizes::whole(side, side))?;
    Ok(unet.forward(UNetInput { added: added.as_ref(), ..UNetInput::new(latents, times, context) }, None)?)
}

/// One step of learning an embedding: text encoders and U-Net at batch 1, forward and backward, the gradient of the
/// noise loss with respect to one token's embedding in each encoder.
fn train_step(model: &Path, compute: Compute, runs: usize) -> Result<Vec<f64>> {
    const LEARNED: i64 = 5;
    let encoders = TextEncoders::load(&ModelFiles::open(model)?, compute)?;
    let unet = UNet::load(&model.join("unet"), compute)?;
    let (latents, times, _) = inputs(&unet, compute, 1)?;
    let target = latents.to_kind(Kind::Float);
    let ids: Vec<i64> = (0..encoders.first().model.max_positions()).collect();
    let tables = encoders.iter().map(|encoder| encoder.embed(&ids)).collect::<std::result::Result<Vec<_>, _>>()?;
    let token = |table: &Tensor| table.narrow(1, LEARNED, 1).copy().set_requires_grad(true);
    let tokens: Vec<Tensor> = tables.iter().map(token).collect();
    measure(compute, runs, || {
        let embeds = tables.iter().zip(&tokens).map(|(table, token)| {
            let after = table.narrow(1, LEARNED + 1, table.size()[1] - LEARNED - 1);
            Tensor::f_cat(&[&table.narrow(1, 0, LEARNED), token, &after], 1)
        });
        let embeds = embeds.collect::<std::result::Result<Vec<_>, _>>()?;
        let ends = vec![ids.len() as i64 - 1; encoders.count()];
        let context = unet.project(&encoders.encode(&TokenEmbeds { embeds, ends })?.into())?;
        let noise = predict(&unet, &latents, &times, &context)?.to_kind(Kind::Float);
        let loss = noise.f_mse_loss(&target, Reduction::Mean)?;
        let _gradients = Tensor::f_run_backward(&[loss], &tokens, false, false)?;
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

fn inputs(unet: &UNet, compute: Compute, batch: i64) -> Result<(Tensor, Tensor, TextStates)> {
    let config = unet.config();
    let side = config.sample_size.unwrap_or(64);
    let draw = |seed, shape: &[i64]| -> Result<Tensor> {
        Ok(seeded_noise(seed, shape, 1)?.remove(0).to_device(compute.device).to_kind(compute.kind))
    };
    let latents = draw(1, &[batch, config.channels, side, side])?;
    let times = Tensor::f_full([batch], 500.0, (Kind::Float, compute.device))?;
    let pooled = config.added.as_ref().map(|added| draw(3, &[batch, added.pooled_width])).transpose()?;
    let states = TextStates::shared(draw(2, &[batch, 77, config.cross_attention_dim])?);
    Ok((latents, times, TextStates { pooled, ..states }))
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
