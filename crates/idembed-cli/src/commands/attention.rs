//! `idembed attention`: where in a picture each word of the prompt acts.

mod words;

use std::path::{Path, PathBuf};

use anyhow::ensure;
use idembed_attention::{AttentionMaps, HeatMap, Mask, Scale, Selection, Word};
use image::RgbImage;
use image::imageops::{self, FilterType};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::args::{ComputeArgs, DrawArgs, positive};
use crate::drawing::{DrawPlan, Watch};
use crate::sheet::{Cell, Sheet};
use crate::size::Size;
use crate::{output, pixels, png, report};

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
    let mut plan = DrawPlan::new(&args.prompt, &args.draw)?;
    plan.settings.batch = 1;
    let stages = args.stages.or_else(|| plan.identities.first().map(|named| named.identity.stages()));
    let stages = stages.unwrap_or(STAGES);
    let words = match &args.words {
        Some(list) => words::listed(list),
        None => words::meaningful(&args.prompt),
    };
    ensure!(!words.is_empty(), "there is no word to look at in the prompt `{}`", args.prompt);
    let tokenizer = plan.tokenizer()?;
    let words: Vec<Word> = words
        .into_iter()
        .map(|word| Ok(Word::new(word.as_str(), plan.prompt.word_positions(&word, &tokenizer)?)))
        .collect::<anyhow::Result<_>>()?;

    let studio = plan.open(compute, true)?;
    let size = plan.settings.size_for(&studio.model);
    let mask = args.mask.as_ref().map(|path| open_mask(path, size)).transpose()?;

    let mut watch = Watch::new(&studio.model, words, stages)?;
    let mut drawn = None;
    let seed = args.draw.seed;
    studio.draw(&[seed], Some(&mut watch), |_, picture| {
        drawn = Some(picture);
        Ok(())
    })?;
    let picture = drawn.ok_or_else(|| anyhow::anyhow!("no picture was drawn"))?;
    let report = Report { maps: watch.finish()?, picture, mask };

    output::make_folder(&args.out)?;
    let record = plan.record(seed, &report.picture, compute);
    let path = super::generate::write_picture(&args.out, &report.picture, &record, false)?;
    let files = report.write(&path.with_extension(""), &plan.prompt.text, args.mask.as_slice())?;
    if args.json {
        return output::json(&json!({
            "image": output::shown(&path),
            "seed": seed,
            "model": plan.model.name,
            "words": files.words,
            "layers_sheet": output::shown(&files.layers),
            "stages_sheet": output::shown(&files.stages),
            "numbers": output::shown(&files.numbers),
        }));
    }
    report.print(&files)
}

fn open_mask(path: &Path, size: Size) -> anyhow::Result<Mask> {
    Ok(Mask::new(&pixels::to_mask(&pixels::open_mask(path, size.width, size.height)?)?)?)
}

/// A drawn picture with what was seen while it was drawn.
struct Report {
    maps: AttentionMaps,
    picture: RgbImage,
    mask: Option<Mask>,
}

/// What was written.
struct Files {
    /// For each word: its name, its picture, its numbers.
    words: Vec<Value>,
    layers: PathBuf,
    stages: PathBuf,
    numbers: PathBuf,
}

