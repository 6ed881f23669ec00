//! A sheet of pictures of the drawn world; `cargo xtask world sheet` runs it.
#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use idembed_world::factors::{Framing, Style};
use idembed_world::{Drawn, SIDE, Sample, draw_all};
use image::{Rgb, RgbImage, imageops};

/// Draw a sheet of pictures of the miniature world.
#[derive(Parser)]
struct Args {
    /// The first picture's seed; the others follow
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where to write the sheet
    #[arg(long, default_value = "out/world.png")]
    out: PathBuf,
    /// Pictures side by side
    #[arg(long, default_value_t = 10)]
    columns: u32,
    /// Pictures one below the other
    #[arg(long, default_value_t = 6)]
    rows: u32,
    /// Pixels along an edge of each picture
    #[arg(long, default_value_t = SIDE)]
    side: u32,
    /// Mark face boxes and landmarks, and print each picture's captions and factors as one line of JSON
    #[arg(long)]
    truth: bool,
    /// Only photos of one or two people, near enough for a face detector, unmarked; print as `--truth` does
    #[arg(long)]
    portraits: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(
        (1..=100).contains(&args.columns) && (1..=100).contains(&args.rows),
        "a sheet has 1 to 100 columns and rows"
    );
    let seeds = (0..).map(|index| args.seed.wrapping_add(index));
    let samples = seeds.map(|seed| if args.portraits { portrait(seed) } else { Some(Sample::training(seed)) });
    let samples: Vec<Sample> = samples.flatten().take((args.columns * args.rows) as usize).collect();
    let mut sheet = RgbImage::new(args.columns * args.side, args.rows * args.side);
    for (mut drawn, index) in draw_all(&samples, args.side)?.into_iter().zip(0..) {
        if args.truth {
            mark(&mut drawn);
        }
        if args.truth || args.portraits {
            println!("{}", serde_json::to_string(&drawn.truth)?);
        }
        let (column, row) = (index % args.columns, index / args.columns);
        imageops::replace(&mut sheet, &drawn.picture, (column * args.side).into(), (row * args.side).into());
    }
    if let Some(folder) = args.out.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    }
    sheet.save(&args.out).with_context(|| format!("cannot write `{}`", args.out.display()))
}

/// The photo of a seed, if it shows people from near enough.
fn portrait(seed: u64) -> Option<Sample> {
    let mut sample = Sample::training(seed);
    sample.style = Style::Photo;
    (!sample.people().is_empty() && sample.framing != Framing::Distant).then_some(sample)
}

/// Draws face boxes and landmarks into a picture.
fn mark(drawn: &mut Drawn) {
    let mut dot = |x: f32, y: f32, colour: [u8; 3]| {
        if let Some(pixel) = drawn.picture.get_pixel_mut_checked(x.max(0.0) as u32, y.max(0.0) as u32) {
            *pixel = Rgb(colour);
        }
    };
    for face in &drawn.truth.faces {
        let [left, top, right, bottom] = face.bounds;
        for step in 0..=1000 {
            let t = step as f32 / 1000.0;
            let (x, y) = (left + (right - left) * t, top + (bottom - top) * t);
            for (x, y) in [(x, top), (x, bottom), (left, y), (right, y)] {
                dot(x, y, [255, 235, 60]);
            }
        }
        for [x, y] in face.landmarks {
            dot(x, y, [60, 255, 120]);
        }
    }
}
