//! Pictures drawn from pictures, whole or in part, against `StableDiffusionImg2ImgPipeline` and `StableDiffusionInpaintPipeline`
//! (`fixtures/from_picture/generate.py`).

use idembed_diffusion::{Compute, Error, FromPicture, StableDiffusion, TextToImage};
use idembed_integration_tests::{Parity, fixture_dir, mini_model, read_json};
use image::{GrayImage, RgbImage};

use crate::pipelines::compare_pictures;

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
            compare_pictures(&mut parity, &folder, &model, case);
        }
    }
    parity.finish();
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
            guidance_scale: 1.0,
            steps: 4,
            scheduler: "ddim".parse().unwrap(),
            width: 64,
            height: 64,
            from,
            ..TextToImage::new(&model, &prompt, &prompt, &[0])
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
