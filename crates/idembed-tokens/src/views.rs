//! What is shown of a picture beside itself: parts of it, and mirror images.

use idembed_diffusion::noise::with_seed;
use tch::{Device, Kind, Tensor};

use crate::Result;
use crate::training_pictures::step_seed;

/// How many parts of each picture are shown: they are encoded before learning begins.
const PARTS: i64 = 16;

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Views {
    /// Mirror images of everything.
    pub(crate) mirror: bool,
    /// Parts whose sides are at least this share of the picture's.
    pub(crate) crops: Option<f64>,
    /// Decides where the parts lie.
    pub(crate) seed: u64,
}

impl Views {
    /// Number of views of each picture, mirror images not counted.
    pub(crate) fn count(self) -> i64 {
        if self.crops.is_some() { 1 + PARTS } else { 1 }
    }

    /// The pictures, then their first parts as large as they are, and so on; then the mirror images of all these.
    ///
    /// Pictures of the same number and size have the same parts, whatever they show: a mask's are those of its picture.
    ///
    /// # Shapes
    /// - `images`: `[pictures, channels, H, W]` in `lowest`..1
    /// - returns: `[pictures * count, channels, H, W]`, or twice as many
    pub(crate) fn of(self, images: &Tensor, lowest: f64) -> Result<Tensor> {
        let mut views = vec![images.shallow_clone()];
        if let Some(smallest) = self.crops {
            let (pictures, _, height, width) = images.size4()?;
            let draws = with_seed(step_seed(self.seed, u64::MAX), || {
                let draws = Tensor::f_rand([PARTS * pictures * 3], (Kind::Double, Device::Cpu))?;
                Ok(Vec::<f64>::try_from(draws)?)
            })?;
            let parts = draws.chunks_exact(3).zip((0..pictures).cycle()).map(|(draw, picture)| {
                let share = smallest + (1.0 - smallest) * draw[0];
                let cut = |length: i64, place: f64| {
                    let part = ((length as f64 * share).round() as i64).max(1);
                    (((length - part) as f64 * place).round() as i64, part)
                };
                let ((top, rows), (left, columns)) = (cut(height, draw[1]), cut(width, draw[2]));
                let part = images.f_narrow(0, picture, 1)?.f_narrow(2, top, rows)?.f_narrow(3, left, columns)?;
                Ok(part.f_upsample_bicubic2d([height, width], false, None, None)?.f_clamp(lowest, 1.0)?)
            });
            views.extend(parts.collect::<Result<Vec<_>>>()?);
        }
        if self.mirror {
            let mirrored = views.iter().map(|view| view.f_flip([3]));
            views.extend(mirrored.collect::<std::result::Result<Vec<_>, _>>()?);
        }
        Ok(Tensor::f_cat(&views, 0)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    /// Two pictures whose value is how far right, and how far down, a pixel lies: in -1..1.
    fn slopes() -> Tensor {
        let line = Tensor::linspace(-1.0, 1.0, 24, (Kind::Float, Device::Cpu));
        let right = line.view([1, 1, 1, 24]).expand([1, 1, 24, 24], false);
        Tensor::cat(&[right.shallow_clone(), right.transpose(2, 3)], 0)
    }

    fn range(tensor: &Tensor) -> f64 {
        (tensor.max() - tensor.min()).double_value(&[])
    }

    #[test]
    fn parts_are_as_large_as_asked_for_and_differ() {
        let pictures = slopes();
        let views = Views { mirror: true, crops: Some(0.5), seed: 3 };
        let all = views.of(&pictures, -1.0).unwrap();
        let plain = 2 * views.count();
        assert_eq!(all.size(), [2 * plain, 1, 24, 24]);
        assert!(all.narrow(0, 0, 2).equal(&pictures), "the whole pictures come first");
        assert!(all.narrow(0, plain, plain).equal(&all.narrow(0, 0, plain).flip([3])));
        let ranges: Vec<f64> = (2..plain).map(|row| range(&all.get(row))).collect();
        // Half of a range of 2, less a pixel at each end.
        assert!(ranges.iter().all(|range| (0.9..=2.0).contains(range)), "{ranges:?}");
        assert!(ranges.iter().any(|range| *range < 1.3) && ranges.iter().any(|range| *range > 1.6), "{ranges:?}");
        let other = Views { seed: 4, ..views }.of(&pictures, -1.0).unwrap();
        assert!(!other.narrow(0, 2, 2).equal(&all.narrow(0, 2, 2)));
        assert!(Views { crops: None, mirror: false, ..views }.of(&pictures, -1.0).unwrap().equal(&pictures));
    }

    #[test]
    fn a_mask_is_cut_as_its_picture() {
        let views = Views { mirror: false, crops: Some(0.3), seed: 0 };
        let (pictures, masks) = (slopes(), slopes() * 0.5 + 0.5);
        let (pictures, masks) = (views.of(&pictures, -1.0).unwrap(), views.of(&masks, 0.0).unwrap());
        assert!((pictures * 0.5 + 0.5 - masks).abs().max().double_value(&[]) < 1e-5);
        // Odd sizes, and parts of a single pixel.
        let small =
            Views { crops: Some(0.01), ..views }.of(&Tensor::ones([1, 3, 7, 5], (Kind::Float, Device::Cpu)), 0.0);
        assert_eq!(small.unwrap().size(), [17, 3, 7, 5]);
    }
}
