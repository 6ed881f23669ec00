//! `idembed learn`: from one photo, or several, to an identity file.

mod method;
mod previews;
mod shot;
mod subject;
mod tensorboard;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use idembed_diffusion::{Compute, Error as DiffusionError};
use idembed_face::Note;
use idembed_layouts::Kind;
use idembed_page::{Figure, Page};
use idembed_studio::{Draw, Drawing, Learned, Lesson, Model, NamedIdentity, Photo, Size, Studio, SubjectFinder};
use idembed_tokens::checkpoint::CheckpointInfo;
use idembed_tokens::{Identity, LearnConfig};
use serde_json::json;

use crate::args::{ComputeArgs, ModelArgs};
use crate::failure::Hinted;
use crate::jobs::Told;
use crate::{jobs, output, photos, report};
use method::MethodArgs;
use previews::{Previews, Stop};
use shot::{FoundShot, Shot, ShotReport};
use subject::SubjectArgs;
use tensorboard::EventFile;

const EXAMPLES: &str = "\
Examples:
  idembed learn photo.jpg --name me
  idembed learn photo.jpg --name me --crop 120,40,512,512 --report me.html
  idembed learn photo.jpg --name me --model models/sd15 --steps 500 --dtype bf16
  idembed learn a.jpg b.jpg holidays/ --name me
  idembed learn photo.jpg --name me --start me.identity.safetensors --out better
  idembed learn photo.jpg --name me --resume me.identity.safetensors.ckpt

The largest face near the middle is found, and learned with its hair and
shoulders; --face, --crop and --no-face say otherwise. Several photos of the
same person, or folders of them, may be of any size. Then draw with it:
  idembed generate \"a photo of <me> at the beach\" -i me=me.identity.safetensors

photo.txt beside photo.jpg is a caption: the prompt to learn that photo with,
{} standing for the person, as in \"a photo of {} at the beach\". What it names
need not be learned as a part of the face.

While it runs, FILE.ckpt beside the output holds the whole state. After Ctrl-C
or a crash, the same command with --resume FILE.ckpt goes on and ends with the
same vectors, bit for bit, as an unbroken run. --keep-state keeps FILE.ckpt of a
finished run: the same command with --resume FILE.ckpt, more --steps and another
--out makes it the longer run.

Learn only faces of people who agreed.";

/// Flags of `idembed learn`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A photo of one face, several photos of it, or folders of them: JPEG, PNG, WebP, HEIC, TIFF, BMP or GIF
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// What to call the identity: letters, digits, - and _
    #[arg(long, value_name = "NAME", value_parser = crate::args::identity_name)]
    name: String,
    #[command(flatten)]
    model: ModelArgs,
    /// Where to write the identity [default: NAME.identity.safetensors]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace an identity that is there already, or start anew over an unfinished run
    #[arg(long)]
    force: bool,
    /// Go on from the state of a stopped run, or, with more --steps, of a finished one
    #[arg(long, value_name = "FILE.ckpt")]
    resume: Option<PathBuf>,
    /// Keep the state when the run is finished
    #[arg(long)]
    keep_state: bool,
    /// Write a page with loss curves, settings, timings and some pictures
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// How many pictures the report draws
    #[arg(long, value_name = "N", default_value_t = 4, requires = "report")]
    report_pictures: usize,
    /// Draw the report's prompts after every N steps: the report shows the pictures side by side, and grows meanwhile
    #[arg(long, value_name = "N", value_parser = crate::args::positive)]
    preview_every: Option<usize>,
    /// Write the losses of every step, and previews, as event files that TensorBoard shows
    #[arg(long, value_name = "DIR")]
    tensorboard: Option<PathBuf>,
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

/// What was checked before the model is loaded.
struct Plan {
    model: Model,
    photos: Vec<FoundShot>,
    /// What reports say of them.
    shots: Vec<ShotReport>,
    size: Option<Size>,
    config: LearnConfig,
    start: Option<Identity>,
    out: PathBuf,
    checkpoint: PathBuf,
    /// The files that hold a state that is of no use once the identity is there.
    spent: Vec<PathBuf>,
}

