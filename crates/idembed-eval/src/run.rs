//! A run over units.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use idembed_files::IoError;
use idembed_metrics::{Person, References};
use idembed_studio::{DrawSettings, Drawing, Model, Studio, instruments, models};
use idembed_weights::{Compute, DeviceChoice, DtypeChoice};

use crate::Result;
use crate::files::{FORMAT, RunRecord, write_json};
use crate::people::Candidate;
use crate::progress::Progress;
use crate::protocol::{Prompt, Protocol, Sampler, some_of};
use crate::unit::{Shop, Sitter, Unit};
use crate::variant::{Ablation, Grid, Variant};

/// The methods that are compared unless others are named.
const METHODS: [&str; 11] = [
    "textual-inversion",
    "textual-inversion+attention",
    "xti",
    "prospect",
    "celeb-basis",
    "persona-magic",
    "dreambooth",
    "dreambooth+attention",
    "custom-diffusion",
    "sefi-names",
    "sefi",
];
/// Those of a quick run.
const QUICK_METHODS: [&str; 2] = ["textual-inversion", "sefi"];
/// People of a quick run.
const QUICK_PEOPLE: usize = 2;
/// Prompts of a quick run.
const QUICK_PROMPTS: usize = 6;

/// What to evaluate.
#[derive(Debug, Clone, clap::Args)]
pub struct Run {
    /// The protocol: miniature, several-wishes, celeb-basis, paper, fastcomposer, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "miniature")]
    protocol: String,
    /// The methods, each with what is otherwise: textual-inversion+attention, sefi@lambda=0.01 [default: all]
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    methods: Vec<Variant>,
    /// Ask about one setting of sefi, beside or instead of the methods
    #[arg(long, value_name = "WHAT")]
    ablation: Option<Ablation>,
    /// Each method with every value of a setting, as in `steps=50,200,800`; given again, with all combinations
    #[arg(long, value_name = "SETTING=A,B,...")]
    grid: Vec<Grid>,
    /// How many people to learn [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    identities: Option<u16>,
    /// A folder with a folder of photos for each person; the first photo is learned, with the caption in a text file beside
    /// it if there is one [default: the people of the model]
    #[arg(long, value_name = "DIR")]
    people: Option<PathBuf>,
    /// A model's name, or the path of a folder in diffusers layout or of a checkpoint in one file
    #[arg(long, value_name = "MODEL", default_value = models::DEFAULT)]
    model: String,
    /// Pictures for each prompt [default: the protocol's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pictures: Option<u16>,
    /// Draw only some of the prompts, of all categories [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    prompts: Option<u16>,
    /// Training steps of every method whose label says nothing else [default: the method's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Draw and score four prompts after every N steps of learning, too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    curve: Option<u32>,
    /// A further face recognition network, by its name in models/
    #[arg(long, value_name = "NAME")]
    recogniser: Vec<String>,
    /// Two methods, two people and six prompts only
    #[arg(long)]
    quick: bool,
    /// Do only every N-th unit, beginning with the I-th
    #[arg(long, value_name = "I/N", default_value_t)]
    shard: Shard,
    /// Where everything goes
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: DeviceChoice,
    /// auto, f32, bf16 or f16
    #[arg(long, value_name = "DTYPE", default_value = "auto")]
    dtype: DtypeChoice,
}

/// A part of the units: every `of`-th, from number `index` on, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Shard { index: 1, of: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if 1 <= index && index <= of => Ok(Shard { index, of }),
            _ => Err(format!("`{text}` is no part of a whole, such as 1/4")),
        }
    }
}

impl Shard {
    /// Whether the unit of this number, from 0, belongs to it.
    fn has(self, number: usize) -> bool {
        number % self.of == self.index - 1
    }
}

impl Run {
    /// The methods to compare.
    ///
    /// # Errors
    /// A bundled label is wrong, which is a mistake in this crate.
    fn variants(&self) -> Result<Vec<Variant>> {
        let mut variants = self.methods.clone();
        if let Some(ablation) = self.ablation {
            for label in ablation.labels() {
                variants.push(label.parse()?);
            }
        }
        if variants.is_empty() {
            let labels = if self.quick { &QUICK_METHODS[..] } else { &METHODS[..] };
            variants = labels.iter().map(|label| label.parse()).collect::<Result<_>>()?;
        }
        for grid in &self.grid {
            variants = grid.over(&variants)?;
        }
        let mut distinct: Vec<Variant> = Vec::new();
        for mut variant in variants {
            // What a label says is what its column says.
            variant.wishes.steps = variant.wishes.steps.or(self.steps.map(|steps| steps as usize));
            if !distinct.iter().any(|known| known.label == variant.label) {
                distinct.push(variant);
            }
        }
        Ok(distinct)
    }

    fn candidates(&self, model: &Model) -> Result<Vec<Candidate>> {
        let mut people = match &self.people {
            Some(folder) => Candidate::of_folder(folder)?,
            None => Candidate::of_model(model)?,
        };
        let count = self.identities.map(usize::from).or(self.quick.then_some(QUICK_PEOPLE));
        people.truncate(count.unwrap_or(usize::MAX));
        Ok(people)
    }

    fn some_prompts(&self, protocol: &Protocol) -> Vec<Prompt> {
        let count = self.prompts.map(usize::from).or(self.quick.then_some(QUICK_PROMPTS));
        some_of(protocol.prompts(), count.unwrap_or(usize::MAX))
    }
}

