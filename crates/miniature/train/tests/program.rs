//! The program itself, killed and started again.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use idembed_diffusion::controlnet::ControlNet;
use idembed_face::recognise::{self, Scale};
use idembed_metrics::judge::Judge;
use idembed_weights::Compute;

fn program(out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_idembed-pretrain"));
    command.args(["--stage=vae", "--device=cpu", "--threads=2", "--samples=128", "--save-every=0", "--out"]).arg(out);
    command.args(more).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn said(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// Waits for a file.
fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "the run does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn after_kill_9_the_same_command_ends_where_an_unbroken_run_does() {
    let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut child = program(killed.path(), &[]).spawn().unwrap();
    wait_for(&killed.path().join("vae.ckpt"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.path().join("vae").exists(), "the run was over before it was killed");

    let (done, text) = said(&mut program(killed.path(), &[]));
    assert!(done && text.contains("going on after step") && text.contains("complete after 16 steps"), "{text}");
    assert!(text.contains("held-out pictures, PSNR: "), "{text}");
    assert!(said(&mut program(whole.path(), &[])).0);
    for file in ["vae/diffusion_pytorch_model.safetensors", "vae/config.json", "vae.png", "vae.ckpt"] {
        let read = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(read(whole.path()) == read(killed.path()), "{file}");
    }

    // Done is done; and another training does not overwrite it.
    assert!(said(&mut program(killed.path(), &[])).1.contains("complete after 16 steps"));
    let (done, text) = said(&mut program(killed.path(), &["--seed=1"]));
    assert!(!done && text.contains("was made with seed 0, this run has 1") && text.contains("hint: "), "{text}");
}

#[test]
fn ctrl_c_saves_and_writes_the_network_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let child = program(folder.path(), &["--samples=100000"]).spawn().unwrap();
    wait_for(&folder.path().join("vae.ckpt"));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("stopping after this step") && text.contains("the same command goes on from here"), "{text}");
    for file in ["vae/diffusion_pytorch_model.safetensors", "vae/config.json", "vae.png"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
}

/// What the stages leave is a whole model, which draws its own sheet.
#[test]
fn the_noise_predictor_needs_the_autoencoder_and_becomes_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let unet = || {
        let mut command = program(folder.path(), &["--stage=unet", "--samples=40", "--batch=4"]);
        said(&mut command)
    };
    let (done, text) = unet();
    assert!(!done && text.contains("which the stage `vae` makes") && text.contains("hint: "), "{text}");

    assert!(said(&mut program(folder.path(), &["--samples=8"])).0);
    let (done, text) = unet();
    assert!(!done && text.contains("which the stage `clip` makes"), "{text}");
    assert!(said(&mut program(folder.path(), &["--stage=clip", "--samples=16", "--batch=4"])).0);
    let (done, text) = unet();
    assert!(done, "{text}");
    assert!(text.contains("complete after 10 steps") && text.contains("attention of scenes: "), "{text}");
    for file in ["model_index.json", "idembed.json", "tokenizer/vocab.json", "vae/config.json", "unet/config.json"] {
        assert!(folder.path().join("model").join(file).is_file(), "{file}");
    }
    let sheet = image::open(folder.path().join("unet.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (512, 512));
    // Done is done, and the pictures are not encoded again.
    let (done, text) = unet();
    assert!(done && text.contains("complete after 10 steps") && !text.contains("encoded"), "{text}");
}

/// The text encoder and the noise predictor of a model in another folder, with its autoencoder.
#[test]
fn a_whole_model_can_be_trained_further() {
    let folder = tempfile::tempdir().unwrap();
    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/mini");
    let mut command = program(folder.path(), &["--stage=unet", "--samples=8", "--batch=4", "--learning-rate=1e-5"]);
    let (done, text) = said(command.arg("--from").arg(&mini));
    assert!(done && text.contains("complete after 2 steps"), "{text}");
    let loss = text.lines().find_map(|line| line.strip_prefix("held-out loss: ")).unwrap();
    let loss: f64 = loss.trim().parse().unwrap();
    assert!(loss < 0.2, "one that begins by chance has 1: {loss}");
}

/// A ControlNet beside a model in another folder, which has one already.
#[test]
fn a_control_net_can_be_trained_further() {
    let folder = tempfile::tempdir().unwrap();
    let stage = || program(folder.path(), &["--stage=controlnet", "--samples=8", "--batch=4", "--learning-rate=1e-5"]);
    let (done, text) = said(&mut stage());
    assert!(!done && text.contains("which the stage `unet` makes") && text.contains("hint: "), "{text}");

    let mini = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/mini");
    let (done, text) = said(stage().arg("--from").arg(&mini));
    assert!(done && text.contains("complete after 2 steps"), "{text}");
    let loss = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix(" thousandths"));
        line.unwrap().trim().parse().unwrap()
    };
    let (with, without) = (loss("held-out loss: "), loss("without the edges: "));
    assert!(with < 0.9 * without, "{with} with the edges, {without} without");
    ControlNet::load(&folder.path().join("controlnet"), Compute::CPU_F32).unwrap();
}

