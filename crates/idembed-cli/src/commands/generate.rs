//! `idembed generate`: pictures from a prompt.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use idembed_diffusion::Area;

use idembed_studio::picture_file::{self, PictureRecord};
use idembed_studio::{Draw, Drawing, Drawn, Enlargement, FaceDetail, Model, RegionWish, Source};
use idembed_tokens::Regions;
use serde_json::json;

use crate::args::{ComputeArgs, DrawArgs, positive, share};
use crate::failure::wrong_usage;
use crate::progress::duration;
use crate::sheet::{Cell, Sheet};
use crate::{jobs, output};

const EXAMPLES: &str = "\
Examples:
  idembed generate \"a photo of a woman at the beach\"
  idembed generate \"a photo of <me> in space\" -i me=me.identity.safetensors -n 4
  idembed generate \"a photo of <ann> and <bob>\" -i ann=ann.safetensors \\
      -i bob=bob.safetensors --model models/sd15 --size 768x512
  idembed generate \"a photo of <me:0.7>\" -i me=me.identity.safetensors
  idembed generate \"a photo of <ann> and <bob>\" -i ann=ann.safetensors \\
      -i bob=bob.safetensors --region ann=0,0,0.5,1 --region bob=0.5,0,0.5,1
  idembed generate \"a photo of <ann> and <bob>\" -i ann=ann.safetensors \\
      -i bob=bob.safetensors --region auto
  idembed generate \"a castle, <brush>\" --embedding brush=brush.safetensors
  idembed generate \"an oil painting of <me>\" -i me=me.identity.safetensors \\
      --from photo.jpg --strength 0.6
  idembed generate \"a photo of <me>\" -i me=me.identity.safetensors \\
      --from group.jpg --inpaint face.png

In the prompt, <NAME> stands for the identity of --identity NAME=FILE. (word:1.3)
gives a word 1.3 times the weight, (word) 1.1 times, [word] divides it by 1.1; a
backslash before a bracket makes it text, and so does a partner that is missing.
BREAK and every 75th token begin a new chunk, read by itself. --plain-prompt
leaves all of this alone. --clip-skip 2 is `clip_skip=1` in diffusers.

<NAME:0.7> draws an identity so strongly: 0 is the class word, 1 what was learned,
at most 2. <NAME:0.2/0.4/0.6/0.8/1> is a strength for each stage, the noisiest
first. Behind the file, FILE:0.7, it holds where the prompt says none; numbers
behind the last colon are always a strength.

A picture is written to DIR/SEED.png and holds its prompt and settings; `idembed
inspect` shows them. A file of that name that was made with other settings is
kept, and the new picture becomes DIR/SEED-2.png, unless --overwrite is given.

--hires 1.5 --face-detail draws a large picture in which small faces are right, too:
pictures much larger than those that a model learned from lose their composition
when they are drawn at once.

A picture to draw from is scaled to --size, what is too much cut off at its sides;
by itself it is drawn at its own size, rounded to multiples of 8.

Samplers, each as the class of diffusers with the model's own settings:
  dpmpp-2m         good in 20 to 30 steps; the first to try
  dpmpp-2m-karras  the same with more steps near the end: finer detail
  unipc            good in 8 to 15 steps
  dpmpp-2m-sde     adds noise as it goes: livelier detail, from 25 steps
  dpmpp-sde        the same with a second look: in 10 to 20 steps
  ddim             the plain one, which papers compare with, in 50 steps;
                   --eta adds noise at each
  euler            simple and soft, in 30 steps
  euler-a          adds noise as it goes: varied, and never settles
  heun             looks twice in each step: exact, and takes twice the time
  pndm             the first releases' default, to repeat their pictures
  lcm              for models and LoRA made for it: 4 to 8 steps, --guidance 1";

