//! `idembed attention`: where in a picture each word of the prompt acts.

mod numbers;
mod words;

use std::path::{Path, PathBuf};

use anyhow::ensure;
use idembed_attention::{AttentionMaps, HeatMap, Mask, Scale, Selection};
use idembed_studio::picture_file;
use idembed_studio::{Size, Watch, Watched};
use image::RgbImage;
use image::imageops::{self, FilterType};
use serde::Serialize;
use serde_json::json;
use tch::Tensor;

use crate::args::{ComputeArgs, DrawArgs, positive};
use crate::progress::Progress;
use crate::sheet::{Cell, Sheet};
use crate::{jobs, output, report};
use numbers::{Numbers, Values, WordReport};

const EXAMPLES: &str = "\
Examples:
  idembed attention \"a photo of a man holding a basketball in a garage\"
  idembed attention \"a photo of <me> at the beach\" -i me=me.identity.safetensors \\
      --words \"<me>,beach\" --mask face.png

Draws one picture and writes into DIR:
  SEED.png          the picture
  SEED-WORD.png     where a word acts: bright is much, dark is little
  SEED-layers.png   the same for each cross-attention layer
  SEED-stages.png   the same for each stage of the drawing, the noisiest first
  SEED-maps.json    the numbers: the share of each pixel's attention for a word
With --mask, a word's leakage is the share of its attention outside the mask.";

/// Opacity of the colours over the picture.
const OPACITY: f64 = 0.65;
/// Stages to divide the drawing into if no identity says otherwise.
const STAGES: usize = 5;
/// Longest side of the small pictures on the sheets by layer and stage.
const SMALL: u32 = 256;

/// Flags of `idembed attention`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to draw
    prompt: String,
    /// The words or phrases to look at, with commas between [default: all that carry meaning]
    #[arg(long, value_name = "a,b")]
    words: Option<String>,
    /// Where to put the pictures
    #[arg(long, short, value_name = "DIR", default_value = "out/attention")]
    out: PathBuf,
    /// A picture of the same size, white where the face is: measures leakage
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// Stages to divide the drawing into [default: as many as the first identity has, or 5]
    #[arg(long, value_name = "N", value_parser = positive)]
    stages: Option<usize>,
    /// Print one JSON object: words[] of word, map, mean and, with a mask, leakage
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let compute = args.compute.resolve()?;
    output::check_folder(&args.out)?;
    let wish = args.draw.wish(vec![args.draw.seed], Some(1));
    let (model, drawing) = args.draw.plan(&args.prompt, &wish)?;
    let mut identities = drawing.identities.iter().map(|named| &named.identity).filter(|it| !it.is_embedding());
    let stages = args.stages.or_else(|| Some(identities.next()?.stages()));
    let stages = stages.unwrap_or(STAGES);
    let words = match &args.words {
        Some(list) => words::listed(list),
        None => words::meaningful(drawing.prompt.bare_text()),
    };
    ensure!(!words.is_empty(), "there is no word to look at in the prompt `{}`", args.prompt);
    drawing.check_words(&words)?;

    let studio = jobs::load_for(&drawing, &model, compute)?;
    jobs::announce(&studio.forecast_drawing(&drawing, true)?);
    let size = drawing.settings.size.unwrap_or(studio.facts().native_size);
    let mask = args.mask.as_ref().map(|path| open_mask(path, size)).transpose()?;
    let mut progress = Progress::new("drawing", 0, drawing.total_steps(1));
    let prompt = drawing.prompt.text.clone();
    let Watched { drawn, maps, .. } = jobs::watch(&studio, drawing, Watch { words, stages }, &mut progress)?;
    drop(progress);

    let path = super::generate::write_picture(&args.out, &drawn, false)?;
    let report = Report { maps, picture: drawn.picture, mask };
    let files = report.write(&path.with_extension(""), &prompt, args.mask.as_slice())?;
    if args.json {
        return output::json(&json!({
            "image": output::shown(&path),
            "seed": drawn.record.seed,
            "model": model.name,
            "words": files.words,
            "layers_sheet": output::shown(&files.layers),
            "stages_sheet": output::shown(&files.stages),
            "numbers": output::shown(&files.numbers),
        }));
    }
    report.print(&files)
}

fn open_mask(path: &Path, size: Size) -> anyhow::Result<Mask> {
    Ok(Mask::new(&idembed_studio::open_mask(path, size)?)?)
}

/// A drawn picture with what was seen while it was drawn.
struct Report {
    maps: AttentionMaps,
    picture: RgbImage,
    mask: Option<Mask>,
}

/// A word in the file of numbers.
#[derive(Serialize)]
struct WordWithValues<'a> {
    #[serde(flatten)]
    word: &'a WordReport,
    values: Values,
}

/// What was written.
struct Files {
    words: Vec<WordReport>,
    layers: PathBuf,
    stages: PathBuf,
    numbers: PathBuf,
}

