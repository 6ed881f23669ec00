//! The loop of the training on a stage so small that its steps take no time.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use idembed_diffusion::noise::seeded_noise;
use idembed_optimizer::{AdamWConfig, Decay, Ema, LearningRate};
use idembed_pretrain::{Check, Losses, Outcome, PretrainError, Recipe, Result, RunOptions, Share, Task, train};
use idembed_weights::{Compute, Init, Parameters, TensorFile, Weights};
use image::RgbImage;
use tch::{Device, Kind, Tensor};

const WIDTH: i64 = 3;

/// Learns `y = 2 x` from noise.
struct Line {
    batch: usize,
    /// A step with a loss that is no number.
    broken_at: usize,
}

impl Task for Line {
    type Batch = (Tensor, usize);
    type Network = (Tensor, Tensor);

    fn name(&self) -> &'static str {
        "line"
    }

    fn settings(&self) -> Vec<(String, String)> {
        vec![("width".to_owned(), WIDTH.to_string())]
    }

    fn build(&self, parameters: &Parameters, kind: Kind) -> Result<Self::Network> {
        let weights = Weights::from_parameters(parameters, kind);
        let root = weights.root();
        Ok((
            root.tensor("line.weight", &[WIDTH, WIDTH], Init::fan_in(WIDTH))?,
            root.tensor("line.bias", &[WIDTH], Init::fan_in(WIDTH))?,
        ))
    }

    fn import(&self, parameters: &Parameters, folder: &Path) -> Result<()> {
        Ok(parameters.set(&TensorFile::read(&folder.join("line.safetensors"), "line", 1 << 20)?.tensors)?)
    }

    fn draw(&self, step: usize, share: Share) -> Result<Self::Batch> {
        let samples = share.samples(self.batch);
        let all = seeded_noise(step as u64, &[self.batch as i64, WIDTH], 1)?.remove(0);
        Ok((all.f_narrow(0, samples.start as i64, samples.len() as i64)?, step))
    }

    fn losses(&self, (weight, bias): &Self::Network, (x, step): &Self::Batch, _: Device) -> Result<Losses> {
        let factor = if *step == self.broken_at { f64::NAN } else { 1.0 };
        let total = (x.f_linear(weight, Some(bias))? - x * 2.0).square().mean(Kind::Float) * factor;
        Ok(Losses { parts: vec![("square", total.shallow_clone())], total })
    }

    fn glance(&self, network: &Self::Network) -> Result<Vec<Check>> {
        self.check(network)
    }

    fn check(&self, (weight, _): &Self::Network) -> Result<Vec<Check>> {
        let off = (weight - Tensor::eye(WIDTH, (Kind::Float, Device::Cpu)) * 2.0).abs().max();
        Ok(vec![Check { name: "off", value: off.f_double_value(&[])?, unit: "" }])
    }

    fn sheet(&self, _: &Self::Network) -> Result<RgbImage> {
        Ok(RgbImage::new(1, 1))
    }

    fn export(&self, _: &Self::Network, parameters: &Parameters, folder: &Path) -> Result<()> {
        Ok(parameters.save(&folder.join("line.safetensors"), Kind::Float)?)
    }
}

fn line(batch: usize) -> Line {
    Line { batch, broken_at: usize::MAX }
}

fn recipe(batch: usize, steps: usize) -> Recipe {
    Recipe {
        seed: 3,
        batch,
        learning_rate: LearningRate { base: 0.05, warm_up: 5, steps, decay: Decay::Cosine },
        optimizer: AdamWConfig { weight_decay: 0.001, ..AdamWConfig::default() },
        clip_norm: 1.0,
        ema: Ema { decay: 0.95 },
    }
}

fn options(out: &Path, threads: usize) -> RunOptions {
    RunOptions {
        out: out.to_path_buf(),
        from: None,
        compute: Compute::CPU_F32,
        threads,
        time: None,
        line_every: Duration::ZERO,
        save_every: Duration::ZERO,
        sheet_every: Duration::from_secs(1000),
    }
}

/// Trains until the line for step `until` is said.
fn run_until(stage: &Line, recipe: &Recipe, options: &RunOptions, until: usize) -> Result<(Outcome, Vec<String>)> {
    let stop = AtomicBool::new(false);
    let said = RefCell::new(Vec::new());
    let outcome = train(stage, recipe, options, &stop, &mut |line| {
        if line.starts_with(&format!("step {until} ")) {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        said.borrow_mut().push(line.to_owned());
    })?;
    Ok((outcome, said.into_inner()))
}

fn weights(folder: &Path) -> Vec<u8> {
    std::fs::read(folder.join("line.safetensors")).unwrap()
}

#[test]
fn it_learns_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, said) = run_until(&line(8), &recipe(8, 300), &options(folder.path(), 1), 0).unwrap();
    assert!(outcome.complete && outcome.step == 300);
    assert!(outcome.checks[0].value < 0.01, "{:?}", outcome.checks);
    assert_eq!(said.len(), 300);
    assert!(said[9].starts_with("step 10  80 of 2400 samples  loss "), "{}", said[9]);
    assert!(said[9].contains("(square ") && said[9].contains("  off ") && said[9].contains(" samples/s  "));
    assert!(folder.path().join("line.png").is_file());
}