impl Plan {
    fn new(args: &Args, compute: Compute) -> anyhow::Result<Plan> {
        let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{}.identity.safetensors", args.name)));
        output::check_new_file(&out, args.force)?;
        if let Some(report) = &args.report {
            output::check_new_file(report, true)?;
        }
        let checkpoint = output::with_added(&out, ".ckpt");
        let shots = Shot::all(&args.photos, !args.subject.no_captions)?;
        args.subject.check_count(shots.len())?;
        let named = args.subject.mask_file().into_iter().chain(args.method.start_file());
        let read: Vec<&Path> = shots.iter().flat_map(Shot::files).chain(named).collect();
        output::check_inputs_stay(args.report.iter().chain([&out, &checkpoint]), &read)?;
        output::check_inputs_stay(args.report.iter().chain([&out]), args.resume.as_slice())?;
        let spent = check_checkpoint(args, &checkpoint)?;

        let model = args.model.find()?;
        model.files.check_is_text_to_image()?;
        let start = args.method.start_file().map(read_start).transpose()?;
        let captions = shots.iter().map(Shot::read_caption).collect::<anyhow::Result<Vec<_>>>()?;
        let opened = shots.iter().map(|shot| open(&shot.path, &args.subject)).collect::<anyhow::Result<Vec<_>>>()?;
        let masked = opened.iter().filter(|photo| args.subject.has_mask(photo)).count();
        let config = args.method.config(&args.name, &args.subject, masked == opened.len(), start.as_ref(), &model)?;
        config.check()?;
        if 0 < masked && masked < opened.len() {
            tracing::warn!("{masked} of {} photos have a mask: none counts", opened.len());
        }
        let ignored = args.method.without_effect(&config).into_iter().chain(args.subject.without_effect());
        for (flag, reason) in ignored {
            tracing::warn!("{flag} has no effect: {reason}");
        }

        let alone = shots.len() == 1;
        let finder = SubjectFinder::open(&args.subject.choice(), compute)?;
        let photos = shots.into_iter().zip(captions).zip(opened).map(|((Shot { path, .. }, caption), photo)| {
            let subject = photos::about(&path, finder.find(photo))?;
            if let Some(found) = subject.found() {
                photos::tell(&path, found, alone);
            }
            Ok(FoundShot { path, caption, subject })
        });
        let photos = photos.collect::<anyhow::Result<Vec<_>>>()?;
        let shots = photos.iter().map(FoundShot::report).collect();
        Ok(Plan { model, photos, shots, size: args.subject.size, config, start, out, checkpoint, spent })
    }

    /// The parts of the photos, which are given up for that.
    fn lesson(&mut self, size: Size, args: &Args) -> anyhow::Result<Lesson> {
        let photos = std::mem::take(&mut self.photos);
        let subjects = photos.iter().map(|photo| photo.cut(size)).collect::<anyhow::Result<_>>()?;
        Ok(Lesson {
            checkpoint: Some(self.checkpoint.clone()),
            resume: args.resume.clone(),
            keep_state: args.keep_state,
            start: self.start.clone(),
            ..Lesson::new(subjects, self.config.clone())
        })
    }
}

/// Reads a photo; what was changed on the way, and whether its transparency is its mask, is said.
fn open(path: &Path, subject: &SubjectArgs) -> anyhow::Result<Photo> {
    let mut photo = Photo::open(path)?;
    if subject.takes_opacity(&photo) {
        photo.notes.retain(|note| *note != Note::FlattenedOnWhite);
        let path = path.display();
        tracing::info!(
            "`{path}`: what is opaque is the mask; the colours under the rest are learned as they are stored"
        );
    }
    photos::say(path, &photo.notes);
    Ok(photo)
}

/// Reads the identity to start at, and says which it is.
fn read_start(path: &Path) -> anyhow::Result<Identity> {
    let shown = path.display();
    if !path.exists() {
        let hint = "--start takes class, class-output, names, names-output, rare, or the path of an identity file or of an embedding";
        return Err(Hinted::new(format!("there is no identity file `{shown}` to start at"), hint).into());
    }
    if let Some(embedding) = embedding_to_start_at(path)? {
        tracing::info!("starting at `{shown}`, an embedding of another tool; vectors: {}", embedding.words);
        return Ok(embedding);
    }
    let identity = Identity::read(path)?;
    let Identity { method, base_model, steps, .. } = &identity;
    tracing::info!("starting at `{shown}`, learned with {method} for `{base_model}` in {steps} steps");
    Ok(identity)
}

/// What an embedding of another tool holds, if the file is one; pickles are refused as such.
fn embedding_to_start_at(path: &Path) -> anyhow::Result<Option<Identity>> {
    match idembed_diffusion::read_listing(path) {
        Err(error @ DiffusionError::PickledFile { .. }) => Err(error.into()),
        Ok(listing) if matches!(Kind::of(&listing), Kind::Embedding { .. }) => {
            Ok(Some(Identity::read_embedding("start", path)?))
        }
        // Of anything else, what reads identities says more.
        _ => Ok(None),
    }
}