/// Does the units that are not finished yet.
///
/// # Errors
/// What the set-up or a unit reports. Units and pictures that are done stay, and the same call goes on.
pub fn run(args: &Run) -> Result<()> {
    let protocol = Protocol::find(&args.protocol)?;
    let prompts = args.some_prompts(&protocol);
    let seeds = protocol.seeds(args.pictures.map_or(protocol.pictures, usize::from));
    let variants = args.variants()?;
    let model = Model::find(&args.model)?;
    let candidates = args.candidates(&model)?;
    let compute = Compute::resolve(args.device, args.dtype)?;
    for variant in &variants {
        let config = model.learn_config("me", variant.method).with(&variant.wishes);
        config.check().map_err(idembed_studio::StudioError::from)?;
    }
    let (instruments, judges) = instruments(&model, &args.recogniser, protocol.tau, compute)?;
    for prompt in &prompts {
        instruments.check(&prompt.request(&protocol.class), if prompt.is_of_two() { 2 } else { 1 })?;
    }
    std::fs::create_dir_all(&args.out).map_err(IoError::writing(&args.out))?;
    let DrawSettings { steps, guidance, scheduler, .. } =
        Drawing::plan(&model, "", Vec::new(), &protocol.draw(seeds.clone())?)?.settings;
    let record = RunRecord {
        format: FORMAT,
        protocol: protocol.name.clone(),
        model: model.name.clone(),
        class: protocol.class.clone(),
        methods: variants.iter().map(|variant| variant.label.clone()).collect(),
        identities: candidates.iter().map(|candidate| candidate.name.clone()).collect(),
        prompts: prompts.clone(),
        seeds: seeds.clone(),
        steps: args.steps,
        curve: args.curve,
        negative: protocol.negative.clone(),
        followed: if judges.wishes.is_some() { "judge" } else { "clip" },
        judges,
        tau: protocol.tau,
        sampler: Sampler { scheduler: scheduler.to_string(), steps, guidance },
        dtype: compute.dtype_name().to_owned(),
        version: env!("CARGO_PKG_VERSION"),
    };
    record.agree(&args.out)?;

    let studio = Studio::load(model.clone(), compute)?;
    let size = studio.facts().native_size;
    let mut sitters = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        let portrait = candidate.open(size, compute)?;
        let mask = portrait.cut.grey_mask();
        let person = instruments.person(&candidate.name, &portrait.cut.picture, mask.as_ref(), &portrait.others)?;
        sitters.push(Sitter { name: candidate.name.clone(), portrait, person });
    }
    let people: Vec<&Person> = sitters.iter().map(|sitter| &sitter.person).collect();
    write_json(&args.out.join("references.json"), &References::of(&people))?;

    let shop = Shop {
        model: &model,
        variants: &variants,
        studio: &studio,
        instruments: &instruments,
        protocol: &protocol,
        prompts: &prompts,
        seeds: &seeds,
        curve: args.curve.map(|every| every as usize),
        out: &args.out,
    };
    let units = variants.iter().flat_map(|variant| {
        sitters.iter().enumerate().map(|(index, sitter)| {
            let partner = sitters.get((index + 1) % sitters.len()).filter(|partner| partner.name != sitter.name);
            Unit { variant, sitter, partner }
        })
    });
    let units: Vec<Unit<'_>> =
        units.enumerate().filter(|(number, _)| args.shard.has(*number)).map(|(_, unit)| unit).collect();
    let done = units.iter().filter(|unit| unit.is_finished(&args.out)).count();
    let mut progress = Progress::new(units.len(), done);
    for unit in units.iter().filter(|unit| !unit.is_finished(&args.out)) {
        progress.begin(format!("{} of {}", unit.variant, unit.sitter.name));
        unit.run(&shop, &mut |what| progress.at(what))?;
        progress.finish();
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Args {
        #[command(flatten)]
        run: Run,
    }

    fn labels(arguments: &[&str]) -> Vec<String> {
        let all = ["program", "--out", "nowhere"].iter().chain(arguments);
        let variants = Args::parse_from(all).run.variants().unwrap();
        variants.into_iter().map(|variant| variant.label).collect()
    }

    #[test]
    fn every_unit_belongs_to_one_shard() {
        let shards: Vec<Shard> = (1..=4).map(|index| format!("{index}/4").parse().unwrap()).collect();
        for number in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has(number)).count(), 1);
        }
        assert!(Shard::default().has(7));
        for wrong in ["", "0/4", "5/4", "1", "1/0", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn steps_of_a_label_are_not_overruled() {
        let all = ["program", "--out", "nowhere", "--methods=sefi", "--grid=steps=50,200", "--steps=100"];
        let steps = |arguments: &[&str]| {
            let variants = Args::parse_from(arguments).run.variants().unwrap();
            variants.into_iter().map(|variant| variant.wishes.steps).collect::<Vec<_>>()
        };
        assert_eq!(steps(&all), [Some(50), Some(200)]);
        assert_eq!(steps(&["program", "--out", "nowhere", "--methods=sefi", "--steps=100"]), [Some(100)]);
    }

    #[test]
    fn methods_are_those_named_or_all() {
        assert_eq!(labels(&[]), METHODS);
        assert_eq!(labels(&["--quick"]), QUICK_METHODS);
        assert_eq!(labels(&["--methods", "sefi,xti,sefi"]), ["sefi", "xti"]);
        assert_eq!(labels(&["--ablation", "split-kv"]), ["sefi@split-kv=true", "sefi@split-kv=false"]);
        assert_eq!(labels(&["--methods", "xti", "--ablation", "stages"]).len(), 6);
    }
}
