//! `idembed face`: the faces in photos, with what is made from them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::bail;
use idembed_face::align::{ALIGNED_SIDE, Aligned, Similarity, aligned_face, portrait};
use idembed_face::mask::{head_mask, overlay};
use idembed_face::{Face, View};
use image::{DynamicImage, RgbImage};
use serde::Serialize;
use serde_json::json;

use crate::args::{ComputeArgs, positive};
use crate::progress::Progress;
use crate::{failure, output, photos};
use idembed_studio::picture_file;
use idembed_studio::{FaceReport, Finder, Found};

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
        let report = Report::write(&finder, photo, args.face, stem)?;
        return if args.json { output::json(&report) } else { report.print() };
    }
    let mut progress = Progress::new("photos", 0, args.photos.len() as u64);
    let mut results = Vec::with_capacity(args.photos.len());
    for (photo, stem) in args.photos.iter().zip(&stems) {
        results.push(match Report::write(&finder, photo, args.face, stem) {
            Ok(report) => Outcome::Found(report),
            Err(error) => {
                tracing::warn!("{}", failure::render(&error).trim_end());
                Outcome::Failed { photo: output::shown(photo), faces: [], error: format!("{error:#}") }
            }
        });
        progress.step();
    }
    drop(progress);
    let found = || results.iter().filter_map(Outcome::found);
    if args.json {
        output::json(&json!({ "photos": results }))?;
    } else {
        found().try_for_each(Report::print)?;
    }
    let failed = results.len() - found().count();
    if failed > 0 {
        bail!("{failed} of {} photos gave no face", args.photos.len());
    }
    Ok(())
}

/// What came of one of several photos.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    /// It has a face.
    Found(Report),
    /// It cannot be used.
    Failed {
        /// The photo's path.
        photo: String,
        /// None.
        faces: [FaceReport; 0],
        /// Why it cannot be used.
        error: String,
    },
}

impl Outcome {
    fn found(&self) -> Option<&Report> {
        match self {
            Outcome::Found(report) => Some(report),
            Outcome::Failed { .. } => None,
        }
    }
}

/// What there is to say about one photo.
#[derive(Serialize)]
struct Report {
    photo: String,
    width: u32,
    height: u32,
    /// By how much it was turned, in degrees.
    turned: u32,
    /// How it was looked at.
    found: String,
    faces: Vec<FaceReport>,
    /// The number of the face that is meant, from 1.
    chosen: usize,
    reason: String,
    concerns: Vec<String>,
    /// The pictures that were written, by their names.
    #[serde(flatten)]
    pictures: BTreeMap<&'static str, String>,
    /// From the photo to some of them.
    #[serde(flatten)]
    transforms: BTreeMap<String, [[f64; 3]; 2]>,
}

impl Report {
    /// Finds the faces and writes the pictures, their names beginning with `stem`.
    fn write(finder: &Finder, path: &Path, wanted: Option<usize>, stem: &Path) -> anyhow::Result<Report> {
        let found = photos::about(path, finder.find(photos::open(path)?.pixels, wanted))?;
        photos::tell(path, &found, true);
        output::make_folder(stem.parent().unwrap_or(Path::new(".")))?;
        let Found { photo, faces, choice, view } = &found;
        let (width, height) = photo.dimensions();
        let mask = head_mask(found.face(), width, height, &Similarity::IDENTITY);
        let mut report = Report {
            photo: output::shown(path),
            width,
            height,
            turned: view.turned.degrees(),
            found: view.to_string(),
            faces: faces.iter().map(FaceReport::new).collect(),
            chosen: choice.index + 1,
            reason: choice.reason.to_string(),
            concerns: found.concerns().iter().map(ToString::to_string).collect(),
            pictures: BTreeMap::new(),
            transforms: BTreeMap::new(),
        };
        let mut write = |name: &'static str, picture: &RgbImage| -> anyhow::Result<()> {
            let path = picture_path(stem, name);
            picture_file::write(&path, picture, None)?;
            report.pictures.insert(name, output::shown(&path));
            Ok(())
        };
        write("overlay", &overlay(photo, faces, Some(choice.index), Some(&mask)))?;
        write("mask", &DynamicImage::ImageLuma8(mask).into_rgb8())?;
        for (name, aligned) in frames(photo, found.face()) {
            write(name, &aligned.picture)?;
            report.transforms.insert(format!("{name}_transform"), aligned.transform.matrix());
        }
        Ok(report)
    }

    /// For people.
    fn print(&self) -> anyhow::Result<()> {
        let mut rows = vec![("photo".to_owned(), format!("{} ({} x {})", self.photo, self.width, self.height))];
        if self.found != View::PLAIN.to_string() {
            rows.push(("found".to_owned(), format!("in the photo {}", self.found)));
        }
        for (index, face) in self.faces.iter().enumerate() {
            let edges = face.bounds.map(|edge| format!("{edge:.0}")).join(",");
            rows.push((format!("face {}", index + 1), format!("box {edges}  score {:.4}", face.score)));
        }
        rows.push(("chosen".to_owned(), format!("face {}: {}", self.chosen, self.reason)));
        let path = |name| self.pictures.get(name).cloned().unwrap_or_default();
        rows.extend(PICTURES.map(|name| (name.to_owned(), path(name))));
        output::table(&rows)
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
