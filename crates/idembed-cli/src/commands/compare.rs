//! `idembed compare`: how much the faces in pictures are like the face in a photo.

use std::path::{Path, PathBuf};

use idembed_face::recognise::{DistanceScale, Scale};
use idembed_studio::{ChosenFace, Likeness, Network, PromptFit};
use serde::Serialize;

use crate::args::ComputeArgs;
use crate::progress::Progress;
use crate::{output, photos};

const EXAMPLES: &str = "\
Examples:
  idembed compare photo.jpg out/*.png
  idembed compare photo.jpg out/*.png --recogniser facenet-vggface2 --json

Each picture's similarity is the cosine of two face embeddings, 1 for the same
picture. What it usually is for the same person and for strangers depends on the
network and is said with it, where it is known; the numbers of different networks
cannot be compared. A picture in which no face is found counts 0. Of several
faces, the largest near the middle is compared.

dlib-face was trained on distances: it says them too, 0 for the same picture.
`cargo xtask download dlib-face` fetches it, and everyone may use it.

Where the file of a picture names its prompt and there is a CLIP, how well the
picture follows it is said too, as their cosine.

Pictures that were drawn by a model with a recognition network of its own, as
the miniature has one, are compared by that network.";

/// Flags of `idembed compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A photo of the person
    photo: PathBuf,
    /// The pictures to compare with it
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// The face recognition network: its name in models/, or a safetensors file [default: that of the model that drew
    /// the pictures, or dlib-face, or the best other one that is there]
    #[arg(long, value_name = "NAME|FILE")]
    recogniser: Option<String>,
    /// The face in the photo, counted from 1 as `idembed face` lists them [default: the largest near the middle]
    #[arg(long, value_name = "N", value_parser = crate::args::positive)]
    face: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    photo: String,
    recogniser: String,
    recogniser_because: String,
    scale: Option<Scale>,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_scale: Option<DistanceScale>,
    face: ChosenFace,
    /// The CLIP that compared pictures with their prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<String>,
    pictures: Vec<Compared>,
}

/// A picture, and what came of comparing it.
#[derive(Serialize)]
struct Compared {
    path: String,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What came of comparing a picture.
#[derive(Serialize)]
#[serde(untagged)]
enum Outcome {
    /// It was compared.
    Compared {
        /// How many faces are in it.
        faces: usize,
        /// The one that was compared, if there is any.
        #[serde(flatten)]
        face: Option<ChosenFace>,
        /// Cosine similarity to the photo; 0 for a missing face.
        id: f32,
        /// Distance to the photo, if there is a face and the network knows distances.
        #[serde(skip_serializing_if = "Option::is_none")]
        distance: Option<f32>,
        /// Cosine of the picture and the prompt that its file names, where it names one and there is a CLIP.
        #[serde(skip_serializing_if = "Option::is_none")]
        prompt: Option<f32>,
    },
    /// It could not be compared.
    Failed {
        /// Why not.
        error: String,
    },
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let compute = args.compute.resolve()?;
    let network = Network::choose(args.recogniser.as_deref(), &args.photo, &args.pictures)?;
    let photo = photos::open(&args.photo)?;
    let likeness = photos::about(&args.photo, Likeness::to(photo, args.face, &network, compute))?;
    tell(&network, likeness.distance_scale().as_ref());
    photos::tell(&args.photo, likeness.found(), true);
    let fit = PromptFit::choose(&args.pictures, compute)?;
    if let Some(fit) = &fit {
        tracing::info!("the CLIP `{}` says how well pictures follow the prompts in their files", fit.name);
    }

    let mut progress = Progress::new("comparing", 0, args.pictures.len() as u64);
    let mut pictures = Vec::with_capacity(args.pictures.len());
    for path in &args.pictures {
        let outcome = compare(&likeness, fit.as_ref(), path).unwrap_or_else(|error| {
            tracing::warn!("{error:#}");
            Outcome::Failed { error: format!("{error:#}") }
        });
        pictures.push(Compared { path: output::shown(path), outcome });
        progress.step();
    }
    drop(progress);
    if args.json {
        return output::json(&Report {
            photo: output::shown(&args.photo),
            recogniser: network.name,
            recogniser_because: network.because,
            scale: network.scale,
            distance_scale: likeness.distance_scale(),
            face: ChosenFace::of(likeness.found()),
            clip: fit.map(|fit| fit.name),
            pictures,
        });
    }
    let rows: Vec<(&str, String)> =
        pictures.iter().map(|picture| (picture.path.as_str(), picture.outcome.in_words())).collect();
    output::table(&rows)
}

/// Says which network compares and how its numbers are to be read.
fn tell(network: &Network, distance_scale: Option<&DistanceScale>) {
    let Network { name, because, scale, .. } = network;
    tracing::info!("the network `{name}` compares: {because}");
    match scale {
        Some(scale) => tracing::info!("{scale}"),
        None => tracing::info!("no scale is known for the numbers of `{name}`"),
    }
    if let Some(scale) = distance_scale {
        tracing::info!("{scale}");
    }
}

fn compare(likeness: &Likeness, fit: Option<&PromptFit>, path: &Path) -> anyhow::Result<Outcome> {
    let picture = photos::open(path)?.pixels;
    let prompt = fit.map(|fit| fit.of(path, &picture)).transpose()?.flatten();
    let idembed_studio::Compared { faces, face, id, distance } = likeness.of(picture)?;
    Ok(Outcome::Compared { faces, face: face.map(|(face, view)| ChosenFace::new(&face, view)), id, distance, prompt })
}

impl Outcome {
    /// What stands beside the picture's path for people.
    fn in_words(&self) -> String {
        match self {
            Outcome::Compared { face, id, distance, prompt, .. } => {
                let mut words = format!("{id:.3}");
                words += if face.is_none() { "  no face" } else { "" };
                words += &distance.map(|distance| format!("  distance {distance:.3}")).unwrap_or_default();
                words + &prompt.map(|cosine| format!("  prompt {cosine:.3}")).unwrap_or_default()
            }
            Outcome::Failed { error } => format!("not compared: {error}"),
        }
    }
}
