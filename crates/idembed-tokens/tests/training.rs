//! Learning on the bundled miniature model: exact resume, stopping, what breaks and how.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use idembed_attention::Target;
use idembed_diffusion::conditioning::stage_of;
use idembed_diffusion::noise::seeded_noise;
use idembed_diffusion::schedulers::PredictionType;
use idembed_diffusion::unet::UNetInput;
use idembed_diffusion::{Compute, StableDiffusion};
use idembed_optimizer::Decay;
use idembed_tokens::checkpoint::CheckpointInfo;
use idembed_tokens::objective::{AttentionOptions, noise_loss};
use idembed_tokens::{
    DEFAULT_TEMPLATE, Embedding, Example, Examples, Identities, Identity, LearnConfig, LearnControl, Method,
    OptimizerName, Prompt, Start, TokenOptions, TokensError, Trainer, condition, learn,
};
use idembed_weights::TensorFile;
use strum::IntoEnumIterator;
use tch::{Device, Kind, Tensor};

fn mini_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mini")
}

fn mini() -> StableDiffusion {
    StableDiffusion::load(&mini_folder(), Compute::CPU_F32).unwrap()
}

/// A smooth random picture; small, because these tests are about bookkeeping.
fn picture(seed: u64) -> Tensor {
    let coarse = seeded_noise(seed, &[1, 3, 4, 4], 1).unwrap().remove(0);
    coarse.upsample_bilinear2d([64, 64], false, None, None).tanh()
}

fn mask() -> Tensor {
    let mask = Tensor::zeros([1, 1, 64, 64], (Kind::Float, Device::Cpu));
    let _ = mask.narrow(2, 16, 32).narrow(3, 10, 30).fill_(1.0);
    mask
}

fn config(method: Method, steps: usize) -> LearnConfig {
    LearnConfig { steps, batch: 2, warm_up: 3, mirror: true, log_every: 3, ..LearnConfig::new("me", "person", method) }
}

/// What any method may need.
fn everything() -> Examples {
    let names = std::fs::read_to_string(mini_folder().join("names.txt")).unwrap().lines().map(str::to_owned).collect();
    Examples { class_pictures: vec![picture(8), picture(9)], names, ..Examples::one(&picture(1), Some(&mask())) }
}