#[test]
fn going_on_ends_where_an_unbroken_run_does() {
    let (stage, recipe) = (line(7), recipe(7, 40));
    for threads in [1, 3] {
        let whole = tempfile::tempdir().unwrap();
        run_until(&stage, &recipe, &options(whole.path(), threads), 0).unwrap();
        let broken = tempfile::tempdir().unwrap();
        for until in [1, 17, 18, 0] {
            let (outcome, said) = run_until(&stage, &recipe, &options(broken.path(), threads), until).unwrap();
            assert_eq!(outcome.complete, until == 0);
            assert_eq!(said[0].starts_with("going on"), until != 1, "{}", said[0]);
        }
        assert_eq!(weights(whole.path()), weights(broken.path()));
    }
}

#[test]
fn threads_share_a_step_and_change_only_the_rounding() {
    let (stage, recipe) = (line(7), recipe(7, 25));
    let learned = |threads| {
        let folder = tempfile::tempdir().unwrap();
        run_until(&stage, &recipe, &options(folder.path(), threads), 0).unwrap();
        let tensors = Tensor::read_safetensors(folder.path().join("line.safetensors")).unwrap();
        let flat = tensors.into_iter().map(|(name, tensor)| (name, tensor.reshape([-1])));
        Tensor::cat(&flat.collect::<BTreeMap<_, _>>().into_values().collect::<Vec<_>>(), 0)
    };
    let alone = learned(1);
    for threads in [3, 50] {
        assert!((&alone - learned(threads)).abs().max().double_value(&[]) < 1e-5);
    }
}

#[test]
fn a_loss_that_is_no_number_keeps_the_checkpoint_before() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Line { batch: 4, broken_at: 11 };
    let error = run_until(&broken, &recipe(4, 20), &options(folder.path(), 2), 0).unwrap_err();
    assert!(matches!(error, PretrainError::NotFinite { what: "the loss", step: 12 }), "{error:?}");
    let (outcome, said) = run_until(&line(4), &recipe(4, 20), &options(folder.path(), 2), 0).unwrap();
    assert!(said[0].contains("after step 11") && outcome.complete, "{}", said[0]);
}

#[test]
fn a_network_can_be_trained_further_elsewhere() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (trained, _) = run_until(&line(4), &recipe(4, 400), &options(first.path(), 1), 0).unwrap();
    let further = RunOptions { from: Some(first.path().to_path_buf()), ..options(second.path(), 1) };
    let off = |steps| run_until(&line(4), &recipe(4, steps), &further, 0).unwrap().0.checks[0].value;
    let (before, after) = (trained.checks[0].value, off(1));
    assert!(before < 0.2 && (before - after).abs() < 0.05, "{before} {after}");
    // From then on the checkpoint counts.
    std::fs::remove_file(first.path().join("line.safetensors")).unwrap();
    assert!(off(2) < 0.2);
    let missing = RunOptions { out: first.path().join("new"), ..further.clone() };
    assert!(run_until(&line(4), &recipe(4, 1), &missing, 0).unwrap_err().to_string().contains("line.safetensors"));
}

#[test]
fn a_training_can_be_made_longer_or_shorter_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), 1);
    for (steps, reached) in [(10, 10), (20, 20), (15, 20)] {
        let (outcome, _) = run_until(&line(4), &recipe(4, steps), &options, 0).unwrap();
        assert!(outcome.complete && outcome.step == reached, "{outcome:?}");
    }
}

#[test]
fn other_settings_and_damaged_checkpoints_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), 1);
    run_until(&line(4), &recipe(4, 20), &options, 5).unwrap();
    let error = run_until(&line(5), &recipe(5, 20), &options, 0).unwrap_err();
    assert!(error.to_string().contains("batch 4, this run has 5"), "{error}");
    assert!(error.hint().unwrap().contains("--out"));

    let checkpoint = folder.path().join("line.ckpt");
    let whole = std::fs::read(&checkpoint).unwrap();
    for length in [0, 7, 100, whole.len() - 1] {
        std::fs::write(&checkpoint, &whole[..length]).unwrap();
        let error = run_until(&line(4), &recipe(4, 20), &options, 0).unwrap_err();
        assert!(error.to_string().contains("is not a usable checkpoint"), "{error}");
        assert_eq!(std::fs::read(&checkpoint).unwrap(), &whole[..length], "it is left as it is");
    }
    std::fs::copy(folder.path().join("line.safetensors"), &checkpoint).unwrap();
    let error = run_until(&line(4), &recipe(4, 20), &options, 0).unwrap_err();
    assert!(error.to_string().contains("is not a usable checkpoint"), "{error}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |recipe: Recipe| {
        let error = run_until(&line(4), &recipe, &options(folder.path(), 1), 0).unwrap_err();
        assert!(matches!(error, PretrainError::Setting { .. }), "{error:?}");
        error.to_string()
    };
    assert!(refused(recipe(4, 0)).contains("number of steps is 0"));
    assert!(refused(recipe(0, 4)).contains("batch is 0"));
    assert!(refused(Recipe { seed: u64::MAX, ..recipe(4, 4) }).contains("seed"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
