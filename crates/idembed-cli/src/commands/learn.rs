//! `idembed learn`: from one photo to an identity file.

mod method;
mod previews;
mod subject;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use idembed_diffusion::Compute;
use idembed_page::{Figure, Page};
use idembed_studio::{ChosenFace, Draw, Drawing, Enough, Learned, Lesson, Model, NamedIdentity, Size, Studio, Subject};
use idembed_tokens::checkpoint::CheckpointInfo;
use idembed_tokens::{LearnConfig, is_identity_name};
use serde_json::json;

use crate::args::{ComputeArgs, ModelArgs};
use crate::failure::Hinted;
use crate::{jobs, output, photos, report};
use method::MethodArgs;
use previews::{Previews, Stop};
use subject::SubjectArgs;

const EXAMPLES: &str = "\
Examples:
  idembed learn photo.jpg --name me
  idembed learn photo.jpg --name me --crop 120,40,512,512 --report me.html
  idembed learn photo.jpg --name me --model models/sd15 --steps 500 --dtype bf16
  idembed learn photo.jpg --name me --resume me.identity.safetensors.ckpt

The largest face near the middle is found, and learned with its hair and
shoulders; --face, --crop and --no-face say otherwise. Then draw with it:
  idembed generate \"a photo of <me> at the beach\" -i me=me.identity.safetensors

While it runs, FILE.ckpt beside the output holds the whole state. After Ctrl-C
or a crash, the same command with --resume FILE.ckpt goes on and ends with the
same vectors, bit for bit, as an unbroken run.

Learn only faces of people who agreed.";

/// Flags of `idembed learn`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A photo of one face: JPEG, PNG, WebP, HEIC, TIFF, BMP or GIF
    photo: PathBuf,
    /// What to call the identity: letters, digits, - and _
    #[arg(long, value_name = "NAME", value_parser = identity_name)]
    name: String,
    #[command(flatten)]
    model: ModelArgs,
    /// Where to write the identity [default: NAME.identity.safetensors]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an identity that is there already, or start anew over an unfinished run
    #[arg(long)]
    force: bool,
    /// Go on from the state of a stopped run
    #[arg(long, value_name = "FILE.ckpt")]
    resume: Option<PathBuf>,
    /// Write a page with loss curves, settings, timings and some pictures
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// How many pictures the report draws
    #[arg(long, value_name = "N", default_value_t = 4, requires = "report")]
    report_pictures: usize,
    /// Draw the report's prompts after every N steps: the report shows the pictures side by side, and grows meanwhile
    #[arg(long, value_name = "N", value_parser = crate::args::positive)]
    preview_every: Option<usize>,
    /// When to end: steps (after --steps), or auto (once pictures drawn on the way do not get better; the best state is kept)
    #[arg(long, value_name = "WHEN", default_value = "steps")]
    stop: Stop,
    /// Print one JSON object: identity, steps, seconds, noise_loss, attention_loss and more
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    method: MethodArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

fn identity_name(text: &str) -> Result<String, String> {
    is_identity_name(text).then(|| text.to_owned()).ok_or_else(|| "letters, digits, - and _ are allowed".to_owned())
}

/// What was checked before the model is loaded.
struct Plan {
    model: Model,
    subject: Subject,
    size: Option<Size>,
    config: LearnConfig,
    out: PathBuf,
    checkpoint: PathBuf,
}

impl Plan {
    fn new(args: &Args, compute: Compute) -> anyhow::Result<Plan> {
        let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.identity.safetensors", args.name)));
        output::check_new_file(&out, args.force)?;
        if let Some(report) = &args.report {
            output::check_new_file(report, true)?;
        }
        let checkpoint = output::with_added(&out, ".ckpt");
        let read: Vec<&Path> = std::iter::once(args.photo.as_path()).chain(args.subject.mask_file()).collect();
        output::check_inputs_stay(args.report.iter().chain([&out, &checkpoint]), &read)?;
        output::check_inputs_stay(args.report.iter().chain([&out]), args.resume.as_slice())?;
        check_checkpoint(args, &checkpoint)?;

        let model = args.model.find()?;
        let config = args.method.config(&args.name, &args.subject, &model)?;
        config.check()?;
        let ignored = args.method.without_effect(&config).into_iter().chain(args.subject.without_effect());
        for (flag, reason) in ignored {
            tracing::warn!("{flag} has no effect: {reason}");
        }

        let photo = photos::open(&args.photo)?;
        let subject = photos::about(&args.photo, Subject::find(photo, &args.subject.choice(), compute))?;
        if let Some(found) = subject.found() {
            photos::tell(&args.photo, found);
        }
        Ok(Plan { model, subject, size: args.subject.size, config, out, checkpoint })
    }

    /// The part of the photo.
    fn lesson(&self, size: Size, resume: Option<PathBuf>) -> anyhow::Result<Lesson> {
        let subject = self.subject.at(size)?;
        if let Some((width, height)) = subject.enlarged_from {
            tracing::warn!("the part to learn is {width} x {height} pixels and is enlarged to {size}");
        }
        Ok(Lesson {
            subjects: vec![subject],
            config: self.config.clone(),
            checkpoint: Some(self.checkpoint.clone()),
            resume,
            preview: None,
            enough: Enough::default(),
        })
    }
}