/// The tokens for the only text encoder.
fn tokens(trainer: &Trainer<'_>) -> Tensor {
    let mut tokens = trainer.tokens().unwrap();
    assert_eq!(tokens.len(), 1);
    tokens.remove(0)
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

#[test]
fn a_stopped_run_ends_where_an_unbroken_one_does() {
    let model = mini();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let usual = |method| config(method, 7);
    let prodigy = LearnConfig { optimizer: OptimizerName::Prodigy, learning_rate: 1.0, ..usual(Method::Sefi) };
    for config in Method::iter().map(usual).chain([prodigy]) {
        let method = config.method;
        let mut whole = Trainer::new(&model, &everything(), config.clone()).unwrap();
        while !whole.is_done() {
            whole.step().unwrap();
        }

        let stop = never();
        let mut first = Trainer::new(&model, &everything(), config.clone()).unwrap();
        let control = LearnControl {
            checkpoint: Some(checkpoint.clone()),
            checkpoint_every: Duration::from_secs(3600),
            keep_state: false,
            stop: &stop,
        };
        let stopped = learn(&mut first, &control, |_, report| {
            stop.store(report.step == 4, Ordering::Relaxed);
            Ok::<_, TokensError>(())
        });
        assert!(matches!(stopped, Err(TokensError::Stopped { step: 4, steps: 7, .. })));
        assert_eq!(CheckpointInfo::read(&checkpoint).unwrap().step, 4);

        let mut second = Trainer::new(&model, &everything(), config).unwrap();
        second.resume(&checkpoint).unwrap();
        let control = LearnControl { stop: &never(), ..control };
        let identity = learn(&mut second, &control, |_, _| Ok::<_, TokensError>(())).unwrap();
        let expected = whole.identity().unwrap();
        let (rows, expected_rows) = (&identity.encoders[0], &expected.encoders[0]);
        assert!(rows.k.equal(&expected_rows.k) && rows.v.equal(&expected_rows.v), "{method}");
        assert_eq!(identity.sha256().unwrap(), expected.sha256().unwrap(), "{method}");
        assert_eq!(second.history(), whole.history());
        assert_eq!(identity.metadata(), expected.metadata());
    }
}

#[test]
fn measuring_changes_nothing() {
    let model = mini();
    let run = |log_every: usize| {
        let config = LearnConfig { log_every, ..config(Method::Sefi, 3) };
        let mut trainer = Trainer::new(&model, &Examples::one(&picture(1), Some(&mask())), config).unwrap();
        let reports: Vec<_> = (0..3).map(|_| trainer.step().unwrap()).collect();
        (tokens(&trainer), reports)
    };
    let ((quiet, quiet_reports), (tokens, reports)) = (run(0), run(2));
    assert!(quiet.equal(&tokens));
    assert!(quiet_reports.iter().all(|report| report.measured.is_none()));
    let measured = [0, 2].map(|index| reports[index].measured.clone().unwrap());
    assert!(reports[1].measured.is_none());
    assert!(measured.iter().all(|measured| (0.0..=1.0).contains(&measured.leakage.unwrap())));
    assert!(measured.iter().all(|measured| measured.grad_norm_noise > 0.0));
    // At the first step the learned words are the class word, so that nothing pulls yet.
    assert_eq!(reports[0].attention_loss, Some(0.0));
    assert_eq!(measured[0].grad_norm_attention, 0.0);
    assert!(reports[2].attention_loss.unwrap() > 0.0 && measured[1].grad_norm_attention > 0.0);
}

#[test]
fn every_objective_trains() {
    let model = mini();
    for target in [Some(Target::default()), Some(Target::Mask), None] {
        for detach_query in [false, true] {
            let mut config = config(Method::Sefi, 2);
            config.objective.masked_noise = target == Some(Target::Mask);
            config.objective.attention = target.and_then(|target| {
                let mut attention = AttentionOptions::weighted(0.003)?;
                (attention.loss.target, attention.loss.detach_query) = (target, detach_query);
                Some(attention)
            });
            let mut trainer = Trainer::new(&model, &Examples::one(&picture(2), Some(&mask())), config).unwrap();
            let before = tokens(&trainer);
            let reports = [trainer.step().unwrap(), trainer.step().unwrap()];
            assert!(!tokens(&trainer).equal(&before));
            assert_eq!(reports[1].attention_loss.is_some(), target.is_some());
        }
    }
}

#[test]
fn half_precision_networks_train_tokens_in_f32() {
    let reference = {
        let model = mini();
        let mut trainer = Trainer::new(&model, &Examples::one(&picture(1), None), config(Method::Sefi, 1)).unwrap();
        trainer.step().unwrap()
    };
    for kind in [Kind::BFloat16, Kind::Half] {
        let model = StableDiffusion::load(&mini_folder(), Compute { device: Device::Cpu, kind }).unwrap();
        let mut trainer = Trainer::new(&model, &Examples::one(&picture(1), None), config(Method::Sefi, 2)).unwrap();
        let report = trainer.step().unwrap();
        trainer.step().unwrap();
        assert_eq!(tokens(&trainer).kind(), Kind::Float);
        assert!((report.noise_loss / reference.noise_loss - 1.0).abs() < 0.05, "{kind:?}: {report:?}");
        let norms = [&report, &reference].map(|report| report.measured.as_ref().unwrap().grad_norm_noise);
        assert!((norms[0] / norms[1] - 1.0).abs() < 0.1, "{kind:?}: {norms:?}");
    }
}

#[test]
fn what_an_optimizer_knew_is_read_with_care() {
    let model = mini();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let begin = |optimizer| {
        let config = LearnConfig { optimizer, learning_rate: 1.0, ..config(Method::Xti, 3) };
        Trainer::new(&model, &Examples::one(&picture(1), None), config).unwrap()
    };
    let changed = |optimizer, change: fn(&mut BTreeMap<String, String>)| {
        begin(optimizer).save(&checkpoint).unwrap();
        let mut file = TensorFile::read(&checkpoint, "checkpoint", 1 << 30).unwrap();
        change(&mut file.metadata);
        file.write(&checkpoint).unwrap();
        begin(optimizer).resume(&checkpoint)
    };
    let prodigy = |change| changed(OptimizerName::Prodigy, change);
    prodigy(|_| ()).unwrap();
    for spoil in [
        (|metadata| drop(metadata.remove("distance"))) as fn(&mut BTreeMap<String, String>),
        |metadata| drop(metadata.insert("distance".to_owned(), "-1".to_owned())),
        |metadata| drop(metadata.insert("distance".to_owned(), "0".to_owned())),
        |metadata| drop(metadata.insert("numerator".to_owned(), "NaN".to_owned())),
    ] {
        assert!(matches!(prodigy(spoil), Err(TokensError::File { .. })));
    }
    // Versions that knew AdamW alone did not name it.
    changed(OptimizerName::AdamW, |metadata| drop(metadata.remove("run.optimizer"))).unwrap();
    let error = begin(OptimizerName::Prodigy).resume(&checkpoint).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint was made with optimizer adamw, this run has prodigy");
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let model = mini();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let trainer = |image: &Tensor, config| Trainer::new(&model, &Examples::one(image, None), config).unwrap();
    trainer(&picture(1), config(Method::Sefi, 5)).save(&checkpoint).unwrap();

    let mut shorter = trainer(&picture(1), config(Method::Sefi, 4));
    let error = shorter.resume(&checkpoint).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint was made with steps 5, this run has 4");
    let mut other = trainer(&picture(2), config(Method::Sefi, 5));
    assert!(other.resume(&checkpoint).unwrap_err().to_string().contains("made with picture"));

    std::fs::write(&checkpoint, &std::fs::read(&checkpoint).unwrap()[..1000]).unwrap();
    let mut same = trainer(&picture(1), config(Method::Sefi, 5));
    assert!(matches!(same.resume(&checkpoint), Err(TokensError::File { .. })));
    let mut identity = same.identity().unwrap();
    identity.write(&checkpoint).unwrap();
    assert!(same.resume(&checkpoint).is_err());
    identity = Identity::read(&checkpoint).unwrap();
    assert_eq!(identity.base_model, "mini");
    assert!(!std::fs::read(&checkpoint).unwrap().windows(6).any(|bytes| bytes == b"models"), "no path");
}

#[test]
fn a_finished_run_goes_on_with_more_steps() {
    let model = mini();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let begin = |config: LearnConfig| Trainer::new(&model, &everything(), config).unwrap();
    let finish = |trainer: &mut Trainer<'_>, keep_state| {
        let checkpoint_every = Duration::from_secs(3600);
        let control =
            LearnControl { checkpoint: Some(checkpoint.clone()), checkpoint_every, keep_state, stop: &never() };
        learn(trainer, &control, |_, _| Ok::<_, TokensError>(())).unwrap().sha256().unwrap()
    };
    for method in [Method::Sefi, Method::CustomDiffusion] {
        let whole = finish(&mut begin(config(method, 5)), true);
        assert!(CheckpointInfo::read(&checkpoint).unwrap().is_finished());
        finish(&mut begin(config(method, 3)), true);
        assert_eq!(CheckpointInfo::read(&checkpoint).unwrap().step, 3);
        let mut longer = begin(config(method, 5));
        longer.resume(&checkpoint).unwrap();
        assert_eq!(finish(&mut longer, false), whole, "{method}");
        assert!(!CheckpointInfo::read(&checkpoint).unwrap().is_finished(), "not kept, so not written at the end");
    }

    // Half a cosine ends where the run does.
    let falling = |steps| LearnConfig { decay: Decay::Cosine, ..config(Method::TextualInversion, steps) };
    finish(&mut begin(falling(3)), true);
    begin(falling(3)).resume(&checkpoint).unwrap();
    let error = begin(falling(4)).resume(&checkpoint).unwrap_err();
    assert!(matches!(&error, TokensError::StepsDecay { decay: Decay::Cosine, .. }), "{error}");
    assert!(error.to_string().contains("steps 3, this run has 4"), "{error}");
}