/// Flags of `idembed generate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to draw
    prompt: String,
    /// How many pictures, with the seeds SEED, SEED + 1, ...
    #[arg(long, short = 'n', value_name = "N", default_value = "1", value_parser = positive)]
    images: usize,
    /// Where to put the pictures
    #[arg(long, short, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Replace pictures that were made with other settings
    #[arg(long)]
    overwrite: bool,
    /// Also put all pictures on one sheet
    #[arg(long, value_name = "FILE.png")]
    grid: Option<PathBuf>,
    /// Print one JSON object: images[] of path and seed, and the settings
    #[arg(long)]
    json: bool,
    /// Pictures drawn at the same time: faster, but takes more memory [default: the model's]
    #[arg(long, value_name = "N", value_parser = positive)]
    batch: Option<usize>,
    /// Keep an identity to a part of the picture, in shares of its width and height from the upper left corner: 0,0,0.5,1 is the
    /// left half (one for each identity). `auto` keeps all of them to where their words look in the first steps
    #[arg(long = "region", value_name = "NAME=X,Y,W,H")]
    regions: Vec<RegionArg>,
    #[command(flatten)]
    draw: DrawArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    again: AgainArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// What is drawn once more.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Drawing once more")]
struct AgainArgs {
    /// Enlarge each picture so many times and draw it once more, with a share of the steps [default share: 0.5]
    #[arg(long, value_name = "FACTOR[:SHARE]")]
    hires: Option<Enlargement>,
    /// Draw it once more in overlapping parts of the model's own size: for large factors, which take much time and memory at
    /// once; a share of 0.4 and less keeps the parts one picture
    #[arg(long, requires = "hires")]
    hires_tiles: bool,
    /// Draw the face of each identity once more at the model's own size, with a share of the steps, and put it back: for
    /// faces that are small in the picture [default share: 0.5]
    #[arg(long, value_name = "SHARE", num_args = 0..=1, value_parser = above_zero_to_one)]
    face_detail: Option<Option<f64>>,
    /// What those faces are drawn with, {} standing for the identity, such as "a sketch of the face of {}" [default: a photo
    /// of the face of {}]
    #[arg(long, value_name = "PROMPT", requires = "face_detail")]
    face_prompt: Option<String>,
}

impl AgainArgs {
    fn face_detail(&self) -> Option<FaceDetail> {
        self.face_detail.map(|share| share.map_or(FaceDetail::default(), |strength| FaceDetail { strength }))
    }
}

fn above_zero_to_one(text: &str) -> Result<f64, String> {
    share(text).ok().filter(|&share| share > 0.0).ok_or_else(|| "expected a number above 0, up to 1".to_owned())
}

/// A picture to draw from.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "From a picture")]
struct SourceArgs {
    /// Draw from this picture instead of from noise alone; --size is its own then, if not given
    #[arg(long, value_name = "PICTURE")]
    from: Option<PathBuf>,
    /// How much is drawn anew: the share of the steps that is taken, up to 1 [default: 0.8, with --inpaint 1]
    #[arg(long, value_name = "F", requires = "from", value_parser = share, allow_negative_numbers = true)]
    strength: Option<f64>,
    /// Draw anew only what is white in this picture, which may have any size
    #[arg(long, value_name = "MASK", requires = "from")]
    inpaint: Option<PathBuf>,
}

impl SourceArgs {
    /// Reads the picture, if there is one.
    fn open(&self) -> anyhow::Result<Option<Source>> {
        let Some(from) = &self.from else { return Ok(None) };
        let source = match &self.inpaint {
            Some(mask) => Source::open_masked(from, mask, self.strength),
            None => Source::open(from, self.strength),
        };
        Ok(Some(source?))
    }
}

/// The parts of the picture that identities are kept to.
#[derive(Debug, Clone, PartialEq)]
enum RegionArg {
    /// Those where their words look, written `auto`.
    Auto,
    /// One of them, written `NAME=X,Y,W,H`.
    Given { name: String, area: Area },
}

impl FromStr for RegionArg {
    type Err = String;

