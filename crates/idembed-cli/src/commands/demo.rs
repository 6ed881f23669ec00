//! `idembed demo`: a portrait is learned and drawn in new scenes, with nothing else given.

use std::path::PathBuf;
use std::time::Instant;

use idembed_attention::{AttentionMaps, HeatMap, Scale, Selection};
use idembed_diffusion::Compute;
use idembed_page::{Figure, Page};
use idembed_studio::picture_file;
use idembed_studio::settings::{DemoSettings, ModelSettings, Scene};
use idembed_studio::{
    Draw, Drawing, Frame, Learned, Lesson, MaskChoice, Model, NamedIdentity, Studio, Subject, SubjectChoice, Watch,
    Watched,
};
use idembed_tokens::LearnConfig;
use image::RgbImage;
use serde_json::json;

use crate::args::{ComputeArgs, ModelArgs, positive};
use crate::failure::Hinted;
use crate::progress::{Progress, duration};
use crate::sheet::{Cell, Sheet};
use crate::{jobs, output, photos, report};

const EXAMPLES: &str = "\
Examples:
  idembed demo
  idembed demo --quick --out /tmp/demo

Learns the portrait that comes with the model and draws it in several scenes,
beside what the class word alone gives. Writes into DIR:
  sheet.png                   all pictures on one sheet
  demo.html                   pictures, loss curves, settings, timings
  NAME.identity.safetensors   the identity, for `idembed generate`";

/// Opacity of the colours over the picture.
const OPACITY: f64 = 0.65;
/// What `--quick` divides the learning steps by.
const QUICK_STEPS: usize = 5;
/// How many scenes `--quick` draws.
const QUICK_SCENES: usize = 3;

/// Flags of `idembed demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to put everything
    #[arg(long, short, value_name = "DIR", default_value = "out/demo")]
    out: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    /// Learning steps [default: the model's]
    #[arg(long, value_name = "N", value_parser = positive)]
    steps: Option<usize>,
    /// Decides the learning's random draws, and shifts the pictures' seeds
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Fewer steps and fewer scenes: to see whether it works, not how well
    #[arg(long)]
    quick: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// What was checked before the model is loaded.
struct Plan {
    model: Model,
    demo: DemoSettings,
    subject: Subject,
    config: LearnConfig,
}

impl Plan {
    fn new(args: &Args, compute: Compute) -> anyhow::Result<Plan> {
        output::check_folder(&args.out)?;
        let model = args.model.find()?;
        let Some(mut demo) = model.settings.demo.clone() else {
            let message = format!("the model `{}` brings no portrait", model.name);
            return Err(Hinted::new(message, "use `idembed learn PHOTO --name NAME --report FILE.html`").into());
        };
        if args.quick {
            demo.scenes.truncate(QUICK_SCENES);
        }
        let mask = demo.mask.as_ref().map(|mask| MaskChoice::File(model.folder.join(mask)));
        let choice = SubjectChoice { frame: Frame::Centre, mask };
        let subject = Subject::find(photos::open(&model.folder.join(&demo.photo))?, &choice, compute)?;

        let mut config = model.learn_config(&demo.name, model.usual_method(None)).where_masked(demo.mask.is_some());
        let steps = if args.quick { config.steps.div_ceil(QUICK_STEPS) } else { config.steps };
        (config.steps, config.seed) = (args.steps.unwrap_or(steps), args.seed);
        config.check()?;
        Ok(Plan { model, demo, subject, config })
    }
}

/// One scene as it was drawn.
struct Drawn {
    scene: Scene,
    /// With the class word.
    class: RgbImage,
    /// Where the class word acts.
    class_maps: AttentionMaps,
    /// With the identity.
    identity: RgbImage,
    /// Where the identity's word acts.
    identity_maps: AttentionMaps,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let compute = args.compute.resolve()?;
    let plan = Plan::new(args, compute)?;
    output::make_folder(&args.out)?;
    let studio = jobs::load(&plan.model, compute)?;
    let load_seconds = started.elapsed().as_secs_f64();
    let identity_file = args.out.join(format!("{}.identity.safetensors", plan.demo.name));
    let subject = plan.subject.at(studio.facts().native_size)?;
    let lesson = Lesson::new(vec![subject], plan.config.clone());
    let (learned, _) = jobs::learn(&studio, lesson.clone(), |_| Ok(()))?;
    learned.identity.write(&identity_file)?;