#[test]
fn pictures_may_have_prompts_of_their_own() {
    let model = mini();
    let examples = |templates: [Option<&str>; 2]| {
        let pictures = templates.into_iter().enumerate().map(|(index, template)| Example {
            image: picture(1 + index as u64),
            mask: Some(mask()),
            template: template.map(str::to_owned),
        });
        Examples { pictures: pictures.collect(), ..everything() }
    };
    let learned = |templates, config: &LearnConfig| {
        let mut trainer = Trainer::new(&model, &examples(templates), config.clone()).unwrap();
        while !trainer.is_done() {
            let report = trainer.step().unwrap();
            let leakage = report.measured.unwrap().leakage.unwrap();
            assert!((0.0..=1.0).contains(&leakage));
        }
        trainer.identity().unwrap().sha256().unwrap()
    };
    for (method, target) in
        [(Method::Sefi, Target::default()), (Method::Sefi, Target::Mask), (Method::Xti, Target::default())]
    {
        let mut config = LearnConfig { log_every: 1, batch: 3, ..config(method, 2) };
        config.objective.attention = AttentionOptions::weighted(0.01);
        if let Some(attention) = &mut config.objective.attention {
            attention.loss.target = target;
        }
        let plain = learned([None, None], &config);
        // The run's own prompt, said once more, is the same prompt.
        assert_eq!(learned([None, Some(DEFAULT_TEMPLATE)], &config), plain);
        let own = learned([None, Some("{} at the beach")], &config);
        assert_ne!(own, plain);
        assert_ne!(learned([Some("{} at the beach"), None], &config), own);
    }

    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let begin = |templates| Trainer::new(&model, &examples(templates), config(Method::Sefi, 2)).unwrap();
    begin([None, Some("{} at the beach")]).save(&checkpoint).unwrap();
    begin([None, Some("{} at the beach")]).resume(&checkpoint).unwrap();
    for others in [[None, None], [None, Some("{} in a library")]] {
        let error = begin(others).resume(&checkpoint).unwrap_err().to_string();
        assert!(error.contains("made with captions"), "{error}");
    }
}

