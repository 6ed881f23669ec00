//! `export --to staged-embeddings` in the hands of diffusers, which changes the text as AUTOMATIC1111's web interface and as ComfyUI
//! would (`staged_embeddings.py` restates their rules): the pictures are ours of an identity with these vectors.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use idembed_diffusion::conditioning::stage_of;
use idembed_diffusion::schedulers::{self, SchedulerKind};
use idembed_diffusion::{Compute, StableDiffusion};
use idembed_integration_tests::{mini_model, pixels_off, python, read_picture};
use idembed_tokens::{EncoderRows, Half, Identity, Schedule, StagedEmbeddings};
use serde_json::json;

use crate::{a_staged_identity, draw};

const PROMPT: &str = "a photo of <me> at the beach";

/// How many steps, and with what, a picture is drawn.
struct Run {
    sampler: &'static str,
    kind: SchedulerKind,
    spacing: &'static str,
    steps: usize,
    seed: u64,
}

#[test]
fn a_prompt_that_is_edited_draws_the_same_picture() {
    let run =
        Run { sampler: "EulerDiscreteScheduler", kind: SchedulerKind::Euler, spacing: "linspace", steps: 12, seed: 3 };
    compare(&run, |embeddings, _| {
        let switches = embeddings.switches(Some((run.steps, Schedule::Uniform))).unwrap();
        assert_eq!(switches.exact, Some(true));
        ["prompt".into(), embeddings.edited(PROMPT, &switches).into()]
    });
}

#[test]
fn a_workflow_with_ranges_draws_the_same_picture() {
    // On these settings a step falls on the border of two stages, timestep 800.
    let run = Run { sampler: "DDIMScheduler", kind: SchedulerKind::Ddim, spacing: "leading", steps: 10, seed: 4 };
    compare(&run, |embeddings, folder| {
        let file = folder.join("workflow.json");
        std::fs::write(&file, embeddings.workflow(PROMPT).unwrap().to_string()).unwrap();
        ["workflow".into(), file.into()]
    });
}

fn compare(run: &Run, how: impl FnOnce(&StagedEmbeddings, &Path) -> [OsString; 2]) {
    let Some(python) = python() else { return };
    let mut model = StableDiffusion::load(&mini_model(), Compute::CPU_F32).unwrap();
    let identity = a_staged_identity(&model);
    let folder = tempfile::tempdir().unwrap();
    let embeddings = StagedEmbeddings::of(&identity, Half::Mean).unwrap();
    for (embedding, name) in embeddings.stages.iter().zip(embeddings.file_names()) {
        embedding.write(&folder.path().join(name)).unwrap();
    }
    let out = folder.path().join("theirs.png");
    let args: Vec<OsString> = vec![
        Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/staged_embeddings.py").into(),
        mini_model().into(),
        folder.path().into(),
        run.sampler.into(),
        json!({ "timestep_spacing": run.spacing, "steps_offset": 0 }).to_string().into(),
        run.seed.to_string().into(),
        run.steps.to_string().into(),
        out.clone().into(),
    ];
    let output = Command::new(python).args(args).args(how(&embeddings, folder.path())).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    model.scheduler_config.timestep_spacing = Some(run.spacing.to_owned());
    model.scheduler_config.steps_offset = Some(0);
    let sampler = schedulers::build(run.kind, &model.scheduler_config, run.steps).unwrap();
    let texts: Vec<String> = serde_json::from_slice(&output.stdout).unwrap();
    let expected = sampler
        .timesteps()
        .iter()
        .map(|&timestep| PROMPT.replace("<me>", &format!("me-{}", stage_of(timestep, identity.stages(), 1000) + 1)));
    assert_eq!(texts, expected.collect::<Vec<_>>());

    let rows = &identity.encoders[0];
    let mean = (&rows.k + &rows.v) / 2.0;
    let encoders = vec![EncoderRows { k: mean.copy(), v: mean, sha256: rows.sha256.clone() }];
    let ours = draw(&model, PROMPT, &Identity { encoders, ..identity }, run.kind, run.seed, run.steps);
    let off = pixels_off(&ours, &read_picture(&out));
    println!("parity: reference/staged_embeddings.{} pixels_off={off}", run.sampler);
    assert!(off <= 1e-3, "{off} of the pixels differ by more than one grey level");
}
