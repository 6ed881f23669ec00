//! `idembed face`: the faces in photos, with what is made from them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::bail;
use idembed_face::Face;
use idembed_face::align::{ALIGNED_SIDE, Aligned, Similarity, aligned_face, portrait};
use idembed_face::mask::{head_mask, overlay};
use idembed_face::search::View;
use image::{DynamicImage, RgbImage};
use serde_json::{Value, json};

use crate::args::{ComputeArgs, positive};
use crate::faces::{self, Finder, Found};
use crate::progress::Progress;
use crate::{failure, output, pixels, png};

const EXAMPLES: &str = "\
Examples:
  idembed face photo.jpg
  idembed face photo.jpg --face 2 --out faces
  idembed face album/*.jpg --json

Writes into DIR, for each photo:
  PHOTO-overlay.png    the photo with boxes, landmarks and mask
  PHOTO-mask.png       white where the chosen face is, of the photo's size
  PHOTO-portrait.png   what `idembed learn` would learn from
  PHOTO-aligned.png    the face as recognition networks want it, 112 x 112

A photo in which no face is sure is also looked at enlarged, with a margin, and
turned; if a turn helps, the photo is taken as turned from then on, and `turned`
in the JSON says by how many degrees clockwise.";

/// What the pictures of one photo are called behind its name.
const PICTURES: [&str; 4] = ["overlay", "mask", "portrait", "aligned"];
/// The side of the portrait that is written, in pixels.
const PORTRAIT_SIDE: u32 = 512;

/// Flags of `idembed face`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Photos: JPEG, PNG, WebP, HEIC, TIFF, BMP or GIF
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,
    /// The face to take, counted from 1 as they are listed [default: the largest near the middle]
    #[arg(long, value_name = "N", value_parser = positive)]
    face: Option<usize>,
    /// Where to put the pictures
    #[arg(long, short, value_name = "DIR", default_value = "out/face")]
    out: PathBuf,
    /// Print one JSON object: faces of box, score, landmarks, and how they were found; for several photos, photos of that
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// Runs the command. Several photos are worked on one after the other, so memory does not grow with their number; one
/// that cannot be used does not keep the others from their result.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let compute = args.compute.resolve()?;
    output::check_folder(&args.out)?;
    let stems: Vec<PathBuf> = different_stems(&args.photos).iter().map(|stem| args.out.join(stem)).collect();
    let pictures = stems.iter().flat_map(|stem| PICTURES.map(|name| picture_path(stem, name)));
    output::check_inputs_stay(pictures, &args.photos)?;
    let finder = Finder::open(compute)?;
    if let ([photo], [stem]) = (args.photos.as_slice(), stems.as_slice()) {
        let report = Report::of(&finder, photo, args.face)?;
        return report.give(stem, args.json);
    }
    let mut progress = Progress::new("photos", 0, args.photos.len() as u64);
    let mut results: Vec<Value> = Vec::with_capacity(args.photos.len());
    let mut failed = 0;
    for (photo, stem) in args.photos.iter().zip(&stems) {
        let result = Report::of(&finder, photo, args.face).and_then(|report| report.write(stem));
        match result {
            Ok(files) => results.push(files),
            Err(error) => {
                failed += 1;
                tracing::warn!("{}", failure::render(&error).trim_end());
                results.push(json!({ "photo": output::shown(photo), "faces": [], "error": format!("{error:#}") }));
            }
        }
        progress.step();
    }
    drop(progress);
    if args.json {
        output::json(&json!({ "photos": results }))?;
    } else {
        for result in &results {
            print(result)?;
        }
    }
    if failed > 0 {
        bail!("{failed} of {} photos gave no face", args.photos.len());
    }
    Ok(())
}

/// What there is to say about one photo.
struct Report<'a> {
    path: &'a Path,
    found: Found,
}

impl<'a> Report<'a> {
    fn of(finder: &Finder, path: &'a Path, wanted: Option<usize>) -> anyhow::Result<Report<'a>> {
        let found = finder.find(pixels::open_photo(path)?, path, wanted)?;
        Ok(Report { path, found })
    }

    /// Writes the pictures and prints the report.
    fn give(&self, stem: &Path, as_json: bool) -> anyhow::Result<()> {
        let report = self.write(stem)?;
        if as_json { output::json(&report) } else { print(&report) }
    }

    /// Writes the pictures, their names beginning with `stem`, and gives the report as JSON.
    fn write(&self, stem: &Path) -> anyhow::Result<Value> {
        output::make_folder(stem.parent().unwrap_or(Path::new(".")))?;
        let Found { photo, faces, choice, view } = &self.found;
        let (width, height) = photo.dimensions();
        let face = self.found.face();
        let mask = head_mask(face, width, height, &Similarity::IDENTITY);
        let mut report = json!({
            "photo": output::shown(self.path),
            "width": width,
            "height": height,
            "turned": view.turned.degrees(),
            "found": view.to_string(),
            "faces": faces.iter().map(faces::to_json).collect::<Vec<_>>(),
            "chosen": choice.index + 1,
            "reason": choice.reason.to_string(),
            "concerns": self.found.concerns(),
        });
        let mut write = |name: &str, picture: &RgbImage| -> anyhow::Result<()> {
            let path = picture_path(stem, name);
            png::write(&path, picture, None)?;
            report[name] = json!(output::shown(&path));
            Ok(())
        };
        write("overlay", &overlay(photo, faces, Some(choice.index), Some(&mask)))?;
        write("mask", &DynamicImage::ImageLuma8(mask).into_rgb8())?;
        let framed = frames(photo, face);
        for (name, aligned) in &framed {
            write(name, &aligned.picture)?;
        }
        for (name, aligned) in framed {
            report[format!("{name}_transform")] = json!(aligned.transform.matrix());
        }
        Ok(report)
    }
}

/// The face in the frames that others want it in.
fn frames(photo: &RgbImage, face: &Face) -> Vec<(&'static str, Aligned)> {
    let framed = [
        ("portrait", portrait(photo, face, PORTRAIT_SIDE)),
        ("aligned", aligned_face(photo, &face.landmarks, ALIGNED_SIDE)),
    ];
    framed.into_iter().filter_map(|(name, aligned)| Some((name, aligned?))).collect()
}

/// The report for people.
fn print(report: &Value) -> anyhow::Result<()> {
    if report["error"].is_string() {
        return Ok(());
    }
    let text = |key: &str| report[key].as_str().unwrap_or_default().to_owned();
    let mut rows =
        vec![("photo".to_owned(), format!("{} ({} x {})", text("photo"), report["width"], report["height"]))];
    if report["found"] != View::PLAIN.to_string() {
        rows.push(("found".to_owned(), format!("in the photo {}", text("found"))));
    }
    for (index, face) in report["faces"].as_array().into_iter().flatten().enumerate() {
        let edges: Vec<String> = face["box"].as_array().into_iter().flatten().map(in_whole_pixels).collect();
        let score = face["score"].as_f64().unwrap_or_default();
        rows.push((format!("face {}", index + 1), format!("box {}  score {score:.4}", edges.join(","))));
    }
    rows.push(("chosen".to_owned(), format!("face {}: {}", report["chosen"], text("reason"))));
    rows.extend(PICTURES.map(|name| (name.to_owned(), text(name))));
    output::table(&rows)
}

fn in_whole_pixels(value: &Value) -> String {
    format!("{:.0}", value.as_f64().unwrap_or_default())
}

fn picture_path(stem: &Path, name: &str) -> PathBuf {
    output::with_added(stem, &format!("-{name}.png"))
}

fn stem(photo: &Path) -> String {
    photo.file_stem().map_or_else(|| "photo".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

/// A name for each photo's pictures: photos of the same name in different folders do not overwrite each other.
fn different_stems(photos: &[PathBuf]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let different = photos.iter().map(|photo| {
        let stem = stem(photo);
        let numbered = (1..).map(|number| if number == 1 { stem.clone() } else { format!("{stem}-{number}") });
        let free = numbered.into_iter().find(|name| taken.insert(name.clone()));
        free.unwrap_or(stem)
    });
    different.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_of_one_name_get_different_pictures() {
        let photos = ["a/x.jpg", "b/x.png", "x-2.jpg", "y.jpg"].map(PathBuf::from);
        assert_eq!(different_stems(&photos), ["x", "x-2", "x-2-2", "y"]);
    }
}
