//! Steps, learning rates and averages of parameters against PyTorch, diffusers and prodigyopt
//! (`fixtures/optimizer/generate.py`).

use idembed_integration_tests::{Fixture, Parity};
use idembed_optimizer::{AdamW, AdamWConfig, Decay, Ema, LearningRate, Optimizer, OptimizerName, clip_by_global_norm};
use idembed_weights::channels_last;
use serde_json::Value;
use tch::Tensor;

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
}

fn numbers(value: &Value, key: &str) -> Vec<f64> {
    value[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn optimizer_schedule_and_average() {
    let fixture = Fixture::open("optimizer");
    let mut parity = Parity::new();
    let case = &fixture.cases;
    let (count, steps) = (case["tensors"].as_u64().unwrap() as usize, case["steps"].as_u64().unwrap() as usize);
    let named = |what: &str| -> Vec<Tensor> {
        (0..count).map(|index| fixture.tensor(&format!("{what}.{index}")).copy()).collect()
    };
    // In the memory order that parameters have in training; the gradients come in any.
    let ordered = |tensor: &Tensor| if tensor.dim() == 4 { channels_last(tensor).unwrap() } else { tensor.copy() };
    let start: Vec<Tensor> = named("start").iter().map(ordered).collect();
    let averages: Vec<Tensor> = start.iter().map(Tensor::copy).collect();
    let leaves: Vec<Tensor> = start.into_iter().map(|tensor| tensor.set_requires_grad(true)).collect();
    let (leaves, averages): (Vec<&Tensor>, Vec<&Tensor>) = (leaves.iter().collect(), averages.iter().collect());

    let betas = numbers(case, "betas");
    let config = AdamWConfig {
        beta1: betas[0],
        beta2: betas[1],
        eps: number(case, "eps"),
        weight_decay: number(case, "weight_decay"),
    };
    let mut optimizer = AdamW::new(config, &leaves).unwrap();
    let average = Ema { decay: number(case, "average") };
    let warm_up = case["warm_up"].as_u64().unwrap() as usize;
    let rate = LearningRate { base: number(case, "base_rate"), warm_up, steps, decay: Decay::Cosine };
    let (rates, decays, norms) = (numbers(case, "rates"), numbers(case, "decays"), numbers(case, "norms"));
    for step in 0..steps {
        let mut gradients = named(&format!("gradients.{step}"));
        let norm = clip_by_global_norm(&mut gradients, number(case, "clip_norm")).unwrap();
        parity.check(&format!("optimizer/norm.{step}"), (norm / norms[step] - 1.0).abs(), LIMIT);
        parity.check(&format!("optimizer/rate.{step}"), (rate.at(step) / rates[step] - 1.0).abs(), 1e-12);
        let off = (average.decay_at(step) - decays[step]).abs();
        parity.check_metric(&format!("optimizer/decay.{step}"), "difference", off, 1e-12);
        optimizer.update(&leaves, &gradients, &vec![rate.at(step); count]).unwrap();
        average.update(&averages, &leaves, step).unwrap();
    }
    for (index, (leaf, average)) in leaves.iter().zip(&averages).enumerate() {
        let expected = |what: &str| fixture.tensor(&format!("{what}.{index}"));
        parity.check_tensors(&format!("optimizer/end.{index}"), &leaf.detach(), expected("end"), LIMIT);
        parity.check_tensors(&format!("optimizer/average.{index}"), average, expected("average"), LIMIT);
    }
    parity.finish();
}

#[test]
fn prodigy() {
    let fixture = Fixture::open("optimizer");
    let mut parity = Parity::new();
    let case = &fixture.cases["prodigy"];
    let count = case["tensors"].as_u64().unwrap() as usize;
    let named = |what: &str| -> Vec<Tensor> {
        (0..count).map(|index| fixture.tensor(&format!("prodigy.{what}.{index}")).copy()).collect()
    };
    let leaves: Vec<Tensor> = named("start").into_iter().map(|tensor| tensor.set_requires_grad(true)).collect();
    let leaves: Vec<&Tensor> = leaves.iter().collect();
    let (eps, weight_decay) = (number(case, "eps"), number(case, "weight_decay"));
    let mut optimizer = Optimizer::new(OptimizerName::Prodigy, eps, weight_decay, &leaves).unwrap();
    let rates = numbers(case, "rates").into_iter();
    for (step, (rate, expected)) in rates.zip(numbers(case, "distances")).enumerate() {
        optimizer.update(&leaves, &named(&format!("gradients.{step}")), &vec![rate; count]).unwrap();
        let off = (optimizer.estimate().unwrap().distance / expected - 1.0).abs();
        parity.check(&format!("optimizer/prodigy.distance.{step}"), off, LIMIT);
    }
    for (index, (leaf, expected)) in leaves.iter().zip(named("end")).enumerate() {
        parity.check_tensors(&format!("optimizer/prodigy.end.{index}"), &leaf.detach(), &expected, LIMIT);
    }
    parity.finish();
}
