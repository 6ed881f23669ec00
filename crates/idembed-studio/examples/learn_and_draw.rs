//! From one photo to a new picture: finds the face, learns it, and draws it at the beach into `me.png`.
//!
//! `cargo run -p idembed-studio --example learn_and_draw -- photo.jpg`; without a photo, a bundled portrait is learned.

use idembed_studio::{Draw, Learn, Photo, Studio, StudioError};

const PORTRAIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/mini/portraits/person4_a.png");

fn main() -> Result<(), StudioError> {
    let path = std::env::args().nth(1).unwrap_or(PORTRAIT.to_owned());
    let studio = Studio::open("mini")?;
    let me = studio.learn("me", &Photo::open(path.as_ref())?, Learn::default())?;
    let pictures = studio.draw("a photo of <me> at the beach", [("me", &me)], Draw::default())?;
    pictures[0].save("me.png")
}