#[test]
fn an_identity_is_where_learning_may_start() {
    let model = mini();
    let identity_of = |method: Method| {
        let mut trainer = Trainer::new(&model, &everything(), config(method, 2)).unwrap();
        while !trainer.is_done() {
            trainer.step().unwrap();
        }
        trainer.identity().unwrap()
    };
    let begin = |method: Method, start: &Identity| {
        let mut config = config(method, 2);
        config.tokens.start = Start::Identity;
        Trainer::new(&model, &Examples { start: Some(start.clone()), ..everything() }, config)
    };
    for method in Method::iter() {
        let first = identity_of(method);
        let mut trainer = begin(method, &first).unwrap();
        let started = trainer.identity().unwrap();
        let (rows, expected) = (&started.encoders[0], &first.encoders[0]);
        // Vectors of a fixed length are divided by it once more.
        let limit = if config(method, 1).tokens.fixed_norm { 1e-6 } else { 0.0 };
        for (rows, expected) in [(&rows.k, &expected.k), (&rows.v, &expected.v)] {
            let difference = (rows - expected).abs().max().double_value(&[]);
            assert!(difference <= limit, "{method}: {difference}");
        }
        let changes = |identity: &Identity| {
            identity.unet.as_ref().map(|unet| {
                unet.deltas
                    .values()
                    .map(|delta| delta.to_kind(Kind::Double).abs().sum(Kind::Double).double_value(&[]))
                    .sum::<f64>()
            })
        };
        assert_eq!(changes(&started), changes(&first), "{method}");
        assert_eq!(started.started_from, Some(first.sha256().unwrap()));
        trainer.step().unwrap();
    }

    let (sefi, token) = (identity_of(Method::Sefi), identity_of(Method::TextualInversion));
    let of_one = begin(Method::Sefi, &token).unwrap();
    assert!(tokens(&of_one).equal(&token.encoders[0].k.expand([10, -1], false)));
    let mean = Embedding::of(&sefi).unwrap().vectors.remove(0);
    let of_many = tokens(&begin(Method::TextualInversion, &sefi).unwrap());
    assert!((of_many - mean).abs().max().double_value(&[]) < 1e-7);

    let refused = |method, start: &Identity| begin(method, start).unwrap_err().to_string();
    let weights = identity_of(Method::CustomDiffusion);
    let with_weights = Identity { unet: weights.unet.clone(), ..sefi.clone() };
    assert!(refused(Method::Sefi, &with_weights).contains("changes weights of the U-Net, expected one that does not"));
    assert!(refused(Method::Dreambooth, &weights).contains("tensors of the U-Net, expected one that changes the"));
    assert!(refused(Method::Sefi, &weights).contains("number of words of the identity to start at is 2, expected 1"));
    assert!(
        refused(Method::CelebBasis, &sefi).contains("number of words of the identity to start at is 1, expected 2")
    );
    let mut wide = sefi.clone();
    wide.encoders[0].k = wide.encoders[0].k.narrow(1, 0, 100);
    assert!(matches!(begin(Method::Sefi, &wide), Err(TokensError::OtherHidden { got: 100, .. })));
    let mut missing = config(Method::Sefi, 2);
    missing.tokens.start = Start::Identity;
    assert!(Trainer::new(&model, &everything(), missing).unwrap_err().to_string().contains("identity is missing"));
    // One of another base, where the widths agree, is a start like any other.
    let mut other = sefi.clone();
    other.encoders[0].sha256 = "0".repeat(64);
    begin(Method::Sefi, &other).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    begin(Method::Sefi, &sefi).unwrap().save(&checkpoint).unwrap();
    begin(Method::Sefi, &sefi).unwrap().resume(&checkpoint).unwrap();
    let error = begin(Method::Sefi, &token).unwrap().resume(&checkpoint).unwrap_err().to_string();
    assert!(error.contains("made with start identity"), "{error}");
}

