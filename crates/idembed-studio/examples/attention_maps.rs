//! Where each word of a prompt looks: draws a picture and lays a heat map over it for each word, into `map-WORD.png`.
//!
//! `cargo run -p idembed-studio --example attention_maps -- "a photo of a woman in a library"`

use std::error::Error;

use idembed_attention::{HeatMap, Scale, Selection};
use idembed_studio::{Draw, Studio, Watch};
use idembed_tokens::Identity;

fn main() -> Result<(), Box<dyn Error>> {
    let prompt = std::env::args().nth(1).unwrap_or("a photo of a woman in a library".to_owned());
    let words: Vec<String> = prompt.split_whitespace().map(str::to_owned).collect();

    let studio = Studio::open("mini")?;
    let nobody: [(&str, &Identity); 0] = [];
    let watch = Watch { words: words.clone(), stages: 1 };
    let watched = studio.watch(&prompt, nobody, Draw::default(), watch)?;
    watched.drawn.save("picture.png")?;

    for (index, word) in words.iter().enumerate() {
        let map = watched.maps.word_map(index, &Selection::default())?;
        let heat = HeatMap::over(&watched.drawn.picture, &map, Scale::PerMap, 0.6)?;
        heat.picture.save(format!("map-{word}.png"))?;
    }
    Ok(())
}
