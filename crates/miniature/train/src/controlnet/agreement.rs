//! How well the edges of one picture lie on those of another.

use image::GrayImage;

/// How many pixels an edge may lie beside its like.
const REACH: u32 = 1;

/// The F1 score of drawn edges for given ones, 0 to 1: the harmonic mean of the share of drawn pixels that lie on given ones
/// or directly beside them, and of the share of given ones that lie so on drawn ones. Two pictures without edges agree.
pub fn agreement(drawn: &GrayImage, given: &GrayImage) -> f64 {
    let [(precise, all_drawn), (recalled, all_given)] = [near(drawn, given), near(given, drawn)];
    match (all_drawn, all_given) {
        (0, 0) => 1.0,
        (0, _) | (_, 0) => 0.0,
        _ => {
            let (precision, recall) =
                (f64::from(precise) / f64::from(all_drawn), f64::from(recalled) / f64::from(all_given));
            if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
        }
    }
}

/// How many pixels of some edges lie near others, and how many there are.
fn near(edges: &GrayImage, others: &GrayImage) -> (u32, u32) {
    let lit = |x: u32, y: u32| x < others.width() && y < others.height() && others.get_pixel(x, y).0[0] > 0;
    let around = |at: u32| at.saturating_sub(REACH)..=at + REACH;
    let pixels = edges.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 0);
    pixels.fold((0, 0), |(near, all), (x, y, _)| {
        (near + u32::from(around(x).any(|x| around(y).any(|y| lit(x, y)))), all + 1)
    })
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    /// A picture with upright lines at these columns.
    fn lines(columns: &[u32]) -> GrayImage {
        GrayImage::from_fn(20, 8, |x, _| Luma([if columns.contains(&x) { 255 } else { 0 }]))
    }

    #[test]
    fn what_lies_directly_beside_agrees() {
        assert_eq!(agreement(&lines(&[4]), &lines(&[4])), 1.0);
        assert_eq!(agreement(&lines(&[0, 18]), &lines(&[1, 19])), 1.0);
        assert_eq!(agreement(&lines(&[4]), &lines(&[6])), 0.0);
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_counts_alike() {
        // Half of one is in the other: a share of 1 and one of a half.
        let (one, two) = (lines(&[4]), lines(&[4, 12]));
        assert!((agreement(&one, &two) - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(agreement(&one, &two), agreement(&two, &one));
        assert_eq!([agreement(&lines(&[]), &one), agreement(&one, &lines(&[]))], [0.0; 2]);
        assert_eq!(agreement(&lines(&[]), &lines(&[])), 1.0);
    }
}
