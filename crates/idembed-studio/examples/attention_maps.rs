//! Where each word of a prompt looks: draws a picture and lays a heat map over it for each word, into `map-WORD.png`.
//!
//! `cargo run -p idembed-studio --example attention_maps -- "a photo of a woman in a library"`

use std::error::Error;

use idembed_attention::{HeatMap, Scale, Selection};
use idembed_studio::{Draw, Studio, Watch};
use idembed_tokens::Identity;
use image::{Rgb, RgbImage};
use tch::Tensor;

fn main() -> Result<(), Box<dyn Error>> {
    let prompt = std::env::args().nth(1).unwrap_or("a photo of a woman in a library".to_owned());
    let words: Vec<String> = prompt.split_whitespace().map(str::to_owned).collect();

    let studio = Studio::open("mini")?;
    let nobody: [(&str, &Identity); 0] = [];
    let watch = Watch { words: words.clone(), stages: 1 };
    let watched = studio.watch(&prompt, nobody, Draw::default(), watch)?;
    watched.drawn.save("picture.png")?;

    let picture = planes(&watched.drawn.picture)?;
    for (index, word) in words.iter().enumerate() {
        let map = watched.maps.word_map(index, &Selection::default())?;
        let heat = HeatMap::over(&picture, &map, Scale::PerMap, 0.6)?;
        to_image(&heat.picture).save(format!("map-{word}.png"))?;
    }
    Ok(())
}

/// `[3, height, width]`, u8.
fn planes(image: &RgbImage) -> Result<Tensor, tch::TchError> {
    let shape = [i64::from(image.height()), i64::from(image.width()), 3];
    Tensor::f_from_slice(image.as_raw())?.f_view(shape)?.f_permute([2, 0, 1])
}

fn to_image(planes: &Tensor) -> RgbImage {
    let size = planes.size();
    let value = |channel, x: u32, y: u32| planes.int64_value(&[channel, i64::from(y), i64::from(x)]) as u8;
    RgbImage::from_fn(size[2] as u32, size[1] as u32, |x, y| Rgb([0, 1, 2].map(|channel| value(channel, x, y))))
}