#[test]
fn the_report_says_which_stage_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (done, text) = said(&mut program(folder.path(), &["--report"]));
    assert!(!done && text.contains("which the stage `recogniser` makes"), "{text}");
    let (done, text) = said(&mut program(folder.path(), &["--model=x"]));
    assert!(!done && text.contains("--report"), "{text}");
    // Before anything is measured.
    let taken = folder.path().join("taken");
    std::fs::write(&taken, "a file").unwrap();
    let (done, text) = said(&mut program(&taken, &["--report", "--model=x"]));
    assert!(!done && text.contains("cannot make the folder"), "{text}");
    let fresh = folder.path().join("not/yet/there");
    let (done, text) = said(&mut program(&fresh, &["--report", "--model=x"]));
    assert!(!done && !text.contains("cannot make the folder") && fresh.is_dir(), "{text}");
}

#[test]
fn what_the_other_stages_write_can_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let compute = Compute::CPU_F32;
    for (stage, figure) in [("recogniser", "equal error over all factors: "), ("judge", "headwear: ")] {
        let mut command = program(folder.path(), &["--samples=8", "--batch=4"]);
        let (done, text) = said(command.arg(format!("--stage={stage}")));
        assert!(done && text.contains("complete after 2 steps") && text.contains(figure), "{text}");
        assert!(folder.path().join(format!("{stage}.png")).is_file());
    }
    let recogniser = recognise::load(&folder.path().join("recogniser/model.safetensors"), compute).unwrap();
    assert_eq!(recogniser.dimension(), 128);
    assert!(Scale::beside(&folder.path().join("recogniser/model.safetensors")).unwrap().is_some());
    Judge::load(&folder.path().join("judge"), compute).unwrap();
}

/// What the bundled recogniser says about its numbers is what is measured.
#[test]
fn the_scale_of_the_bundled_recogniser_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/mini/recogniser/model.safetensors");
    let place = folder.path().join("recogniser/model.safetensors");
    std::fs::create_dir(folder.path().join("recogniser")).unwrap();
    std::fs::copy(&bundled, &place).unwrap();
    let (done, text) = said(program(folder.path(), &[]).arg("--scale").arg(folder.path()));
    assert!(done, "{text}");
    let scale = |weights: &Path| Scale::beside(weights).unwrap().unwrap();
    let (measured, listed) = (scale(&place), scale(&bundled));
    // Processors round differently, which may cross the middle between two hundredths.
    for (measured, listed) in
        [(measured.same_above, listed.same_above), (measured.strangers_below, listed.strangers_below)]
    {
        assert!((measured - listed).abs() < 0.011, "{measured} {listed}");
    }
    assert_eq!(measured.source, listed.source);
    assert!(text.contains(&measured.to_string()), "{text}");
}

#[test]
fn wrong_flags_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (flag, expected) in [
        ("--minutes=-1", "--minutes"),
        ("--samples=0", "number of steps is 0"),
        ("--seed=99999999999", "the seed is 99999999999"),
        ("--device=cuda:99", "cuda:99"),
        ("--out=/dev/null/x", "cannot write"),
    ] {
        let mut command = program(&folder.path().join("out"), &[]);
        let (done, text) = said(command.args([flag]));
        assert!(!done && text.contains(expected) && !text.contains("panicked"), "{flag}: {text}");
    }
}