#[test]
fn a_run_that_breaks_down_keeps_its_last_good_state() {
    let model = mini();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    // The second step's tokens are beyond what f32 can hold.
    let config = LearnConfig { learning_rate: 1e38, warm_up: 0, ..config(Method::TextualInversion, 4) };
    let mut trainer = Trainer::new(&model, &Examples::one(&picture(1), None), config.clone()).unwrap();
    let control = LearnControl {
        checkpoint: Some(checkpoint.clone()),
        checkpoint_every: Duration::ZERO,
        keep_state: false,
        stop: &never(),
    };
    let error = learn(&mut trainer, &control, |_, _| Ok::<_, TokensError>(())).unwrap_err();
    assert!(matches!(error, TokensError::NotFinite { step: 2, checkpoint: Some(_), .. }), "{error}");
    assert_eq!(CheckpointInfo::read(&checkpoint).unwrap().step, 1);
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let model = mini();
    let refused = |image: &Tensor, mask: Option<&Tensor>, config: LearnConfig| {
        Trainer::new(&model, &Examples::one(image, mask), config).unwrap_err().to_string()
    };
    let good = config(Method::Sefi, 1);
    assert!(refused(&picture(1).squeeze(), None, good.clone()).contains("picture has shape [3, 64, 64]"));
    assert!(refused(&picture(1), Some(&mask().narrow(3, 0, 9)), good.clone()).contains("mask has shape"));
    assert!(refused(&picture(1), Some(&(mask() * 0.0)), good.clone()).contains("empty"));
    let mut masked = good.clone();
    masked.objective.masked_noise = true;
    assert!(refused(&picture(1), None, masked).contains("mask is missing"));
    assert!(
        refused(
            &picture(1),
            None,
            LearnConfig { tokens: TokenOptions { stages: 2000, ..good.tokens }, ..good.clone() }
        )
        .contains("at most 1000")
    );
    assert!(refused(&picture(1), None, LearnConfig { class: " ".to_owned(), ..good.clone() }).contains("class"));
    assert!(refused(&(picture(1) * f64::NAN), None, good).contains("not finite"));
}