impl Report {
    /// Writes all files beside each other, their names beginning with `stem`; none of them may be one that was `read`.
    fn write(&self, stem: &Path, prompt: &str, read: &[PathBuf]) -> anyhow::Result<Files> {
        let named = |added: &str| output::with_added(stem, &format!("-{added}"));
        let planes = pixels::to_planes(&self.picture)?;
        let mut words: Vec<Value> = Vec::new();
        let mut numbers = Vec::new();
        let file_names = words::file_names(self.maps.words().iter().map(|word| word.label.as_str()));
        let paths: Vec<PathBuf> = file_names.iter().map(|name| named(&format!("{name}.png"))).collect();
        let (layers, stages, values_file) = (named("layers.png"), named("stages.png"), named("maps.json"));
        output::check_inputs_stay(paths.iter().chain([&layers, &stages, &values_file]), read)?;
        for (index, path) in paths.iter().enumerate() {
            let map = self.maps.word_map(index, &Selection::default())?;
            let picture = HeatMap::over(&planes, &map, Scale::PerMap, OPACITY)?.picture;
            png::write(path, &pixels::from_planes(&picture)?, None)?;
            let mut word = self.numbers(index, &Selection::default())?;
            word["word"] = json!(self.maps.words()[index].label);
            word["map"] = json!(output::shown(path));
            word["layers"] = self.each_layer(index)?;
            word["stages"] = self.each_stage(index)?;
            let mut with_values = word.clone();
            with_values["values"] = values(&map)?;
            words.push(word);
            numbers.push(with_values);
        }
        let files = Files { words, layers, stages, numbers: values_file };
        png::write(&files.layers, &self.sheet(prompt, &self.layer_columns(), "by layer")?, None)?;
        png::write(&files.stages, &self.sheet(prompt, &self.stage_columns(), "by stage")?, None)?;
        let text = serde_json::to_vec(&json!({ "prompt": prompt, "words": numbers }))?;
        output::write_file(&files.numbers, &text)?;
        Ok(files)
    }

    /// How much attention a word gets, and how much of it outside the mask.
    fn numbers(&self, word: usize, selection: &Selection) -> anyhow::Result<Value> {
        let map = self.maps.word_map(word, selection)?;
        let mut numbers = json!({
            "mean": map.f_mean(Kind::Double)?.f_double_value(&[])?,
            "peak": map.f_max()?.f_double_value(&[])?,
        });
        if let Some(mask) = &self.mask {
            numbers["leakage"] = json!(self.maps.leakage(word, selection, mask)?);
        }
        Ok(numbers)
    }

    fn each_layer(&self, word: usize) -> anyhow::Result<Value> {
        let layers = self.maps.layers().iter().map(|layer| {
            let mut numbers = self.numbers(word, &Selection { layer: Some(layer.index), ..Selection::default() })?;
            numbers["layer"] = json!(layer.name);
            numbers["width"] = json!(layer.width);
            numbers["height"] = json!(layer.height);
            Ok(numbers)
        });
        layers.collect()
    }

    fn each_stage(&self, word: usize) -> anyhow::Result<Value> {
        let stages = self.maps.stages().iter().map(|&stage| {
            let mut numbers = self.numbers(word, &Selection { stage: Some(stage), ..Selection::default() })?;
            numbers["stage"] = json!(stage + 1);
            Ok(numbers)
        });
        stages.collect()
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
        let planes = pixels::to_planes(&small(&self.picture))?;
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
                let picture = HeatMap::over(&planes, map, Scale::Fixed { low: 0.0, high }, OPACITY)?.picture;
                let mut caption = format!("mean {:.3}", map.f_mean(Kind::Double)?.f_double_value(&[])?);
                if let Some(mask) = &self.mask
                    && let Some(leakage) = self.maps.leakage(index, selection, mask)?
                {
                    caption += &format!(", leakage {}", report::percent(leakage));
                }
                cells.push(Cell::new(pixels::from_planes(&picture)?, caption));
            }
            sheet = sheet.row(&word.label, cells);
        }
        sheet.draw()
    }

    fn print(&self, files: &Files) -> anyhow::Result<()> {
        let mut rows = Vec::new();
        for word in &files.words {
            let mean = word["mean"].as_f64().unwrap_or_default();
            let mut text = format!("{:5.1} % of the attention", 100.0 * mean);
            if let Some(leakage) = word["leakage"].as_f64() {
                text += &format!(", leakage {}", report::percent(leakage));
            }
            text += &format!("  {}", word["map"].as_str().unwrap_or_default());
            rows.push((word["word"].as_str().unwrap_or_default().to_owned(), text));
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

/// The map, row by row.
fn values(map: &Tensor) -> anyhow::Result<Value> {
    let (height, width) = map.size2()?;
    let values = Vec::<f32>::try_from(map.f_flatten(0, -1)?)?;
    let rows: Vec<&[f32]> = values.chunks(usize::try_from(width)?).collect();
    Ok(json!({ "height": height, "width": width, "rows": rows }))
}