    fn from_str(text: &str) -> Result<RegionArg, String> {
        if text == "auto" {
            return Ok(RegionArg::Auto);
        }
        let (name, area) = text.split_once('=').ok_or("expected NAME=X,Y,W,H, such as me=0,0,0.5,1, or auto")?;
        let area = area.parse().map_err(|error: idembed_diffusion::Error| error.to_string())?;
        Ok(RegionArg::Given { name: name.to_owned(), area })
    }
}

/// Puts the regions of a command line together.
fn region_wish(args: &[RegionArg]) -> anyhow::Result<RegionWish> {
    let mut regions = Regions::new();
    for arg in args {
        match arg {
            RegionArg::Auto if args.len() == 1 => return Ok(RegionWish::Found),
            RegionArg::Auto => return Err(wrong_usage("--region auto stands alone: it finds all regions")),
            RegionArg::Given { name, area } => {
                if regions.insert(name.clone(), *area).is_some() {
                    return Err(wrong_usage(format!("--region {name}=... is given twice")));
                }
            }
        }
    }
    Ok(RegionWish::Given(regions))
}

/// What was checked before anything is loaded.
struct Plan {
    model: Model,
    drawing: Drawing,
}

impl Plan {
    fn new(args: &Args) -> anyhow::Result<Plan> {
        output::check_folder(&args.out)?;
        if let Some(grid) = &args.grid {
            output::check_new_file(grid, true)?;
        }
        let seeds: Vec<u64> = (0..args.images as u64).map(|index| args.draw.seed.wrapping_add(index)).collect();
        let wish = Draw {
            from: args.source.open()?,
            regions: region_wish(&args.regions)?,
            enlargement: args.again.hires.map(|hires| Enlargement { tiled: args.again.hires_tiles, ..hires }),
            face_detail: args.again.face_detail(),
            face_prompt: args.again.face_prompt.clone(),
            ..args.draw.wish(seeds, args.batch)
        };
        let (model, drawing) = args.draw.plan(&args.prompt, &wish)?;
        let pictures = drawing.seeds.iter().map(|seed| args.out.join(format!("{seed}.png")));
        let identities = args.draw.identities.iter().map(|identity| &identity.path);
        // A picture made otherwise is kept, so that one can be drawn from into its own folder.
        let replaced = args.source.from.iter().chain(&args.source.inpaint).filter(|_| args.overwrite);
        let read: Vec<&Path> = identities.chain(replaced).map(PathBuf::as_path).collect();
        output::check_inputs_stay(args.grid.iter().cloned().chain(pictures), &read)?;
        Ok(Plan { model, drawing })
    }
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let compute = args.compute.resolve()?;
    let Plan { model, drawing } = Plan::new(args)?;
    let studio = jobs::load_for(&drawing, &model, compute)?;
    let expected_memory_mib = jobs::announce(&studio.forecast_drawing(&drawing, false)?);
    let loaded = started.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut images = Vec::with_capacity(drawing.seeds.len());
    let mut cells = Vec::new();
    let mut record = None;
    jobs::draw(&studio, drawing.clone(), |drawn| {
        let path = write_picture(&args.out, &drawn, args.overwrite)?;
        if !args.json {
            output::line(path.display())?;
        }
        images.push(json!({ "path": output::shown(&path), "seed": drawn.record.seed }));
        let Drawn { picture, record: made } = drawn;
        if args.grid.is_some() {
            cells.push(Cell::new(picture, format!("seed {}", made.seed)));
        }
        record = Some(made);
        Ok(())
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let count = if images.len() == 1 { "1 picture".to_owned() } else { format!("{} pictures", images.len()) };
    tracing::info!("{count} in {}", duration(seconds));

    if let Some(grid) = &args.grid {
        write_grid(grid, &model, &drawing, cells)?;
    }
    if let Some(record) = record.filter(|_| args.json) {
        output::json(&json!({
            "images": images,
            "grid": args.grid.as_deref().map(output::shown),
            "prompt": record.prompt,
            "negative": record.negative,
            "weighted": record.weighted,
            "clip_skip": record.clip_skip,
            "model": record.model,
            "prediction": record.prediction,
            "model_sha256": record.model_sha256,
            "identities": record.identities,
            "steps": record.steps,
            "guidance": record.guidance,
            "scheduler": record.scheduler,
            "eta": record.eta,
            "from": record.from,
            "device": compute.to_string(),
            "load_seconds": loaded,
            "seconds": seconds,
            "expected_memory_mib": expected_memory_mib,
            "peak_memory_mib": output::peak_memory_mib(),
        }))?;
    }
    Ok(())
}

/// Writes a picture under its seed into a folder, which is made where there is none; one that was made otherwise keeps its file,
/// unless `overwrite`.
///
/// # Errors
/// What the system said.
pub(crate) fn write_picture(folder: &Path, drawn: &Drawn, overwrite: bool) -> anyhow::Result<PathBuf> {
    output::make_folder(folder)?;
    let record = &drawn.record;
    let first = folder.join(format!("{}.png", record.seed));
    let numbered = (2..).map(|number| folder.join(format!("{}-{number}.png", record.seed)));
    let is_free = |path: &PathBuf| overwrite || !path.exists() || is_same(path, record);
    let path = std::iter::once(first.clone()).chain(numbered).find(is_free).unwrap_or(first);
    drawn.save(&path)?;
    Ok(path)
}

/// Whether the file is the picture that is about to be written.
fn is_same(path: &Path, record: &PictureRecord) -> bool {
    picture_file::read(path).is_ok_and(|text| text.record.is_some_and(|there| there.is_same_picture(record)))
}

fn write_grid(path: &Path, model: &Model, drawing: &Drawing, cells: Vec<Cell>) -> anyhow::Result<()> {
    let settings = &drawing.settings;
    let subtitle =
        format!("{}, {} steps of {}, guidance {}", model.name, settings.steps, settings.scheduler, settings.guidance);
    let columns = (cells.len() as f64).sqrt().ceil() as usize;
    Ok(picture_file::write(path, &Sheet::new(&drawing.prompt.text, &subtitle).grid(columns, cells).draw()?, None)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use image::RgbImage;

    use super::*;

    #[test]
    fn other_pictures_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let record = |prompt: &str| -> PictureRecord {
            serde_json::from_value(serde_json::json!({
                "prompt": prompt, "negative": "", "steps": 1, "guidance": 1.0, "scheduler": "ddim", "seed": 7, "size": [8, 8],
                "model": "mini", "prediction": "epsilon", "version": "0",
            }))
            .unwrap()
        };
        let drawn = |record: PictureRecord| Drawn { picture: RgbImage::new(8, 8), record };
        let write = |prompt: &str, overwrite: bool| {
            let path = write_picture(folder.path(), &drawn(record(prompt)), overwrite).unwrap();
            path.file_name().unwrap().to_string_lossy().into_owned()
        };
        assert_eq!(write("a", false), "7.png");
        assert_eq!(write("a", false), "7.png");
        assert_eq!(write("b", false), "7-2.png");
        assert_eq!(write("c", false), "7-3.png");
        assert_eq!(write("b", false), "7-2.png");
        assert_eq!(write("c", true), "7.png");
        // What did not say its model's hash yet is replaced; what says another one is another picture.
        let hashed = |hash: &str| PictureRecord { model_sha256: Some(hash.to_owned()), ..record("b") };
        let name = |record: &PictureRecord| {
            let path = write_picture(folder.path(), &drawn(record.clone()), false).unwrap();
            path.file_name().unwrap().to_string_lossy().into_owned()
        };
        assert_eq!(name(&hashed("1")), "7-2.png");
        assert_eq!(name(&hashed("2")), "7-4.png");
        assert_eq!(name(&hashed("1")), "7-2.png");
        std::fs::write(folder.path().join("7.png"), b"not a picture").unwrap();
        assert_eq!(write("a", false), "7-5.png");
    }
}
