//! The stage that trains a ControlNet, and the one that is bundled.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use idembed_optimizer::{AdamW, AdamWConfig};
use idembed_pretrain::controlnet::{ControlNetTask, agreement};
use idembed_pretrain::{Choices, RunOptions, Share, Task};
use idembed_studio::{ControlWish, Draw, Learned, Photo, Preparation, Studio, edges};
use idembed_weights::{Compute, Parameters};
use tch::{Device, Kind, Tensor};

fn mini() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/mini")
}

/// It changes nothing at first, and then learns what is to be predicted.
#[test]
fn it_begins_as_no_change_and_learns() {
    let out = tempfile::tempdir().unwrap();
    let options = RunOptions {
        out: out.path().to_path_buf(),
        from: Some(mini()),
        compute: Compute::CPU_F32,
        threads: 1,
        time: None,
        line_every: Duration::MAX,
        save_every: Duration::MAX,
        sheet_every: Duration::MAX,
    };
    let recipe = ControlNetTask::recipe(&Choices { samples: Some(4), batch: Some(4), ..Choices::default() });
    let task = ControlNetTask::new(recipe, &options, &AtomicBool::new(false), &mut |_| ()).unwrap();
    let parameters = Parameters::new(0, Device::Cpu);
    let network = task.build(&parameters, Kind::Float).unwrap();
    task.begin(&parameters).unwrap();
    let [with, without] = tch::no_grad(|| task.glance(&network)).unwrap().try_into().unwrap();
    assert_eq!(with.value, without.value, "{} {}", with.name, without.name);

    let batch = task.draw(0, Share { index: 0, of: 1 }).unwrap();
    let leaves: Vec<Tensor> = parameters.list().into_iter().map(|(_, leaf)| leaf).collect();
    let leaves: Vec<&Tensor> = leaves.iter().collect();
    let config = AdamWConfig { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0 };
    let mut optimizer = AdamW::new(config, &leaves).unwrap();
    let mut losses = Vec::new();
    for _ in 0..12 {
        let loss = task.losses(&network, &batch, Device::Cpu).unwrap().total;
        losses.push(loss.double_value(&[]));
        let gradients = Tensor::run_backward(&[&loss], &leaves, false, false);
        optimizer.update(&leaves, &gradients, &vec![1e-3; leaves.len()]).unwrap();
    }
    assert!(losses[11] < 0.9 * losses[0], "{losses:?}");
}

/// What is drawn along the edges of a picture has them, unlike what the same seeds give without.
#[test]
fn the_bundled_one_draws_along_edges() {
    let studio = Studio::open(mini().to_str().unwrap()).unwrap();
    let picture = mini().join("portraits/person2_a.png");
    let given = edges(&Photo::open(&picture).unwrap().pixels);
    let net = PathBuf::from("controlnet");
    let wish = ControlWish { net, picture, preparation: Preparation::Canny, scale: 1.0, start: 0.0, end: 1.0 };
    let followed = |controls: Vec<ControlWish>| {
        let how = Draw { seeds: vec![0, 1, 2], steps: Some(10), controls, ..Draw::default() };
        let drawn = studio.draw("a close-up photo of a woman", None::<(&str, &Learned)>, how).unwrap();
        drawn.iter().map(|drawn| agreement(&edges(&drawn.picture), &given)).sum::<f64>() / 3.0
    };
    let (with, without) = (followed(vec![wish]), followed(Vec::new()));
    assert!(with > without + 0.15, "{with} with it, {without} without");
}