impl Report {
    /// Writes all files beside each other, their names beginning with `stem`; none of them may be one that was `read`.
    fn write(&self, stem: &Path, prompt: &str, read: &[PathBuf]) -> anyhow::Result<Files> {
        let named = |added: &str| output::with_added(stem, &format!("-{added}"));
        let mut words = Vec::new();
        let mut values = Vec::new();
        let file_names = words::file_names(self.maps.words().iter().map(|word| word.label.as_str()));
        let paths: Vec<PathBuf> = file_names.iter().map(|name| named(&format!("{name}.png"))).collect();
        let (layers, stages, numbers) = (named("layers.png"), named("stages.png"), named("maps.json"));
        output::check_inputs_stay(paths.iter().chain([&layers, &stages, &numbers]), read)?;
        for (index, path) in paths.iter().enumerate() {
            let map = self.maps.word_map(index, &Selection::default())?;
            let picture = HeatMap::over(&self.picture, &map, Scale::PerMap, OPACITY)?.picture;
            picture_file::write(path, &picture, None)?;
            words.push(WordReport::of(&self.maps, self.mask.as_ref(), index, path)?);
            values.push(Values::of(&map)?);
        }
        let files = Files { words, layers, stages, numbers };
        picture_file::write(&files.layers, &self.sheet(prompt, &self.layer_columns(), "by layer")?, None)?;
        picture_file::write(&files.stages, &self.sheet(prompt, &self.stage_columns(), "by stage")?, None)?;
        let words = files.words.iter().zip(values).map(|(word, values)| WordWithValues { word, values });
        let text = serde_json::to_vec(&json!({ "prompt": prompt, "words": words.collect::<Vec<_>>() }))?;
        output::write_file(&files.numbers, &text)?;
        Ok(files)
    }

    fn layer_columns(&self) -> Vec<(String, Selection)> {
        let columns = self.maps.layers().iter().map(|layer| {
            let label = format!("{} ({} x {})", words::short_layer(&layer.name), layer.width, layer.height);
            (label, Selection { layer: Some(layer.index), ..Selection::default() })
        });
        columns.collect()
    }

    fn stage_columns(&self) -> Vec<(String, Selection)> {
        let columns =
            self.maps.stages().iter().map(|&stage| {
                (format!("stage {}", stage + 1), Selection { stage: Some(stage), ..Selection::default() })
            });
        columns.collect()
    }

    /// A row for each word, a column for each selection; the colours of one row mean the same.
    fn sheet(&self, prompt: &str, columns: &[(String, Selection)], what: &str) -> anyhow::Result<RgbImage> {
        let small = small(&self.picture);
        let subtitle = format!("Where each word acts, {what}. The colours of a row share one scale.");
        let labels = columns.iter().map(|(label, _)| label.as_str());
        let mut sheet = Sheet::new(prompt, &subtitle).column_labels(labels);
        for (index, word) in self.maps.words().iter().enumerate() {
            let maps = columns.iter().map(|(_, selection)| self.maps.word_map(index, selection));
            let maps: Vec<Tensor> = maps.collect::<idembed_attention::Result<_>>()?;
            let mut high = f64::MIN_POSITIVE;
            for map in &maps {
                high = high.max(map.f_max()?.f_double_value(&[])?);
            }
            let mut cells = Vec::with_capacity(maps.len());
            for (map, (_, selection)) in maps.iter().zip(columns) {
                let picture = HeatMap::over(&small, map, Scale::Fixed { low: 0.0, high }, OPACITY)?.picture;
                let numbers = Numbers::of(&self.maps, self.mask.as_ref(), index, selection)?;
                let mut caption = format!("mean {:.3}", numbers.mean);
                if let Some(leakage) = numbers.leakage() {
                    caption += &format!(", leakage {}", report::percent(leakage));
                }
                cells.push(Cell::new(picture, caption));
            }
            sheet = sheet.row(&word.label, cells);
        }
        sheet.draw()
    }

    fn print(&self, files: &Files) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for word in &files.words {
            let mut text = format!("{:5.1} % of the attention", 100.0 * word.numbers.mean);
            if let Some(leakage) = word.numbers.leakage() {
                text += &format!(", leakage {}", report::percent(leakage));
            }
            rows.push((word.word.clone(), format!("{text}  {}", word.map)));
        }
        for (name, path) in [("by layer", &files.layers), ("by stage", &files.stages), ("numbers", &files.numbers)] {
            rows.push((name.to_owned(), path.display().to_string()));
        }
        output::table(&rows)
    }
}

fn small(picture: &RgbImage) -> RgbImage {
    let longest = picture.width().max(picture.height());
    if longest <= SMALL {
        return picture.clone();
    }
    let side = |length: u32| (u64::from(length) * u64::from(SMALL) / u64::from(longest)).max(1) as u32;
    imageops::resize(picture, side(picture.width()), side(picture.height()), FilterType::Triangle)
}