#[test]
fn a_method_that_lacks_what_it_needs_is_refused() {
    let model = mini();
    let begun = |examples: &Examples, config| Trainer::new(&model, examples, config).map(drop);
    let refused = |examples: &Examples, config| begun(examples, config).unwrap_err().to_string();
    let named = |names: &[&str]| Examples {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        ..Examples::one(&picture(1), None)
    };
    let basis = config(Method::CelebBasis, 1);
    let expected = "expected 3 or more that are two tokens for the model";
    assert_eq!(refused(&named(&[]), basis.clone()), format!("number of names to start at is 0 of 0, {expected}"));
    // The last one is more than two tokens.
    let few = named(&["banus vimak", "sodex nigel", "ada lovelace"]);
    assert_eq!(refused(&few, basis), format!("number of names to start at is 2 of 3, {expected}"));
    let vector = config(Method::TextualInversion, 1);
    for start in [Start::Names, Start::NamesOutput] {
        let tokens = TokenOptions { start, ..vector.tokens };
        assert!(refused(&few, LearnConfig { tokens, ..vector.clone() }).contains("2 of 3"), "{start}");
    }

    let odd = LearnConfig { rare_word: " ".to_owned(), ..config(Method::Dreambooth, 1) };
    assert!(refused(&everything(), odd).starts_with("rare word is ` `"));
    for method in [Method::Dreambooth, Method::CustomDiffusion] {
        let mut config = config(method, 1);
        let error = refused(&few, config.clone());
        assert_eq!(error, "number of class pictures is 0, expected 1 or more, because the prior has a weight");
        config.unet.as_mut().unwrap().prior_weight = 0.0;
        begun(&few, config).unwrap();
    }
}

#[test]
fn a_class_of_several_tokens_starts_at_their_mean() {
    let model = mini();
    let config = LearnConfig { class: "red car".to_owned(), ..config(Method::Sefi, 1) };
    let tokens = tokens(&Trainer::new(&model, &Examples::one(&picture(1), None), config).unwrap());
    let ids = model.text_encoders.first().tokenizer.token_ids("red car").unwrap();
    assert!(ids.len() > 1);
    let table = model.text_encoders.first().model.embed_tokens(&Tensor::from_slice(&ids)).unwrap();
    let mean = table.mean_dim(0, true, Kind::Float).expand([10, -1], false);
    assert!(f64::try_from((tokens - mean).abs().max()).unwrap() < 1e-6);
}

#[test]
fn an_untrained_identity_is_the_class_word() {
    let model = mini();
    let trainer = Trainer::new(&model, &Examples::one(&picture(1), None), config(Method::Sefi, 1)).unwrap();
    let identity = trainer.identity().unwrap();
    identity.check_base(&model, false).unwrap();
    let text = "<me> and a cup and <me>";
    let prompt = Prompt::parse(text, model.text_encoders.tokenizers()).unwrap();
    let me = Identities::named([("me", &identity)]).unwrap();
    let conditioning = condition(&model, &prompt, &me, false).unwrap();
    // All rows are equal, so that one text is encoded and serves every timestep.
    assert_eq!(conditioning.pieces().len(), 1);
    let plain = model.text_states("person and a cup and person").unwrap().key;
    let states = &conditioning.pieces()[0].states;
    assert!(f64::try_from((&states.key - &plain).abs().max()).unwrap() < 1e-5);
    assert!(states.key.equal(&states.value));
    assert_eq!(Embedding::of(&identity).unwrap().spread, 0.0);
}

#[test]
fn a_prompt_takes_only_identities_that_are_there_and_fit() {
    let model = mini();
    let trainer = Trainer::new(&model, &Examples::one(&picture(1), None), config(Method::Sefi, 1)).unwrap();
    let mine = trainer.identity().unwrap();
    let prompt = Prompt::parse("<me> and <you>", model.text_encoders.tokenizers()).unwrap();
    let with = |you: &Identity, force| {
        condition(&model, &prompt, &Identities::named([("me", &mine), ("you", you)]).unwrap(), force).map(drop)
    };
    with(&mine, false).unwrap();
    let alone = condition(&model, &prompt, &Identities::named([("me", &mine)]).unwrap(), false);
    assert!(matches!(alone, Err(TokensError::UnknownIdentity { name, .. }) if name == "you"));

    let changed = |change: fn(&mut Identity)| {
        let mut other = trainer.identity().unwrap();
        change(&mut other);
        other
    };
    let other = changed(|other| other.encoders[0].sha256 = "0".repeat(64));
    assert!(matches!(with(&other, false), Err(TokensError::OtherBase { .. })));
    with(&other, true).unwrap();
    for (other, what) in [
        (changed(|other| other.prediction_type = PredictionType::VPrediction), "prediction type"),
        (changed(|other| other.train_timesteps = 500), "training timesteps"),
    ] {
        assert!(matches!(with(&other, false), Err(TokensError::OtherTraining { what: got, .. }) if got == what));
        with(&other, true).unwrap();
    }
    let other = changed(|other| {
        let rows = &mut other.encoders[0];
        (rows.k, rows.v) = (rows.k.narrow(1, 0, 100), rows.v.narrow(1, 0, 100));
    });
    assert!(matches!(with(&other, true), Err(TokensError::OtherHidden { got: 100, expected: 128, .. })));
}

