//! Pictures as a case asks for them.

use idembed_diffusion::{Error, StableDiffusion, TextToImage};
use image::RgbImage;
use serde_json::Value;

/// The seeds of a case.
pub fn seeds(case: &Value) -> Vec<u64> {
    case["seeds"].as_array().unwrap().iter().map(|seed| seed.as_u64().unwrap()).collect()
}

/// The request with the case's guidance, steps, sampler and size.
pub fn as_in<'a>(case: &Value, request: TextToImage<'a>) -> TextToImage<'a> {
    TextToImage {
        guidance_scale: case["guidance"].as_f64().unwrap(),
        steps: case["steps"].as_u64().unwrap() as usize,
        scheduler: case["sampler"].as_str().unwrap().parse().unwrap(),
        eta: case["eta"].as_f64().unwrap_or(0.0),
        width: case["width"].as_i64().unwrap(),
        height: case["height"].as_i64().unwrap(),
        ..request
    }
}

/// All pictures of a request.
pub fn drawn(model: &StableDiffusion, request: &TextToImage<'_>) -> Vec<RgbImage> {
    let mut pictures = Vec::new();
    let keep = |_, picture| {
        pictures.push(picture);
        Ok::<(), Error>(())
    };
    request.run(model, &mut (), keep).unwrap();
    pictures
}
