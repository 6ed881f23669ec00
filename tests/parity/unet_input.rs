//! What else a U-Net takes than latents, timesteps and text: an added embedding, residuals of a ControlNet.

use idembed_diffusion::Compute;
use idembed_diffusion::conditioning::TextStates;
use idembed_diffusion::unet::{Residuals, UNet, UNetInput};
use idembed_integration_tests::{Fixture, Parity};
use tch::Tensor;

/// Relative to the largest expected value.
const LIMIT: f64 = 1e-4;

#[test]
fn added_embedding_and_residuals() {
    let fixture = Fixture::open("unet_input");
    let mut parity = Parity::new();
    let unet = UNet::load(&fixture.folder.join("unet"), Compute::CPU_F32).unwrap();
    let context = unet.project(&TextStates::shared(fixture.tensor("states").shallow_clone())).unwrap();
    let plain = UNetInput::new(fixture.tensor("latents"), fixture.tensor("timesteps"), &context);
    let count = fixture.cases["skips"].as_u64().unwrap();
    let skips = |count| (0..count).map(|index| fixture.tensor(&format!("skip.{index}")).shallow_clone()).collect();
    let residuals = Residuals { skips: skips(count), middle: fixture.tensor("middle").shallow_clone() };
    let added = Some(fixture.tensor("added"));
    for (name, input) in [
        ("plain", plain),
        ("with_added", UNetInput { added, ..plain }),
        ("with_residuals", UNetInput { residuals: Some(&residuals), ..plain }),
        ("with_both", UNetInput { added, residuals: Some(&residuals), ..plain }),
    ] {
        let output = unet.forward(input, None).unwrap();
        parity.check_tensors(&format!("unet_input/{name}"), &output, fixture.tensor(&format!("output.{name}")), LIMIT);
    }

    let short = Residuals { skips: skips(count - 1), middle: residuals.middle.shallow_clone() };
    let narrow = fixture.tensor("added").narrow(1, 0, 3);
    let flat = Residuals { skips: skips(count), middle: Tensor::zeros_like(fixture.tensor("added")) };
    for (input, expected) in [
        (UNetInput { residuals: Some(&short), ..plain }, "skip residuals"),
        (UNetInput { residuals: Some(&flat), ..plain }, "middle residual"),
        (UNetInput { added: Some(&narrow), ..plain }, "added embedding"),
    ] {
        let error = unet.forward(input, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    parity.finish();
}
