//! Whether the ControlNet draws along the edges that it sees.

use idembed_diffusion::controlnet::ControlNet;
use idembed_diffusion::picture;
use idembed_diffusion::vae::Vae;
use idembed_studio::edges;
use image::RgbImage;

use super::metric::Metric;
use super::painter::Painter;
use crate::Result;
use crate::controlnet::agreement;
use crate::controlnet::pairs::{Drawn, Pairs};
use crate::controlnet::sheet::sheet;

/// Pictures whose edges are followed.
const COUNT: u64 = 64;
/// How many of them are shown.
const SHOWN: u64 = 8;

/// The figures, and a sheet of the first pictures.
pub(super) fn followed(
    painter: &Painter<'_>,
    vae: &Vae,
    net: &ControlNet,
    say: &mut dyn FnMut(&str),
) -> Result<(Vec<Metric>, RgbImage)> {
    let pairs = Pairs { painter, net };
    let (mut along, mut without, mut behind, mut shown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for index in 0..COUNT {
        let drawn = pairs.draw(index)?;
        let followed = |picture: &RgbImage| 100.0 * agreement(&edges(picture), &drawn.edges);
        along.push(followed(&drawn.along));
        without.push(followed(&drawn.without));
        behind.push(followed(&behind_autoencoder(vae, &drawn)?));
        if index < SHOWN {
            shown.push(drawn);
        }
        if (index + 1) % SHOWN == 0 {
            say(&format!("{} of {COUNT} pairs drawn along edges and without", index + 1));
        }
    }
    let gained: Vec<f64> = along.iter().zip(&without).map(|(along, without)| along - without).collect();
    let figures = [
        ("edges followed with the ControlNet, F1 within a pixel", along),
        ("edges followed by the same seeds without it", without),
        ("edges followed: gained by it, picture by picture", gained),
        ("edges followed by the picture itself behind the autoencoder", behind),
    ];
    Ok((figures.map(|(name, values)| Metric::mean(name, &values, "%")).into(), sheet(&shown)))
}

fn behind_autoencoder(vae: &Vae, drawn: &Drawn) -> Result<RgbImage> {
    let image = picture::to_tensor(&drawn.picture)?.f_to_device(vae.device())?;
    let decoded = tch::no_grad(|| vae.decode(&vae.encode(&image)?.mean))?;
    Ok(picture::from_tensor(&decoded.f_get(0)?)?)
}
