//! Pictures drawn from pictures, whole or in part, against `StableDiffusionImg2ImgPipeline` and `StableDiffusionInpaintPipeline`
//! (`fixtures/from_picture/generate.py`).

use std::path::Path;

use idembed_diffusion::{Compute, Error, FromPicture, StableDiffusion, TextToImage};
use idembed_integration_tests::{Parity, fixture_dir, mini_model, pixels_off, read_json, read_picture};
use image::{GrayImage, RgbImage};
use serde_json::Value;

/// Share of pixels that may differ by more than one grey level.
const PIXELS_OFF: f64 = 1e-3;

#[test]
fn pictures() {
    let folder = fixture_dir("from_picture");
    let cases = read_json(&folder.join("cases.json"));
    let mut parity = Parity::new();
    for entry in cases["models"].as_array().unwrap() {
        let name = entry["name"].as_str().unwrap();
        let path = if name == "mini" { mini_model() } else { folder.join(name) };
        let model = StableDiffusion::load(&path, Compute::CPU_F32).unwrap();
        for case in entry["cases"].as_array().unwrap() {
            let files = case["pictures"].as_array().unwrap();
            let drawn = draw(&folder, &model, case);
            assert_eq!(drawn.len(), files.len(), "{case}: number of pictures");
            for (index, (ours, file)) in drawn.iter().zip(files).enumerate() {
                let off = pixels_off(ours, &read_picture(&folder.join(file.as_str().unwrap())));
                let name = format!("from_picture/{}.{index}", case["name"].as_str().unwrap());
                parity.check_metric(&name, "pixels_off", off, PIXELS_OFF);
            }
        }
    }
    parity.finish();
}

/// All pictures of a case together: what is drawn for one does not depend on the others.
fn draw(folder: &Path, model: &StableDiffusion, case: &Value) -> Vec<RgbImage> {
    let text = |field: &str| case[field].as_str().unwrap();
    let number = |field: &str| case[field].as_i64().unwrap();
    let seeds: Vec<u64> = case["seeds"].as_array().unwrap().iter().map(|seed| seed.as_u64().unwrap()).collect();
    let open = |field: &str| case[field].as_str().map(|file| image::open(folder.join(file)).unwrap());
    let from = FromPicture {
        picture: open("source").unwrap().into_rgb8(),
        strength: case["strength"].as_f64().unwrap(),
        mask: open("mask").map(|mask| mask.into_luma8()),
    };
    let request = TextToImage {
        prompt: &model.condition(text("prompt")).unwrap(),
        negative: &model.condition(text("negative")).unwrap(),
        guidance_scale: case["guidance"].as_f64().unwrap(),
        steps: number("steps") as usize,
        scheduler: text("sampler").parse().unwrap(),
        eta: case["eta"].as_f64().unwrap_or(0.0),
        width: number("width"),
        height: number("height"),
        from: Some(&from),
        seeds: &seeds,
        batch: seeds.len(),
        unet: None,
        controls: &[],
        tiles: None,
    };
    let mut pictures = Vec::new();
    let keep = |_, picture| {
        pictures.push(picture);
        Ok::<(), Error>(())
    };
    request.run(model, &mut (), keep).unwrap();
    pictures
}

/// A model that reads a mask and a picture draws nothing without them, and nothing is learned with it.
#[test]
fn an_inpainting_model_wants_a_mask() {
    let model = StableDiffusion::load(&fixture_dir("from_picture").join("inpaint"), Compute::CPU_F32).unwrap();
    let (prompt, picture) = (model.condition("a man").unwrap(), RgbImage::new(64, 64));
    let whole = FromPicture { picture: picture.clone(), strength: 0.5, mask: None };
    let black = FromPicture { mask: Some(GrayImage::new(64, 64)), ..whole.clone() };
    let other_size = FromPicture { picture: RgbImage::new(64, 56), ..whole.clone() };
    let message = |from: Option<&FromPicture>| {
        let request = TextToImage {
            prompt: &prompt,
            negative: &prompt,
            guidance_scale: 1.0,
            steps: 4,
            scheduler: "ddim".parse().unwrap(),
            eta: 0.0,
            width: 64,
            height: 64,
            from,
            seeds: &[0],
            batch: 1,
            unet: None,
            controls: &[],
            tiles: None,
        };
        let ended: Result<(), Error> = request.run(&model, &mut (), |_, _| Ok(()));
        ended.unwrap_err().to_string()
    };
    assert!(message(None).contains("`inpaint` is made for inpainting"));
    assert!(message(Some(&whole)).contains("also reads a mask"));
    assert!(message(Some(&other_size)).contains("also reads a mask"));
    assert!(message(Some(&black)).contains("the mask has no white part"));
    assert!(model.check_is_text_to_image().is_err() && model.files.check_is_text_to_image().is_err());
}
