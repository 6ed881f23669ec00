//! An identity drawn along the edges of a picture, into `along_edges.png`: the picture, its edges, what the class word gives
//! along them, and what the identity gives with the same seeds.
//!
//! `cargo run -p idembed-studio --example along_edges -- out/demo/ada.identity.safetensors models/mini/portraits/person2_a.png`

use std::error::Error;
use std::path::PathBuf;

use idembed_studio::{ControlWish, Draw, Photo, Preparation, Studio, edges};
use idembed_tokens::Identity;
use image::{DynamicImage, RgbImage, imageops};

const SEEDS: [u64; 3] = [0, 2, 6];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).map(PathBuf::from);
    let (Some(identity), Some(picture)) = (args.next(), args.next()) else {
        return Err("expected the file of an identity and a picture".into());
    };
    let (me, shown) = (Identity::read(&identity)?, Photo::open(&picture)?.pixels);
    let studio = Studio::open("mini")?;
    // It ends halfway, so that the face becomes the identity's own.
    let wish = ControlWish {
        net: "controlnet".into(),
        picture,
        preparation: Preparation::Canny,
        scale: 1.0,
        start: 0.0,
        end: 0.5,
    };
    let mut row = vec![shown.clone(), DynamicImage::from(edges(&shown)).into_rgb8()];
    for noun in [me.class.as_str(), "<me>"] {
        let how = Draw { seeds: SEEDS.to_vec(), controls: vec![wish.clone()], ..Draw::default() };
        let drawn =
            studio.draw(&format!("a close-up photo of {noun} in front of a blue wall"), Some(("me", &me)), how)?;
        row.extend(drawn.into_iter().map(|drawn| drawn.picture));
    }
    let widths = row.iter().map(RgbImage::width);
    let mut sheet = RgbImage::new(widths.sum(), row.iter().map(RgbImage::height).max().unwrap_or(0));
    let mut left = 0;
    for part in &row {
        imageops::replace(&mut sheet, part, left, 0);
        left += i64::from(part.width());
    }
    Ok(sheet.save("along_edges.png")?)
}