/// A stopped run is neither overwritten nor mixed up with another. Gives the files that are of no use after this run.
fn check_checkpoint(args: &Args, checkpoint: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut spent = if args.keep_state { Vec::new() } else { vec![checkpoint.to_owned()] };
    if let Some(resume) = &args.resume {
        // That of a finished run was kept on purpose.
        if !CheckpointInfo::read(resume)?.is_finished() && !args.keep_state {
            spent.push(resume.clone());
        }
        return Ok(spent);
    }
    if !checkpoint.exists() || args.force {
        return Ok(spent);
    }
    let shown = checkpoint.display();
    let info = CheckpointInfo::read(checkpoint).ok();
    if let Some(info) = info.as_ref().filter(|info| info.is_finished()) {
        let hint = format!("--resume {shown} with more --steps goes on with it, --force starts anew");
        return Err(Hinted::new(format!("`{shown}` holds the state of a run of {} steps", info.step), hint).into());
    }
    let far = info.map(|info| format!(" (step {} is done)", info.step)).unwrap_or_default();
    let hint = format!("--resume {shown} goes on with it, --force starts anew");
    Err(Hinted::new(format!("`{shown}` holds an unfinished run{far}"), hint).into())
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let compute = args.compute.resolve()?;
    let mut plan = Plan::new(args, compute)?;
    let studio = jobs::load(&plan.model, compute)?;
    if let Some(note) = &plan.model.settings.note {
        tracing::info!("`{}` {note}; --model names another model", plan.model.name);
    }
    let load_seconds = started.elapsed().as_secs_f64();
    let size = plan.size.unwrap_or(studio.facts().native_size);
    let expected_memory_mib = jobs::announce(&studio.forecast_learning(&plan.config, size)?);
    let mut lesson = plan.lesson(size, args)?;
    let wanted = (args.preview_every, args.stop);
    let mut previews =
        Previews::of(&plan.model, &plan.config, &lesson.subjects[0], wanted, args.report.clone(), compute)?;
    if let Some(previews) = &previews {
        (lesson.preview, lesson.enough) = (Some(previews.wish()), previews.enough());
    }
    let mut events = args.tensorboard.as_deref().map(EventFile::create).transpose()?;
    let (mut learned, deferred) = jobs::learn(&studio, lesson.clone(), |told| {
        if let Some(events) = &mut events {
            events.add(&told)?;
        }
        match (told, &mut previews) {
            (Told::Preview(preview), Some(previews)) => previews.add(*preview),
            _ => Ok(()),
        }
    })?;
    if let Some((value, step, best)) = previews.as_mut().and_then(Previews::take_best) {
        tracing::info!("the state after step {step} is the best, with {value:.4}");
        learned.identity = best;
    }
    learned.identity.write(&plan.out)?;
    drop(deferred);
    remove_checkpoints(&plan);
    if args.keep_state {
        tracing::info!("the state is in `{}`, to go on with more --steps", plan.checkpoint.display());
    }
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
            "started_from": learned.identity.started_from,
            "photos": plan.shots,
            "face": match &plan.shots[..] {
                [shot] => shot.face.as_ref(),
                _ => None,
            },
            "tensorboard": events.as_ref().map(|events| output::shown(events.path())),
            "state": args.keep_state.then(|| output::shown(&plan.checkpoint)),
            "device": compute.to_string(),
            "expected_memory_mib": expected_memory_mib,
            "peak_memory_mib": output::peak_memory_mib(),
            "report": args.report.as_deref().map(output::shown),
        }))?;
    }
    Ok(())
}

/// The state is of no use once the identity is there, unless it is to be kept.
fn remove_checkpoints(plan: &Plan) {
    for path in &plan.spent {
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
    let shots = &plan.shots;
    let photos = if shots.len() == 1 { "one photo".to_owned() } else { format!("{} photos", shots.len()) };
    let subtitle = format!("{method} with {}, learned from {photos}", plan.model.name);
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
    let parts = shots.iter().enumerate().map(|(index, shot)| {
        let which = if shots.len() == 1 { "the photo".to_owned() } else { format!("photo {}", index + 1) };
        (format!("part of {which}"), shot.part.clone())
    });
    let start = learned.identity.started_from.clone().map(|sha256| ("start identity".to_owned(), sha256));
    page = report::settings(page, &plan.model, compute, parts.chain(start), lesson)?;
    page = report::timings(page, load_seconds, learned, &[]);
    let file = plan.out.file_name().unwrap_or_default().display();
    Ok(report::commands(page, &format!("idembed generate \"a photo of <{name}>\" --identity {name}={file}")))
}