/// The noise loss of a trainer's tokens on the same noised latents at every tenth of the timesteps that the method learns, and
/// where it learns them.
fn noise_loss_of(model: &StableDiffusion, trainer: &Trainer<'_>) -> f64 {
    let identity = trainer.identity().unwrap();
    let template = &trainer.config().template;
    let prompt =
        Prompt::parse_with(&template.replace("{}", "<me>"), model.text_encoders.tokenizers(), |_| identity.words)
            .unwrap();
    let me = Identities::named([("me", &identity)]).unwrap();
    let conditioning = condition(model, &prompt, &me, false).unwrap();
    let latents = model.vae.encode(&picture(1)).unwrap().mean;
    let shape = latents.size();
    let changed = identity.unet.as_ref().map(|changes| changes.apply(model).unwrap());
    let unet = changed.as_ref().unwrap_or(&model.unet);
    let LearnConfig { tokens, objective, .. } = trainer.config();
    let mask = mask();
    let mask = objective.masked_noise.then_some(&mask);
    let timesteps = (0..10).map(|part| 50 + 100 * part);
    let learned = timesteps.filter(|&at| tokens.learned().contains(&stage_of(at as f64, tokens.stages, 1000)));
    let losses = learned.map(|timestep| {
        let noise = seeded_noise(timestep as u64, &shape, 1).unwrap().remove(0);
        let noised = model.noise_schedule.add_noise(&latents, &noise, &[timestep]).unwrap();
        let states = &conditioning.pieces()[conditioning.piece_at(timestep as f64)].states;
        let context = unet.project(states).unwrap();
        let times = Tensor::from_slice(&[timestep as f32]);
        let predicted = tch::no_grad(|| unet.forward(UNetInput::new(&noised, &times, &context), None)).unwrap();
        noise_loss(&predicted, &noise, mask, None).unwrap().double_value(&[])
    });
    let losses: Vec<f64> = losses.collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[test]
fn learning_lowers_the_noise_loss() {
    let model = mini();
    for method in Method::iter() {
        // Published rates are for far more steps.
        let mut config =
            LearnConfig { batch: 4, mirror: false, log_every: 0, learning_rate: 0.05, ..config(method, 40) };
        if let Some(unet) = &mut config.unet {
            unet.learning_rate = 2e-4;
        }
        let mut trainer = Trainer::new(&model, &everything(), config).unwrap();
        let before = noise_loss_of(&model, &trainer);
        while !trainer.is_done() {
            trainer.step().unwrap();
        }
        let after = noise_loss_of(&model, &trainer);
        assert!(after < 0.98 * before, "{method}: {before} became {after}");
    }
}

#[test]
fn the_attention_loss_holds_the_attention() {
    let model = mini();
    let attention_loss = |lambda: f64| {
        let mut config = LearnConfig { batch: 4, log_every: 0, ..config(Method::Sefi, 30) };
        // A weight of next to nothing measures the loss and leaves the learning alone.
        config.objective.attention = AttentionOptions::weighted(lambda);
        let mut trainer = Trainer::new(&model, &Examples::one(&picture(1), Some(&mask())), config).unwrap();
        let losses: Vec<f64> = (0..30).map(|_| trainer.step().unwrap().attention_loss.unwrap()).collect();
        losses[20..].iter().sum::<f64>() / 10.0
    };
    let (free, held) = (attention_loss(1e-30), attention_loss(0.03));
    assert!(held < 0.5 * free, "{free} became {held}");
}

#[test]
fn the_attention_loss_means_the_same_at_any_size() {
    // The same picture and noise, every pixel four times: the maps of a network that sees no more than single pixels would
    // be the same. This one's are nearly so.
    let model = mini();
    let loss = |side: i64| {
        let image = picture(1).upsample_bilinear2d([side, side], false, None, None);
        let config = LearnConfig { log_every: 0, batch: 4, mirror: false, ..config(Method::Sefi, 12) };
        let mut trainer = Trainer::new(&model, &Examples::one(&image, None), config).unwrap();
        let losses: Vec<f64> = (0..12).map(|_| trainer.step().unwrap().attention_loss.unwrap()).collect();
        losses[6..].iter().sum::<f64>() / 6.0
    };
    let (small, large) = (loss(64), loss(128));
    assert!((0.3..3.0).contains(&(large / small)), "{small} at 64, {large} at 128 pixels");
}

#[test]
fn an_overflow_in_f16_halves_the_loss_scale() {
    let compute = Compute { device: Device::Cpu, kind: Kind::Half };
    let model = StableDiffusion::load(&mini_folder(), compute).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("me.ckpt");
    let trainer = |lambda| {
        let mut config = LearnConfig { log_every: 1, warm_up: 0, ..config(Method::Sefi, 2) };
        config.objective.attention = AttentionOptions::weighted(lambda);
        Trainer::new(&model, &Examples::one(&picture(1), None), config).unwrap()
    };
    let scale_after = |trainer: &Trainer<'_>| {
        trainer.save(&checkpoint).unwrap();
        CheckpointInfo::read(&checkpoint).unwrap().loss_scale
    };
    let mut usual = trainer(0.003);
    usual.step().unwrap();
    usual.step().unwrap();
    assert_eq!(scale_after(&usual), 1024.0);

    // Nothing pulls at the first step; at the second, far too much.
    let mut strong = trainer(1e5);
    strong.step().unwrap();
    assert_eq!(scale_after(&strong), 1024.0);
    let report = strong.step().unwrap();
    let scale = scale_after(&strong);
    assert!(scale < 1024.0 && scale.log2().fract() == 0.0, "{scale}");
    assert!(report.measured.unwrap().grad_norm_attention.is_finite());
    let mut resumed = trainer(1e5);
    resumed.resume(&checkpoint).unwrap();
    assert_eq!(scale_after(&resumed), scale);
}

