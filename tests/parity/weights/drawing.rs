//! What is refused only when a picture is drawn.

use idembed_diffusion::schedulers::SchedulerKind;
use idembed_diffusion::{Error, StableDiffusion, TextToImage};
use tch::Kind;

use super::{Folder, UNET, VAE};

/// NaN in weights or an overflow never ends in a picture.
#[test]
fn weights_that_are_not_numbers() {
    for (file, name) in [(UNET, "conv_out.bias"), (VAE, "decoder.conv_out.bias")] {
        let folder = Folder::new();
        folder.change_tensors(file, |file| {
            let start = file.header[name]["data_offsets"][0].as_u64().unwrap() as usize;
            file.data[start..start + 2].copy_from_slice(&0x7e00u16.to_le_bytes());
        });
        let error = draw(&folder.load().unwrap(), |_| ()).unwrap_err();
        assert!(matches!(error, Error::NotFinite { .. }), "{error:?}");
    }
}

#[test]
fn settings_out_of_range() {
    let model = Folder::new().load().unwrap();
    draw(&model, |_| ()).unwrap();
    let refused = |change: fn(&mut TextToImage<'_>)| match draw(&model, change).unwrap_err() {
        Error::Setting(what) => what,
        other => panic!("{other:?}"),
    };
    assert!(refused(|request| request.width = 500).contains("the width is 500"));
    assert!(refused(|request| request.height = 0).contains("the height is 0"));
    assert!(refused(|request| request.height = -8).contains("the height is -8"));
    assert!(refused(|request| request.guidance_scale = f64::NAN).contains("guidance"));
    assert!(refused(|request| request.guidance_scale = -1.0).contains("guidance"));
    assert!(refused(|request| request.batch = 0).contains("batch"));
    assert!(refused(|request| request.steps = 0).contains("step"));
    assert!(refused(|request| request.steps = 1_000_000).contains("step"));
}

fn draw(model: &StableDiffusion, change: impl FnOnce(&mut TextToImage<'_>)) -> Result<(), Error> {
    let (prompt, negative) = (model.condition("a photo").unwrap(), model.condition("").unwrap());
    let mut request = TextToImage {
        guidance_scale: 2.0,
        steps: 2,
        scheduler: SchedulerKind::Ddim,
        width: 24,
        height: 40,
        ..TextToImage::new(model, &prompt, &negative, &[1])
    };
    change(&mut request);
    request.run(model, &mut (), |_, picture| {
        assert_eq!(idembed_diffusion::picture::to_tensor(&picture)?.kind(), Kind::Float);
        Ok(())
    })
}
