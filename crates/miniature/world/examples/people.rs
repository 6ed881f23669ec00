//! Photos of people whom no network was trained on, a folder for each; `cargo xtask world people` runs it.
//!
//! `cargo xtask eval --people DIR` learns from the first photo of each folder and compares with the others.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use idembed_world::{SIDE, Sample, Who, draw};

/// Set in the seeds of pictures that no training draws.
const HELD_OUT: u64 = 1 << 63;

/// Draw photos of people whom no network was trained on.
#[derive(Parser)]
struct Args {
    /// The number of the first person
    #[arg(long, default_value_t = 10_000)]
    first: u64,
    /// How many people
    #[arg(long, default_value_t = 20)]
    count: u64,
    /// Photos of each: the first to learn from, the others to compare with
    #[arg(long, default_value_t = 3)]
    photos: u64,
    /// The people laugh, close their eyes, wear hats and hold things, as in any picture; else they do nothing of that
    #[arg(long)]
    busy: bool,
    /// Beside each photo a caption, with {} for the person: what they wear, and where they are
    #[arg(long)]
    captions: bool,
    /// The folder for their folders
    #[arg(long, default_value = "out/people")]
    out: PathBuf,
    /// Pixels along an edge of each picture
    #[arg(long, default_value_t = SIDE)]
    side: u32,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!((1..=100).contains(&args.photos), "1 to 100 photos can be drawn of each");
    for who in args.first..args.first + args.count {
        let folder = args.out.join(format!("person{who}"));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
        for number in 0..args.photos {
            let path = folder.join(format!("{number:02}.png"));
            let sample = photo(who, number, args.busy);
            let cannot_write = |path: &Path| format!("cannot write `{}`", path.display());
            draw(&sample, args.side)?.picture.save(&path).with_context(|| cannot_write(&path))?;
            if args.captions {
                let path = path.with_extension("txt");
                fs::write(&path, caption(&sample)).with_context(|| cannot_write(&path))?;
            }
        }
    }
    Ok(())
}

/// A photo from near.
fn photo(who: u64, number: u64, busy: bool) -> Sample {
    let (who, seed) = (Who::HeldOut(who), HELD_OUT | (who * 100 + number));
    let plain = Sample::plain(who, seed);
    if busy { Sample { subject: Sample::portrait(who, seed).subject, ..plain } } else { plain }
}

/// What is said of a photo beside who is in it.
fn caption(sample: &Sample) -> String {
    let shirts: String = sample.people().iter().map(|person| format!(" in {}", person.shirt.phrase())).collect();
    format!("a close-up photo of {{}}{shirts}, {}\n", sample.scene.phrase())
}
