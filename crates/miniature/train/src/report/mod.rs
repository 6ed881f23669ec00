//! What a trained miniature can do, measured on what it has never seen: one page to look at, and its figures as JSON.

mod card;
mod edges;
mod faces;
mod learned;
mod metric;
mod painter;
mod prompts;
mod traits;
mod wishes;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use idembed_diffusion::StableDiffusion;
use idembed_diffusion::controlnet::ControlNet;
use idembed_face::detect::Mtcnn;
use idembed_face::recognise::Recogniser;
use idembed_files::IoError;
use idembed_metrics::judge::Judge;
use idembed_page::{Figure, Inlined, Page};
use idembed_weights::{Compute, UnknownName};
use image::RgbImage;
use serde::Deserialize;
use strum::VariantArray as _;
use tch::Kind;

use crate::outputs::{WEIGHTS, png, write};
use crate::unet::Networks;
use crate::unet::held_out::SORTS;
use crate::{Check, Result, controlnet, judge, recogniser, unet, vae};
pub use metric::{Metric, Target};
pub(crate) use painter::Painter;

/// Where things are, and how the model is used.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    /// The whole model, with the recogniser and the judge in folders of their own below it.
    pub model: PathBuf,
    /// The weights of the face detector that was trained on photos.
    pub detector: PathBuf,
    /// Device and number format.
    pub compute: Compute,
    /// What to measure; everything if there is nothing in it.
    pub parts: Vec<Part>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::VariantArray, strum::VariantNames)]
#[strum(serialize_all = "kebab-case", parse_err_ty = UnknownName, parse_err_fn = UnknownName::of::<Self>)]
pub enum Part {
    /// How well pictures come back from the autoencoder.
    Autoencoder,
    /// How far the judge, the recogniser and the detector can be trusted.
    Instruments,
    /// Where words look.
    Attention,
    /// Whether pictures show what prompts ask for.
    Prompts,
    /// Whether drawn people have traits of their own, and those that words ask for.
    Traits,
    /// What learning people from a photo gives.
    Learned,
    /// Whether the ControlNet draws along edges.
    Edges,
    /// Whether people who are named are recognised.
    Names,
}

/// How the model is used, as the file beside it says.
#[derive(Debug, Deserialize)]
struct Settings {
    guidance: f64,
    steps: usize,
}

impl Settings {
    fn read(model: &Path) -> Result<Self> {
        let path = model.join("idembed.json");
        let content = fs::read(&path).map_err(IoError::reading(&path))?;
        Ok(serde_json::from_slice(&content)?)
    }
}

/// What was measured, and pictures of it.
#[derive(Debug)]
pub struct Report {
    /// All figures.
    pub figures: Vec<Metric>,
    settings: Used,
    sections: Vec<Section>,
    /// How many of the figures were said.
    said: usize,
}

/// With what the model was used.
#[derive(Debug)]
struct Used {
    model: PathBuf,
    used: String,
}

#[derive(Debug)]
struct Section {
    heading: &'static str,
    text: &'static str,
    pictures: Vec<(RgbImage, String)>,
}

/// Measures everything. Takes minutes; `say` hears how far it is.
///
/// # Errors
/// A part of the model is missing or damaged, or `stop` became true.
pub fn measure(options: &ReportOptions, stop: &AtomicBool, say: &mut dyn FnMut(&str)) -> Result<Report> {
    let compute = options.compute;
    let model = StableDiffusion::load(&options.model, compute)?;
    let Settings { guidance, steps } = Settings::read(&options.model)?;
    let weights = |part: &str| options.model.join(part).join(WEIGHTS);
    let recogniser = idembed_face::recognise::load(&weights("recogniser"), compute)?;
    let judge = Judge::load(&options.model.join("judge"), compute)?;
    let detector = Mtcnn::load(&options.detector, Compute { kind: Kind::Float, ..compute })?;

    let mut report = Report {
        figures: Vec::new(),
        settings: Used {
            model: options.model.clone(),
            used: format!("guidance {guidance}, {steps} DDIM steps, {compute}"),
        },
        sections: Vec::new(),
        said: 0,
    };
    let painter = Painter::new(&model, guidance, steps, stop)?;
    let asked = |part: &Part| options.parts.is_empty() || options.parts.contains(part);
    for part in Part::VARIANTS.iter().filter(|part| asked(part)) {
        match part {
            Part::Autoencoder => report.reconstruction(&model, recogniser.as_ref())?,
            Part::Instruments => {
                report.instruments(&judge, &weights("recogniser"), compute)?;
                report.figures.push(faces::detection(&detector)?);
            }
            Part::Attention => report.attention(StableDiffusion::load(&options.model, compute)?)?,
            Part::Prompts => report.prompts(&painter, &judge, say)?,
            Part::Traits => {
                report.figures.extend(traits::told_apart(&painter, &detector, recogniser.as_ref(), say)?);
            }
            Part::Learned => {
                let sitting = learned::Sitting::new(&options.model, compute, &detector, recogniser.as_ref(), stop)?;
                report.figures.extend(sitting.measure(say)?);
            }
            Part::Edges => report.edges(&painter, &model, &options.model.join(controlnet::NAME), say)?,
            Part::Names => report.names(&painter, &detector, recogniser.as_ref(), say)?,
        }
        report.say_new(say);
    }
    Ok(report)
}