#[test]
fn two_identities_get_their_own_stages() {
    let model = mini();
    let hidden = model.text_encoders.first().model.hidden_size();
    let mut rows = seeded_noise(3, &[3, hidden], 4).unwrap().into_iter().map(|rows| rows * 0.02);
    let mut identity = |stages: i64| {
        let mut identity = Trainer::new(&model, &Examples::one(&picture(1), None), config(Method::Sefi, 1))
            .unwrap()
            .identity()
            .unwrap();
        identity.encoders[0].k = rows.next().unwrap().narrow(0, 0, stages);
        identity.encoders[0].v = rows.next().unwrap().narrow(0, 0, stages);
        identity
    };
    let (a, b) = (identity(2), identity(3));
    let prompt = Prompt::parse("<b> with <a> and <b>", model.text_encoders.tokenizers()).unwrap();
    let both = Identities::named([("a", &a), ("b", &b)]).unwrap();
    let conditioning = condition(&model, &prompt, &both, false).unwrap();
    assert_eq!(conditioning.pieces().len(), 4);

    // Each timestep against the same prompt put together by hand.
    let ids = Tensor::from_slice(&prompt.ids[0]).unsqueeze(0);
    for (timestep, stage_a, stage_b) in [(999.0, 0, 0), (600.0, 0, 1), (400.0, 1, 1), (0.0, 1, 2)] {
        let expected = |a: &Tensor, b: &Tensor| {
            let embeds = model.text_encoders.first().model.embed_tokens(&ids).unwrap().copy();
            for (position, row) in [(1, b.get(stage_b)), (3, a.get(stage_a)), (5, b.get(stage_b))] {
                embeds.get(0).get(position).copy_(&row);
            }
            model.text_encoders.first().model.encode(&embeds).unwrap()
        };
        let states = &conditioning.pieces()[conditioning.piece_at(timestep)].states;
        for (got, expected) in [
            (&states.key, expected(&a.encoders[0].k, &b.encoders[0].k)),
            (&states.value, expected(&a.encoders[0].v, &b.encoders[0].v)),
        ] {
            let difference = f64::try_from((got - expected).abs().max()).unwrap();
            assert!(difference < 1e-5, "{timestep}: {difference}");
        }
    }
}
