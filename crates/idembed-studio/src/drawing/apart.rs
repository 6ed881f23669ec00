//! The parts of a picture that its people are kept to: those that were asked for, or those where each one's word looks.

use idembed_diffusion::Area;
use idembed_tokens::Regions;

use super::look::Look;
use crate::error::Result;

/// Which part of the picture each identity is kept to.
#[derive(Debug, Clone, PartialEq)]
pub enum RegionWish {
    /// These, by the identities' names in the prompt; who has none acts everywhere.
    Given(Regions),
    /// Those where the words of the identities look in the first quarter of the steps, drawn without regions: the picture is cut
    /// between them, side by side or one above the other.
    Found,
}

impl Default for RegionWish {
    fn default() -> Self {
        RegionWish::Given(Regions::new())
    }
}

/// The share of the steps after which people have their places.
pub(super) const FIRST_STEPS: f64 = 0.25;

/// Parts narrower than this hold nobody.
const NARROWEST: f64 = 1.0 / 16.0;

/// A picture cut into one part for each word, in the direction in which the words look at places further apart, halfway between
/// those places.
///
/// Words that look at much the same place get equal parts, the first leftmost.
pub(super) fn cut_apart(looks: &[Look]) -> Result<Vec<Area>> {
    let sums: Vec<f64> = looks.iter().map(|look| look.sum().max(f64::MIN_POSITIVE)).collect();
    let centres: Vec<[f64; 2]> = (0..looks.len()).map(|own| centre(looks, &sums, own)).collect();
    let spread = |axis: usize| {
        let along = centres.iter().map(|centre| centre[axis]);
        along.clone().fold(f64::MIN, f64::max) - along.fold(f64::MAX, f64::min)
    };
    let mut axis = usize::from(spread(1) > spread(0));
    let mut order: Vec<usize> = (0..looks.len()).collect();
    order.sort_by(|&a, &b| centres[a][axis].total_cmp(&centres[b][axis]));
    let between = order.windows(2).map(|pair| (centres[pair[0]][axis] + centres[pair[1]][axis]) / 2.0);
    // Thousandths are exact enough, and can be read in a picture's record.
    let rounded = |share: f64| (share * 1000.0).round() / 1000.0;
    let mut cuts: Vec<f64> = std::iter::once(0.0).chain(between.map(rounded)).chain([1.0]).collect();
    if cuts.windows(2).any(|ends| ends[1] - ends[0] < NARROWEST) {
        order.sort_unstable();
        axis = 0;
        cuts = (0..=looks.len()).map(|cut| rounded(cut as f64 / looks.len() as f64)).collect();
    }
    let mut areas = vec![Area::new(0.0, 0.0, 1.0, 1.0)?; looks.len()];
    for (whose, ends) in order.into_iter().zip(cuts.windows(2)) {
        let (from, length) = (ends[0], rounded(ends[1] - ends[0]));
        areas[whose] = match axis {
            0 => Area::new(from, 0.0, length, 1.0)?,
            _ => Area::new(0.0, from, 1.0, length)?,
        };
    }
    Ok(areas)
}

/// The middle of the places where a word looks more than the words do on average, in shares of width and height; that of the picture
/// if there are none. `sums` are those of the looks, above 0.
fn centre(looks: &[Look], sums: &[f64], own: usize) -> [f64; 2] {
    let share = |whose: usize, index: usize| f64::from(looks[whose].values[index]) / sums[whose];
    let more = |index: usize| {
        let mean = (0..looks.len()).map(|whose| share(whose, index)).sum::<f64>() / looks.len() as f64;
        (share(own, index) - mean).max(0.0)
    };
    let (mut sum, mut at) = (0.0, [0.0; 2]);
    for index in 0..looks[own].values.len() {
        let weight = more(index);
        sum += weight;
        let place = looks[own].place(index);
        at = [at[0] + weight * place[0], at[1] + weight * place[1]];
    }
    if sum > 0.0 { at.map(|at| at / sum) } else { [0.5; 2] }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    fn parts_of(looks: &[&[f32]], height: usize, width: usize) -> Vec<String> {
        let looks: Vec<Look> = looks.iter().map(|values| Look { values: values.to_vec(), height, width }).collect();
        cut_apart(&looks).unwrap().iter().map(Area::to_string).collect()
    }

    #[test]
    fn the_picture_is_cut_between_the_places_that_are_looked_at() {
        // The second word looks at the left, the first further right; what both look at does not count.
        assert_eq!(parts_of(&[&[0.1, 0.1, 0.1, 0.4], &[0.4, 0.1, 0.1, 0.1]], 1, 4), ["0.5,0,0.5,1", "0,0,0.5,1"]);
        assert_eq!(parts_of(&[&[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 3.0]], 1, 4), ["0,0,0.625,1", "0.625,0,0.375,1"]);
        // One above the other.
        assert_eq!(parts_of(&[&[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 3.0]], 4, 1), ["0,0,1,0.625", "0,0.625,1,0.375"]);
        // Three of them.
        let three = parts_of(&[&[0.0, 0.0, 1.0, 0.0], &[1.0, 0.0, 0.0, 0.0], &[0.0, 0.0, 0.0, 1.0]], 1, 4);
        assert_eq!(three, ["0.375,0,0.375,1", "0,0,0.375,1", "0.75,0,0.25,1"]);
    }

    #[test]
    fn words_that_look_at_the_same_place_get_equal_parts() {
        assert_eq!(parts_of(&[&[0.0, 1.0, 0.0, 0.0], &[0.0, 1.0, 0.0, 0.0]], 1, 4), ["0,0,0.5,1", "0.5,0,0.5,1"]);
        assert_eq!(parts_of(&[&[0.0; 4], &[0.0; 4]], 1, 4), ["0,0,0.5,1", "0.5,0,0.5,1"]);
    }
}