impl Report {
    /// The figures and the settings.
    pub fn json(&self) -> serde_json::Value {
        let figure = |figure: &Metric| {
            serde_json::json!({
                "name": figure.name,
                "value": figure.value.is_finite().then_some(figure.value),
                "interval": figure.interval,
                "unit": figure.unit,
                "target": figure.target,
                "met": figure.is_met(),
            })
        };
        serde_json::json!({
            "settings": self.settings.used,
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
        })
    }

    /// The page.
    ///
    /// # Errors
    /// A picture cannot be encoded.
    pub fn page(&self) -> Result<Page> {
        let met = self.figures.iter().filter(|figure| figure.is_met() == Some(true)).count();
        let asked = self.figures.iter().filter(|figure| figure.target.is_some()).count();
        let row = |figure: &Metric| {
            (figure.name.clone(), format!("{} {}", figure.mark(), figure.result()).trim_start().to_owned())
        };
        let mut page = Page::new("What the miniature can do", &self.settings.used)
            .facts(&[("figures reached", format!("{met} of {asked}"))])
            .settings(&self.figures.iter().map(row).collect::<Vec<_>>());
        for section in &self.sections {
            let shown = |(picture, caption): &(RgbImage, String)| {
                Ok(Figure::new(Inlined::png(&png(Path::new("report"), picture.clone())?), caption))
            };
            let figures = section.pictures.iter().map(shown).collect::<Result<Vec<_>>>()?;
            page = page.section(section.heading).text(section.text).pictures(&figures);
        }
        Ok(page)
    }

    /// Writes the card into the model's folder, as `README.md`; how it was trained is read from the checkpoints in `out`.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn write_card(&self, out: &Path) -> Result<()> {
        let model = &self.settings.model;
        write(&model.join("README.md"), card::card(self, out, model)?.as_bytes())
    }

    /// Says what was measured since it was last called.
    fn say_new(&mut self, say: &mut dyn FnMut(&str)) {
        self.figures[self.said..].iter().for_each(|figure| say(&figure.line()));
        self.said = self.figures.len();
    }

    fn section(&mut self, heading: &'static str, text: &'static str, pictures: Vec<(RgbImage, String)>) {
        self.sections.push(Section { heading, text, pictures });
    }

    fn reconstruction(&mut self, model: &StableDiffusion, recogniser: &dyn Recogniser) -> Result<()> {
        let held_out = vae::held_out::HeldOut::draw()?;
        let checks = tch::no_grad(|| held_out.check(&model.vae))?;
        let targets = [Some(Target::AtLeast(29.0)), None];
        self.figures.extend(checks.iter().zip(targets).map(|(check, target)| of_check(check, target)));
        let pairs = tch::no_grad(|| held_out.pairs(&model.vae))?;
        self.figures.push(faces::kept_likeness(recogniser, &pairs)?);
        let sheet = tch::no_grad(|| held_out.sheet(&model.vae))?;
        let text = "Pictures of people who were never trained on, before and behind the autoencoder.";
        self.section("Reconstruction", text, vec![(sheet, String::new())]);
        Ok(())
    }

    /// How far the instruments themselves can be trusted.
    fn instruments(&mut self, judge: &Judge, recogniser: &Path, compute: Compute) -> Result<()> {
        let held_out = judge::held_out::HeldOut::draw()?;
        let accurate = |check: &Check| {
            let target = (check.unit == "%" && !check.name.contains("recall")).then_some(Target::AtLeast(97.0));
            Metric { name: format!("the judge is right: {}", check.name), ..of_check(check, target) }
        };
        self.figures.extend(held_out.check(judge)?.iter().map(accurate));
        let network = idembed_face::recognise::CompactResNet::from_weights(idembed_weights::Weights::open_file(
            recogniser, compute,
        )?)?;
        let targets = [Some(Target::AtMost(5.0)), None];
        let checks = recogniser::held_out::HeldOut::draw()?.check(&network)?;
        self.figures.extend(checks.iter().zip(targets).map(|(check, target)| of_check(check, target)));
        let text = "Below each picture a square for each question to the judge: green for right, red for wrong, grey where it cannot be told.";
        self.section("The judge", text, vec![(held_out.sheet(judge)?, String::new())]);
        Ok(())
    }

    /// Where words look, at each resolution of the maps.
    fn attention(&mut self, model: StableDiffusion) -> Result<()> {
        let (tokenizer, schedule) = (model.text_encoders.first().tokenizer.clone(), model.noise_schedule.clone());
        let device = model.compute.device;
        let held_out = unet::held_out::HeldOut::draw(&model.vae)?;
        let networks = Networks::of(model);
        let ratios = tch::no_grad(|| held_out.measure(&networks, &tokenizer, &schedule, device))?.ratios;
        let mut heights: Vec<i64> = ratios.iter().map(|ratio| ratio.height).collect();
        heights.sort_unstable();
        heights.dedup();
        for (sort, least) in SORTS.iter().zip([2.0, 4.0, 1.2]) {
            for &height in heights.iter().rev() {
                let own = ratios.iter().filter(|ratio| ratio.height == height);
                if let Some(value) = sort.mean(own) {
                    let name = format!("{} at {height} x {height}, over its area", sort.name);
                    self.figures.push(Metric::new(name, value, "x", Target::AtLeast(least)));
                }
            }
        }
        Ok(())
    }

    fn edges(
        &mut self,
        painter: &Painter<'_>,
        model: &StableDiffusion,
        net: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let net = ControlNet::load(net, model.compute)?;
        let (figures, sheet) = edges::followed(painter, &model.vae, &net, say)?;
        self.figures.extend(figures);
        let text = "People who were never trained on: a drawn picture, its edges, what its caption gives along them, and \
                    what the same seed gives without.";
        self.section("Edges", text, vec![(sheet, String::new())]);
        Ok(())
    }

    fn names(
        &mut self,
        painter: &Painter<'_>,
        detector: &Mtcnn,
        recogniser: &dyn Recogniser,
        say: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let (figures, sheet) = faces::names(painter, detector, recogniser, say)?;
        self.figures.extend(figures);
        let text = "A plain drawn photo of each beside the generated one; green where the recogniser finds the right one \
                    of all named people.";
        self.section("Named people", text, vec![(sheet, String::new())]);
        Ok(())
    }

    fn prompts(&mut self, painter: &Painter<'_>, judge: &Judge, say: &mut dyn FnMut(&str)) -> Result<()> {
        let (figures, shown) = prompts::follow(painter, judge, say)?;
        self.figures.extend(figures);
        let pictures = shown.into_iter().map(|shown| (shown.picture, shown.caption)).collect();
        self.section("Prompts", "The first of the prompts, with what the judge does not see in them.", pictures);
        Ok(())
    }
}