    let drawing = Instant::now();
    let drawn = draw_scenes(&plan, &studio, &learned, args.seed)?;
    let draw_seconds = drawing.elapsed().as_secs_f64();
    tracing::info!("{} pictures in {}", 2 * drawn.len(), duration(draw_seconds));

    let story = Story { plan: &plan, lesson: &lesson, learned: &learned, drawn: &drawn };
    let sheet = story.sheet()?;
    let sheet_file = args.out.join("sheet.png");
    picture_file::write(&sheet_file, &sheet, None)?;
    let page_file = args.out.join("demo.html");
    let mut page = story.page(compute)?;
    let after = [("drawing, heat maps included", draw_seconds), ("everything", started.elapsed().as_secs_f64())];
    page = report::timings(page, load_seconds, &learned, &after);
    page = report::commands(page, &story.next());
    output::write_file(&page_file, page.render().as_bytes())?;

    if args.json {
        return output::json(&json!({
            "identity": output::shown(&identity_file),
            "sheet": output::shown(&sheet_file),
            "page": output::shown(&page_file),
            "model": plan.model.name,
            "steps": learned.identity.steps,
            "seconds": started.elapsed().as_secs_f64(),
            "learn_seconds": learned.seconds,
            "draw_seconds": draw_seconds,
            "noise_loss": learned.noise_loss(),
            "attention_loss": learned.attention_loss(),
            "leakage": learned.leakage(),
            "peak_memory_mib": output::peak_memory_mib(),
        }));
    }
    output::table(&[
        ("the sheet", sheet_file.display().to_string()),
        ("the page", page_file.display().to_string()),
        ("the identity", identity_file.display().to_string()),
    ])
}

/// Every scene with the class word and with the identity, from the same seed.
fn draw_scenes(plan: &Plan, studio: &Studio, learned: &Learned, shift: u64) -> anyhow::Result<Vec<Drawn>> {
    let scenes = &plan.demo.scenes;
    let name = plan.demo.name.as_str();
    let mut progress = Progress::new("drawing", 0, 2 * scenes.len() as u64 * plan.model.settings.steps as u64);
    let mut one = |scene: &Scene, word: &str| -> anyhow::Result<Watched> {
        let wish = Draw { batch: Some(1), seeds: vec![scene.seed.wrapping_add(shift)], ..Draw::default() };
        let identity = NamedIdentity::new(name, &learned.identity)?;
        let drawing = Drawing::plan(&plan.model, &scene.prompt.replace("{}", word), vec![identity], &wish)?;
        let watch = Watch { words: vec![word.to_owned()], stages: learned.identity.stages() };
        jobs::watch(studio, drawing, watch, &mut progress)
    };
    let mut drawn = Vec::with_capacity(scenes.len());
    for scene in scenes {
        let class = one(scene, &plan.config.class)?;
        let identity = one(scene, &format!("<{name}>"))?;
        drawn.push(Drawn {
            scene: scene.clone(),
            class: class.drawn.picture,
            class_maps: class.maps,
            identity: identity.drawn.picture,
            identity_maps: identity.maps,
        });
    }
    Ok(drawn)
}

/// The picture under the map of its first word.
fn heat(picture: &RgbImage, maps: &AttentionMaps, selection: &Selection, scale: Scale) -> anyhow::Result<RgbImage> {
    let map = maps.word_map(0, selection)?;
    Ok(HeatMap::over(picture, &map, scale, OPACITY)?.picture)
}

/// Everything that the sheet and the page tell.
struct Story<'a> {
    plan: &'a Plan,
    lesson: &'a Lesson,
    learned: &'a Learned,
    drawn: &'a [Drawn],
}

