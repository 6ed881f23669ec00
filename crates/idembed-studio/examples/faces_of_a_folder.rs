//! The face of every picture in a folder that would be learned: where it is, and what may be wrong with it.
//!
//! `cargo run -p idembed-studio --example faces_of_a_folder -- FOLDER`; without one, the bundled portraits are looked at.
//! Needs the face detector (`cargo xtask setup` fetches it).

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::error::Error;
use std::path::PathBuf;

use idembed_diffusion::Compute;
use idembed_studio::{Finder, Photo, StudioError, shown_box};

const PORTRAITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini/portraits");

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or(PORTRAITS.to_owned());
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut paths: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    paths.sort();

    let finder = Finder::open(Compute::CPU_F32)?;
    for path in paths {
        let found = Photo::open(&path).map_err(Into::into).and_then(|photo| finder.find(photo.pixels, None));
        print!("{}: ", path.file_name().unwrap_or_default().display());
        match found {
            Ok(found) => {
                let concerns: Vec<String> = found.concerns().iter().map(ToString::to_string).collect();
                let (face, of) = (found.face(), found.faces.len());
                println!("1 of {of} at {}, sure {:.2} {}", shown_box(&face.bounds), face.score, concerns.join(", "));
            }
            Err(StudioError::NoFace { .. }) => println!("no face"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}