fn of_check(check: &Check, target: Option<Target>) -> Metric {
    Metric::new(check.name, check.value, check.unit, target)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn report() -> Report {
        let figures = vec![
            Metric::new("reached", 30.0, "dB", Target::AtLeast(29.0)),
            Metric::new("missed", 12.0, "%", Target::AtMost(5.0)),
            Metric::new("not measurable", f64::NAN, "", None),
        ];
        let mut report = Report {
            figures,
            settings: Used { model: PathBuf::from("model"), used: "guidance 4".to_owned() },
            sections: Vec::new(),
            said: 0,
        };
        report.section("Pictures", "Some.", vec![(RgbImage::new(3, 2), "a <caption>".to_owned())]);
        report
    }

    #[test]
    fn the_page_shows_figures_and_pictures() {
        let page = report().page().unwrap().render();
        for text in ["1 of 2", "\u{2713} 30 dB (at least 29 dB)", "\u{2717} 12 % (at most 5 %)", "a &lt;caption&gt;"] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn the_figures_are_valid_json() {
        let json = report().json();
        let figures = json["figures"].as_array().unwrap();
        assert_eq!(figures[0]["target"]["at_least"], 29.0);
        assert_eq!((&figures[0]["met"], &figures[1]["met"]), (&true.into(), &false.into()));
        assert!(figures[2]["value"].is_null() && figures[2]["met"].is_null());
    }

    #[test]
    fn the_card_tells_figures_words_and_training() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoint = idembed_weights::TensorFile::default();
        let fields = [("step", "40"), ("run.batch", "8"), ("run.learning_rate", "0.001"), ("run.seed", "3")];
        checkpoint.metadata.extend(fields.map(|(key, value)| (key.to_owned(), value.to_owned())));
        checkpoint.write(&folder.path().join("vae.ckpt")).unwrap();
        let model = folder.path().join("model");
        let mut report = report();
        report.settings.model = model.clone();
        report.write_card(folder.path()).unwrap();
        let card = fs::read_to_string(model.join("README.md")).unwrap();
        for text in [
            "320 samples, 8 per step, learning rate 0.001, seed 3",
            "| reached | 30 dB | at least 29 dB |",
            "| missed | 12 % (missed) | at most 5 % |",
            "in front of the Eiffel Tower",
            "a basketball",
        ] {
            assert!(card.contains(text), "{text} is not in\n{card}");
        }
    }

    #[test]
    fn a_model_says_how_it_is_used() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Settings::read(folder.path()), Err(crate::PretrainError::Io(IoError::Read { .. }))));
        fs::write(folder.path().join("idembed.json"), r#"{ "guidance": 3.5, "steps": 7, "batch": 1 }"#).unwrap();
        let Settings { guidance, steps } = Settings::read(folder.path()).unwrap();
        assert_eq!((guidance, steps), (3.5, 7));
    }
}