impl Story<'_> {
    fn word(&self) -> String {
        format!("<{}>", self.plan.demo.name)
    }

    fn sheet(&self) -> anyhow::Result<RgbImage> {
        let (class, word) = (&self.plan.config.class, self.word());
        let cell = |picture: &RgbImage| Cell::new(picture.clone(), "");
        let all = Selection::default();
        let title = format!("One photo, learned in {}", duration(self.learned.seconds));
        let subtitle = format!(
            "The top row is what the word `{class}` gives, the second row the same prompts and seeds with {word}, \
             the third row where in the picture the word {word} acts."
        );
        let photos = self.lesson.subjects.iter().map(|subject| cell(&subject.picture));
        let (mut first, mut second, mut third) = (vec![Cell::empty()], Vec::from_iter(photos), vec![Cell::empty()]);
        for drawn in self.drawn {
            first.push(cell(&drawn.class));
            second.push(cell(&drawn.identity));
            third.push(cell(&heat(&drawn.identity, &drawn.identity_maps, &all, Scale::PerMap)?));
        }
        let scenes = self.drawn.iter().map(|drawn| drawn.scene.label.as_str());
        Sheet::new(&title, &subtitle)
            .column_labels(["the only photo"].into_iter().chain(scenes))
            .row(class, first)
            .row(&word, second)
            .row(&format!("attention of {word}"), third)
            .draw()
    }

    /// The page without what is only known at the end.
    fn page(&self, compute: Compute) -> anyhow::Result<Page> {
        let Story { plan, lesson, learned, drawn } = self;
        let (class, word) = (&plan.config.class, self.word());
        let all = Selection::default();
        let mut compared = Vec::with_capacity(drawn.len());
        for one in *drawn {
            let figures = vec![
                report::figure(&one.class, "")?,
                report::figure(&one.identity, "")?,
                report::figure(&heat(&one.identity, &one.identity_maps, &all, Scale::PerMap)?, "")?,
                report::figure(&heat(&one.class, &one.class_maps, &all, Scale::PerMap)?, "")?,
            ];
            compared.push((one.scene.prompt.replace("{}", &word), figures));
        }
        let columns = [class.clone(), word.clone(), format!("attention of {word}"), format!("attention of `{class}`")];
        let intro = format!(
            "One drawn portrait was learned as {word}: {} vectors of {} numbers for a frozen Stable Diffusion. Below \
             are prompts that it never saw, once with {word} and once with the word `{class}`, from the same seeds.",
            2 * learned.identity.stages(),
            learned.identity.hidden()
        );
        let mut page = report::facts(Page::new("idembed: one photo, many pictures", &intro), learned);
        page = report::photo(page, lesson, "the only photo", "its mask, only used to measure leakage")?;
        page = page.section("New scenes").compared(&columns, &compared);
        if let Some(first) = drawn.first() {
            page = page.section("Stage by stage").text(&format!(
                "{word} has vectors of its own for each stage of the drawing. Where its word acts in each of them, \
                 from the noisiest on the left; the colours share one scale."
            ));
            page = page.pictures(&stages(first)?);
        }
        page = report::charts(page, learned);
        let ModelSettings { steps, scheduler, guidance, .. } = &plan.model.settings;
        let own = [("sampler", format!("{steps} steps of {scheduler}")), ("guidance", guidance.to_string())];
        report::settings(page, &plan.model, compute, own, lesson)
    }

    /// What to try next.
    fn next(&self) -> String {
        let (name, word) = (&self.plan.demo.name, self.word());
        format!(
            "idembed generate \"a photo of {word} in a forest\" --identity {name}={name}.identity.safetensors\n\
             idembed learn PHOTO --name me"
        )
    }
}

/// The identity's maps of every stage, in colours of one scale.
fn stages(drawn: &Drawn) -> anyhow::Result<Vec<Figure>> {
    let maps = &drawn.identity_maps;
    let selection = |stage: usize| Selection { stage: Some(stage), ..Selection::default() };
    let mut high = f64::MIN_POSITIVE;
    for &stage in maps.stages() {
        high = high.max(maps.word_map(0, &selection(stage))?.f_max()?.f_double_value(&[])?);
    }
    let scale = Scale::Fixed { low: 0.0, high };
    let figures = maps.stages().iter().map(|&stage| {
        let picture = heat(&drawn.identity, maps, &selection(stage), scale)?;
        report::figure(&picture, &format!("stage {}", stage + 1))
    });
    figures.collect()
}
