//! What the stage `clip` leaves scores pictures.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use idembed_clip::ClipScorer;
use idembed_pretrain::clip::ClipTask;
use idembed_pretrain::{Choices, RunOptions, train};
use idembed_weights::Compute;
use image::{Rgb, RgbImage};
use tch::Kind;

#[test]
fn a_trained_clip_is_loaded_and_scores() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = ClipTask::recipe(&Choices { samples: Some(12), batch: Some(6), ..Choices::default() });
    let options = RunOptions {
        out: folder.path().to_path_buf(),
        from: None,
        compute: Compute::CPU_F32,
        threads: 2,
        time: None,
        line_every: Duration::ZERO,
        save_every: Duration::MAX,
        sheet_every: Duration::MAX,
    };
    let stage = ClipTask::new(recipe, folder.path()).unwrap();
    let mut lines = Vec::new();
    let outcome = train(&stage, &recipe, &options, &AtomicBool::new(false), &mut |line| lines.push(line.to_owned()));
    let outcome = outcome.unwrap();
    assert!(outcome.complete && lines.iter().all(|line| line.contains("% found")), "{lines:?}");
    let names: Vec<&str> = outcome.checks.iter().map(|check| check.name).collect();
    assert_eq!(names.len(), 5);
    assert!(outcome.checks.iter().all(|check| (0.0..=100.0).contains(&check.value)), "{:?}", outcome.checks);
    assert!(folder.path().join("clip.png").is_file());

    let scorer = ClipScorer::load(&folder.path().join("clip"), Compute::CPU_F32).unwrap();
    let picture = |width: u32, height: u32, level| RgbImage::from_pixel(width, height, Rgb([level; 3]));
    let pictures = [picture(128, 128, 0), picture(200, 50, 255), picture(1, 1, 90)];
    let long = "a photo of a person ".repeat(40);
    let _guard = tch::no_grad_guard();
    let cosines = scorer.score(&pictures, &["", &long]).unwrap();
    assert_eq!((cosines.size(), cosines.kind()), (vec![3, 2], Kind::Float));
    assert!(cosines.abs().max().double_value(&[]) <= 1.0 + 1e-6);
    // A text alone, without the padding that the long one brought, is the same text.
    let alone = scorer.score(&pictures, &[""]).unwrap();
    assert!((alone - cosines.narrow(1, 0, 1)).abs().max().double_value(&[]) < 1e-5);

    assert!(scorer.score(&[], &["a"]).is_err() && scorer.score(&pictures, &[]).is_err());
    assert!(scorer.score(&[RgbImage::new(0, 2)], &["a"]).is_err());
}