/// A stopped run is neither overwritten nor mixed up with another.
fn check_checkpoint(args: &Args, checkpoint: &Path) -> anyhow::Result<()> {
    if let Some(resume) = &args.resume {
        CheckpointInfo::read(resume)?;
        return Ok(());
    }
    if !checkpoint.exists() || args.force {
        return Ok(());
    }
    let shown = checkpoint.display();
    let far = CheckpointInfo::read(checkpoint).map(|info| format!(" (step {} is done)", info.step)).unwrap_or_default();
    let hint = format!("--resume {shown} goes on with it, --force starts anew");
    Err(Hinted::new(format!("`{shown}` holds an unfinished run{far}"), hint).into())
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let compute = args.compute.resolve()?;
    let plan = Plan::new(args, compute)?;
    let studio = jobs::load(&plan.model, compute)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let size = plan.size.unwrap_or(studio.facts().native_size);
    let expected_memory_mib = jobs::announce(&studio.forecast_learning(&plan.config, size)?);
    let mut lesson = plan.lesson(size, args.resume.clone())?;
    let wanted = (args.preview_every, args.stop);
    let mut previews =
        Previews::of(&plan.model, &plan.config, &lesson.subjects[0], wanted, args.report.clone(), compute)?;
    if let Some(previews) = &previews {
        (lesson.preview, lesson.enough) = (Some(previews.wish()), previews.enough());
    }
    let (mut learned, deferred) = jobs::learn(&studio, lesson.clone(), |preview| {
        previews.as_mut().map_or(Ok(()), |previews| previews.add(preview))
    })?;
    if let Some((value, step, best)) = previews.as_mut().and_then(Previews::take_best) {
        tracing::info!("the state after step {step} is the best, with {value:.4}");
        learned.identity = best;
    }
    learned.identity.write(&plan.out)?;
    drop(deferred);
    remove_checkpoints(&plan, args.resume.as_deref());
    if !args.json {
        output::line(plan.out.display())?;
    }
    if let Some(path) = &args.report {
        let write = || -> anyhow::Result<()> {
            let pictures = report_pictures(&plan, &studio, &learned, args.report_pictures)?;
            let page = page(&plan, &lesson, &learned, load_seconds, compute, &pictures, previews.as_ref())?;
            output::write_file(path, page.render().as_bytes())
        };
        write().with_context(|| format!("the identity is in `{}`, but the report failed", plan.out.display()))?;
        tracing::info!("the report is in `{}`", path.display());
    }
    if args.json {
        let config = &plan.config;
        output::json(&json!({
            "identity": output::shown(&plan.out),
            "name": config.name,
            "model": plan.model.name,
            "prediction": learned.identity.prediction_type.to_string(),
            "method": config.method.to_string(),
            "class": config.class,
            "stages": config.tokens.stages,
            "parameters": learned.parameters,
            "lambda": config.lambda(),
            "gradient_ratio": learned.gradient_ratio(),
            "steps": learned.identity.steps,
            "steps_here": learned.steps_here,
            "seconds": learned.seconds,
            "load_seconds": load_seconds,
            "prepare_seconds": learned.prepare_seconds,
            "noise_loss": learned.noise_loss(),
            "attention_loss": learned.attention_loss(),
            "leakage": learned.leakage(),
            "face": plan.subject.found().map(ChosenFace::of),
            "device": compute.to_string(),
            "expected_memory_mib": expected_memory_mib,
            "peak_memory_mib": output::peak_memory_mib(),
            "report": args.report.as_deref().map(output::shown),
        }))?;
    }
    Ok(())
}

/// The state is of no use once the identity is there.
fn remove_checkpoints(plan: &Plan, resumed: Option<&Path>) {
    for path in [Some(plan.checkpoint.as_path()), resumed].into_iter().flatten() {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove `{}`: {error}", path.display());
            }
            _ => {}
        }
    }
}

/// The model's own prompts with the new identity, each with its class word beside it.
fn report_pictures(
    plan: &Plan,
    studio: &Studio,
    learned: &Learned,
    count: usize,
) -> anyhow::Result<Vec<(String, Vec<Figure>)>> {
    let name = plan.config.name.as_str();
    let wish = Draw { size: plan.size, batch: Some(1), ..Draw::default() };
    let mut rows = Vec::new();
    for prompt in plan.model.settings.learn.prompts.iter().take(count) {
        let shown = prompt.replace("{}", &format!("<{name}>"));
        let mut figures = Vec::with_capacity(2);
        for text in [&shown, &prompt.replace("{}", &plan.config.class)] {
            let identity = NamedIdentity::new(name, &learned.identity)?;
            jobs::draw(studio, Drawing::plan(&plan.model, text, vec![identity], &wish)?, |drawn| {
                figures.push(report::figure(&drawn.picture, "")?);
                Ok(())
            })?;
        }
        rows.push((shown, figures));
    }
    Ok(rows)
}

fn page(
    plan: &Plan,
    lesson: &Lesson,
    learned: &Learned,
    load_seconds: f64,
    compute: Compute,
    pictures: &[(String, Vec<Figure>)],
    previews: Option<&Previews>,
) -> anyhow::Result<Page> {
    let LearnConfig { name, class, method, .. } = &plan.config;
    let subtitle = format!("{method} with {}, learned from one photo", plan.model.name);
    let mut page = report::facts(Page::new(&format!("Identity <{name}>"), &subtitle), learned);
    page = report::photo(page, lesson, "what was learned from", "the mask of the face")?;
    if !pictures.is_empty() {
        let columns = [format!("<{name}>"), class.clone()];
        page = page.section("Drawn with it").text("The same seed in each row.").compared(&columns, pictures);
    }
    if let Some(previews) = previews {
        page = previews.section(page);
    }
    page = report::charts(page, learned);
    page = report::settings(page, &plan.model, compute, [("part of the photo", plan.subject.part())], lesson)?;
    page = report::timings(page, load_seconds, learned, &[]);
    let file = plan.out.file_name().unwrap_or_default().display();
    Ok(report::commands(page, &format!("idembed generate \"a photo of <{name}>\" --identity {name}={file}")))
}
