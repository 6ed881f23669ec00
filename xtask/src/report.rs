//! The report of a benchmark: medians of either side and their ratios, as a table and as JSON.

use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::bench::{Measurement, Side};

/// All measurements of one run of `cargo xtask bench`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    model: String,
    processor: String,
    threads: usize,
    device: String,
    rows: Vec<Row>,
}

/// One measurement of both sides. Ratios are ours over theirs: below 1 we are faster, or need less.
#[derive(Debug, PartialEq, Serialize)]
struct Row {
    what: String,
    dtype: String,
    ours: Figures,
    /// diffusers, the faster of its memory layouts; facenet-pytorch for `detect`.
    reference: Figures,
    seconds_ratio: f64,
    memory_ratio: f64,
    /// The size of the weights in this number format, in MiB, where loading was measured.
    weights_mb: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Figures {
    seconds: f64,
    peak_rss_mb: f64,
}

impl Report {
    /// Sums up what was measured with `model`.
    ///
    /// # Errors
    /// When a side is missing, or the weights cannot be read.
    pub(crate) fn new(model: &Path, threads: usize, taken: &[(Side, Measurement)]) -> Result<Self> {
        let parameters = parameters(model)?;
        let mut rows: Vec<Row> = Vec::new();
        for (_, first) in taken {
            if rows.iter().any(|row| row.what == first.what && row.dtype == first.dtype) {
                continue;
            }
            let figures = |side| Figures::of(taken.iter().filter(|(by, _)| *by == side).map(|(_, taken)| taken), first);
            let ours = figures(Side::Ours).context("we were not measured")?;
            let layouts = [figures(Side::Reference), figures(Side::ReferenceChannelsLast)];
            let reference = layouts.into_iter().flatten().min_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let reference = reference.context("the reference was not measured")?;
            let bytes = if first.dtype == "f32" { 4 } else { 2 };
            rows.push(Row {
                what: first.what.clone(),
                dtype: first.dtype.clone(),
                ours,
                reference,
                seconds_ratio: ours.seconds / reference.seconds,
                memory_ratio: ours.peak_rss_mb / reference.peak_rss_mb,
                weights_mb: (first.what == "load").then_some((parameters * bytes) as f64 / f64::from(1 << 20)),
            });
        }
        let device = taken.first().map(|(_, first)| first.device.split(' ').next().unwrap_or_default().to_owned());
        let model = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { model, processor: processor(), threads, device: device.unwrap_or_default(), rows })
    }

    /// Writes `report.txt` and `report.json`.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let context = || format!("cannot write the report into `{}`", folder.display());
        fs::create_dir_all(folder).with_context(context)?;
        fs::write(folder.join("report.txt"), self.to_string()).with_context(context)?;
        fs::write(folder.join("report.json"), serde_json::to_vec_pretty(self)?).with_context(context)
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        writeln!(out, "model {}, {} on {}, {} threads", self.model, self.device, self.processor, self.threads)?;
        writeln!(out, "                  seconds                     peak memory, MiB")?;
        writeln!(out, "                  ours   reference  ratio     ours   reference  ratio")?;
        for row in &self.rows {
            let (ours, theirs) = (row.ours, row.reference);
            write!(
                out,
                "{:10} {:4}  {:6.3}  {:9.3}  {:5.2}",
                row.what, row.dtype, ours.seconds, theirs.seconds, row.seconds_ratio
            )?;
            write!(out, "  {:7.0}  {:10.0}  {:5.2}", ours.peak_rss_mb, theirs.peak_rss_mb, row.memory_ratio)?;
            if let Some(weights) = row.weights_mb {
                write!(out, "  weights {weights:.0}: ours {:.2} x", ours.peak_rss_mb / weights)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Figures {
    /// The median time and the highest memory among the measurements of the same kind as `kind`.
    fn of<'a>(taken: impl Iterator<Item = &'a Measurement>, kind: &Measurement) -> Option<Self> {
        let same: Vec<_> = taken.filter(|one| one.what == kind.what && one.dtype == kind.dtype).collect();
        let mut seconds: Vec<f64> = same.iter().map(|one| one.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let middle = *seconds.get(seconds.len() / 2)?;
        Some(Self { seconds: middle, peak_rss_mb: same.iter().map(|one| one.peak_rss_mb).fold(0.0, f64::max) })
    }
}

/// How many numbers the networks of a model folder hold, from the headers of their weight files.
fn parameters(model: &Path) -> Result<u64> {
    let mut total = 0;
    for network in ["unet", "vae", "text_encoder"] {
        let folder = model.join(network);
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "safetensors") {
                total += elements(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            }
        }
    }
    Ok(total)
}

/// The number of elements in a safetensors file: eight bytes of length, then a JSON object of tensors.
fn elements(path: &Path) -> Result<u64> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    ensure!(length <= file.metadata()?.len(), "its header is longer than the file");
    let mut header = vec![0; usize::try_from(length)?];
    file.read_exact(&mut header)?;
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&header)?;
    let tensors = header.values().filter_map(|tensor| tensor["shape"].as_array());
    Ok(tensors.map(|shape| shape.iter().filter_map(serde_json::Value::as_u64).product::<u64>()).sum())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("an unnamed processor", |(_, name)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn measurement(what: &str, seconds: f64, peak_rss_mb: f64) -> Measurement {
        Measurement {
            what: what.to_owned(),
            dtype: "bf16".to_owned(),
            device: "cpu bf16".to_owned(),
            seconds,
            runs: 1,
            peak_rss_mb,
        }
    }

    fn mini() -> PathBuf {
        crate::workspace::root().join("models/mini")
    }

    #[test]
    fn the_median_is_compared_with_the_faster_layout_of_the_reference() {
        let taken = [
            (Side::Ours, measurement("unet_step", 9.0, 500.0)),
            (Side::Ours, measurement("unet_step", 2.0, 600.0)),
            (Side::Ours, measurement("unet_step", 1.0, 550.0)),
            (Side::Reference, measurement("unet_step", 8.0, 900.0)),
            (Side::ReferenceChannelsLast, measurement("unet_step", 4.0, 1200.0)),
            (Side::Ours, measurement("load", 1.0, 100.0)),
            (Side::Reference, measurement("load", 2.0, 200.0)),
        ];
        let report = Report::new(&mini(), 2, &taken).unwrap();
        let row = &report.rows[0];
        assert_eq!((row.ours.seconds, row.ours.peak_rss_mb), (2.0, 600.0));
        assert_eq!((row.seconds_ratio, row.memory_ratio, row.weights_mb), (0.5, 0.5, None));
        assert!(report.rows[1].weights_mb.is_some());
        let text = report.to_string();
        assert!(text.contains("unet_step  bf16   2.000      4.000   0.50      600        1200   0.50\n"), "{text}");
    }

    #[test]
    fn a_missing_side_is_an_error() {
        let error = Report::new(&mini(), 2, &[(Side::Ours, measurement("load", 1.0, 1.0))]).unwrap_err();
        assert_eq!(error.to_string(), "the reference was not measured");
    }

    #[test]
    fn the_parameters_of_the_miniature_are_counted() {
        let bytes: u64 = ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"]
            .iter()
            .map(|file| fs::metadata(mini().join(format!("{file}.safetensors"))).unwrap().len())
            .sum();
        let counted = 2 * parameters(&mini()).unwrap();
        // fp16 on disk; the rest is the headers.
        assert!(counted <= bytes && bytes - counted < 200_000, "{counted} of {bytes}");
    }
}
