//! Noise schedules and samplers against diffusers (`fixtures/schedulers/generate.py`).

use std::collections::BTreeMap;
use std::path::Path;

use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::schedulers::{self, NoiseSchedule, SchedulerConfigJson, SchedulerKind};
use idembed_integration_tests::{Parity, fixture_dir, max_relative, read_json, read_safetensors};
use serde_json::Value;
use tch::Tensor;

/// Relative to the largest magnitude of each state.
const LIMIT: f64 = 1e-4;
/// Relative to the largest number drawn. A number is `sqrt(-2 ln u) cos(2 pi v)`: torch's vector code rounds the angle twice in
/// f32, up to 7e-7, its plain code once.
const NOISE_LIMIT: f64 = 1e-6;
/// The synthetic model returns this share of its input, plus noise from the fixture.
const FEEDBACK: f64 = 0.3;

#[test]
fn trajectories() {
    let folder = fixture_dir("schedulers");
    let reference = read_safetensors(&folder.join("reference.safetensors"));
    let mut worst: BTreeMap<String, f64> = BTreeMap::new();
    for case in read_json(&folder.join("cases.json")).as_array().unwrap() {
        let name = format!("{}/{}", case["config"].as_str().unwrap(), case["sampler"].as_str().unwrap());
        let difference = run(&folder, &reference, case);
        let so_far = worst.entry(name).or_default();
        *so_far = so_far.max(difference);
    }
    let mut parity = Parity::new();
    for (name, difference) in worst {
        parity.check(&format!("schedulers/{name}"), difference, LIMIT);
    }
    parity.finish();
}

/// Repeats one run of the reference; the largest difference of timesteps, initial noise level and the states that the fixture keeps.
fn run(folder: &Path, reference: &BTreeMap<String, Tensor>, case: &Value) -> f64 {
    let (config, sampler) = (case["config"].as_str().unwrap(), case["sampler"].as_str().unwrap());
    let number = |field: &str| case[field].as_u64().unwrap() as usize;
    let (steps, eta) = (number("steps"), &case["eta"]);
    let states = &reference[&format!("states/{config}/{sampler}/{steps}/{eta}")];
    let model_noise = &reference[&format!("model_noise/{}", case["model_noise"])];

    let json = SchedulerConfigJson::read(&folder.join("configs").join(format!("{config}.json"))).unwrap();
    let kind: SchedulerKind = sampler.parse().unwrap();
    let mut scheduler = schedulers::build_with_eta(kind, &json, steps, eta.as_f64().unwrap())
        .unwrap_or_else(|error| panic!("{case}: {error}"));
    let expected: Vec<f64> = case["timesteps"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap()).collect();
    assert_eq!(scheduler.timesteps().len(), expected.len(), "{case}");
    let mut worst = max_relative(&Tensor::from_slice(scheduler.timesteps()), &Tensor::from_slice(&expected));
    let init_noise_sigma = case["init_noise_sigma"].as_f64().unwrap();
    worst = worst.max((scheduler.init_noise_sigma() / init_noise_sigma - 1.0).abs());

    let begin = number("begin") * scheduler.entries_per_step();
    let draws = scheduler.noise_draws().saturating_sub(begin);
    let noise = noise_of_every_sample(case["seed"].as_u64().unwrap(), &states.size()[1..], draws);
    let mut latents = match begin {
        0 => &noise[0] * scheduler.init_noise_sigma(),
        _ => scheduler.add_noise(&model_noise.get(-1), &noise[0], begin).unwrap(),
    };
    let mut reached = vec![latents.shallow_clone()];
    for index in begin..expected.len() {
        let input = scheduler.scale_model_input(&latents, index).unwrap();
        let output = input * FEEDBACK + model_noise.get(index as i64 % model_noise.size()[0]);
        latents = scheduler.step(&output, index, &latents, noise.get(1 + index - begin)).unwrap();
        reached.push(latents.shallow_clone());
    }
    for (row, at) in [0, reached.len() / 2, reached.len() - 1].into_iter().enumerate() {
        worst = worst.max(max_relative(&reached[at], &states.get(row as i64)));
    }
    worst
}

/// The first latents and the noise of each step; every sample of the batch has a seed of its own.
fn noise_of_every_sample(seed: u64, shape: &[i64], steps: usize) -> Vec<Tensor> {
    let one = [&[1], &shape[1..]].concat();
    let samples: Vec<Vec<Tensor>> =
        (0..shape[0] as u64).map(|index| seeded_noise(seed + index, &one, 1 + steps).unwrap()).collect();
    (0..=steps).map(|draw| Tensor::cat(&samples.iter().map(|sample| &sample[draw]).collect::<Vec<_>>(), 0)).collect()
}

#[test]
fn training_noise_and_targets() {
    let folder = fixture_dir("schedulers");
    let reference = read_safetensors(&folder.join("reference.safetensors"));
    let mut parity = Parity::new();
    for name in reference.keys().filter_map(|key| key.strip_prefix("training/")?.strip_suffix("/noisy")) {
        let expected = |what: &str| &reference[&format!("training/{name}/{what}")];
        let json = SchedulerConfigJson::read(&folder.join("configs").join(format!("{name}.json"))).unwrap();
        let schedule = NoiseSchedule::from_config(&json).unwrap();
        let timesteps: Vec<i64> = expected("timesteps").try_into().unwrap();
        let (latents, noise) = (expected("latents"), expected("noise"));
        let noisy = schedule.add_noise(latents, noise, &timesteps).unwrap();
        let velocity = schedule.velocity(latents, noise, &timesteps).unwrap();
        let target = schedule.training_target(latents, noise, &timesteps).unwrap();
        let every_20th = |values: &[f64]| Tensor::from_slice(&values.iter().step_by(20).copied().collect::<Vec<_>>());
        let worst = [
            max_relative(&noisy, expected("noisy")),
            max_relative(&velocity, expected("velocity")),
            max_relative(&target, expected("target")),
            max_relative(&every_20th(&schedule.betas), expected("every_20th_beta")),
            max_relative(&every_20th(&schedule.alphas_cumprod), expected("every_20th_alpha_cumprod")),
        ];
        parity.check(&format!("schedulers/{name}/training"), worst.into_iter().fold(0.0, f64::max), LIMIT);
    }
    parity.finish();
}

/// The same seed means the same picture, but for the last digits, which depend on the instruction set. The contract is torch's
/// f32 noise, so the expected values are no f64 truth.
#[test]
fn seeded_noise_is_that_of_torch() {
    let reference = read_safetensors(&fixture_dir("schedulers").join("reference.safetensors"));
    let mut parity = Parity::new();
    for (name, expected) in &reference {
        let Some((seed, shape)) = name.strip_prefix("seeded/").and_then(|rest| rest.split_once('/')) else { continue };
        let size = expected.size();
        let draws = seeded_noise(seed.parse().unwrap(), &size[1..], size[0] as usize).unwrap();
        let draws = Tensor::stack(&draws, 0);
        parity.check_tensors(&format!("schedulers/noise/{seed}/{shape}"), &draws, expected, NOISE_LIMIT);
    }
    parity.finish();
}
