//! What is drawn while learning goes on: a sheet that grows in the report, and when to end.

use std::path::PathBuf;

use idembed_metrics::{Instruments, Person, Request};
use idembed_page::{Figure, Page};
use idembed_studio::{BestPreview, Cut, Draw, Enough, Model, Preview, PreviewWish, instruments};
use idembed_tokens::{Identity, LearnConfig};
use idembed_weights::Compute;

use crate::{output, report};

/// How many previews in a row may be no better than the best before learning ends.
const PATIENCE: usize = 3;
/// Previews of a run that is to end by itself, where nobody says how often.
const USUAL_COUNT: usize = 10;
/// The least CLIP cosine of a picture that follows its prompt, where the model has no judge.
const TAU: f64 = 0.245;

/// When learning ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Stop {
    /// After all steps.
    Steps,
    /// Once previews do not get better.
    Auto,
}

/// The previews of a run.
pub(super) struct Previews {
    wish: PreviewWish,
    /// The prompts as they are shown.
    shown: Vec<String>,
    /// The page to write whenever there is something new.
    report: Option<PathBuf>,
    title: String,
    steps: Vec<String>,
    /// For each prompt, a figure for each step.
    figures: Vec<Vec<Figure>>,
    ending: Option<Ending>,
}

/// What decides when to end.
struct Ending {
    instruments: Instruments,
    person: Person,
    requests: Vec<Request>,
    best: BestPreview,
    enough: Enough,
}

impl Previews {
    /// Those of a run, if there are any; `every` and `stop` are the flags.
    ///
    /// # Errors
    /// A network that scores is missing, or there is no face to compare with.
    pub(super) fn of(
        model: &Model,
        config: &LearnConfig,
        subject: &Cut,
        (every, stop): (Option<usize>, Stop),
        report: Option<PathBuf>,
        compute: Compute,
    ) -> anyhow::Result<Option<Previews>> {
        if every.is_none() && stop == Stop::Steps {
            return Ok(None);
        }
        let prompts = model.settings.learn.prompts.clone();
        let every = every.unwrap_or(config.steps.div_ceil(USUAL_COUNT));
        let shown = prompts.iter().map(|prompt| prompt.replace("{}", &format!("<{}>", config.name))).collect();
        let ending = match stop {
            Stop::Steps => None,
            Stop::Auto => {
                let (instruments, judges) = instruments(model, &[], TAU, compute)?;
                let mask = subject.grey_mask();
                let person = instruments.person(&config.name, &subject.picture, mask.as_ref(), &[])?;
                let request = |prompt: &String| Request::new(prompt, &config.class, Default::default());
                let (id, clip) = (&judges.id[0], &judges.prompt[0]);
                tracing::info!("learning ends once `{id}` and `{clip}` see no better pictures");
                let requests = prompts.iter().map(request).collect();
                let (best, enough) = (BestPreview::new(PATIENCE), Enough::default());
                Some(Ending { instruments, person, requests, best, enough })
            }
        };
        let figures = vec![Vec::new(); prompts.len()];
        let wish = PreviewWish { every, prompts, draw: Draw::default() };
        let title = format!("Identity <{}>", config.name);
        Ok(Some(Previews { wish, shown, report, title, steps: Vec::new(), figures, ending }))
    }

    /// What is to be drawn.
    pub(super) fn wish(&self) -> PreviewWish {
        self.wish.clone()
    }

    /// How the run learns that it may end.
    pub(super) fn enough(&self) -> Enough {
        self.ending.as_ref().map(|ending| ending.enough.clone()).unwrap_or_default()
    }

    /// Takes the next preview.
    ///
    /// # Errors
    /// The page cannot be written, or scoring fails.
    pub(super) fn add(&mut self, preview: Preview) -> anyhow::Result<()> {
        self.steps.push(format!("step {}", preview.step));
        for (figures, drawn) in self.figures.iter_mut().zip(&preview.pictures) {
            for drawn in drawn {
                figures.push(report::figure(&drawn.picture, "")?);
            }
        }
        if let Some(ending) = &mut self.ending {
            ending.add(preview)?;
        }
        if let Some(path) = &self.report {
            let page = self.section(Page::new(&self.title, "being learned"));
            output::write_file(path, page.render().as_bytes())?;
        }
        Ok(())
    }

    /// The pictures side by side.
    pub(super) fn section(&self, page: Page) -> Page {
        let rows: Vec<(String, Vec<Figure>)> = self.shown.iter().cloned().zip(self.figures.iter().cloned()).collect();
        let page = page.section("On the way").text("The same seed everywhere; what `generate` draws with that state.");
        page.compared(&self.steps, &rows)
    }

    /// The best state, where the run was to end by itself.
    pub(super) fn take_best(&mut self) -> Option<(f64, usize, Identity)> {
        self.ending.take()?.best.into_best()
    }
}

impl Ending {
    fn add(&mut self, preview: Preview) -> anyhow::Result<()> {
        let (mut sum, mut count) = (0.0, 0);
        for (request, drawn) in self.requests.iter().zip(&preview.pictures) {
            let pictures: Vec<_> = drawn.iter().map(|drawn| drawn.picture.clone()).collect();
            for scored in self.instruments.score(&self.person, request, &pictures)? {
                let of = |name: &str| scored.scores.get(name).copied().unwrap_or(0.0);
                // Both must be good: a pasted photo follows no prompt, and a stranger follows any.
                sum += of("id").max(0.0) * of("prompt").max(0.0);
                count += 1;
            }
        }
        let (value, step) = (sum / f64::from(count.max(1)), preview.step);
        tracing::info!("step {step}: likeness times agreement with the prompt is {value:.4}");
        self.best.add(value, step, preview.identity);
        if self.best.has_passed() {
            self.enough.say();
        }
        Ok(())
    }
}
