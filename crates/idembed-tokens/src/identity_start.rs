//! Learning that starts at an identity which was learned before, of the same or another method.

use std::ops::Range;

use idembed_diffusion::StableDiffusion;
use tch::{Device, Kind, Tensor};

use crate::identity::EncoderRows;
use crate::layout::Layout;
use crate::{Identity, Result, TokensError};

/// An identity's vectors as the learned rows of a layout, for each text encoder `[learned rows, hidden]`, f32.
///
/// Where the layout is the identity's own, they are its rows. Where it has fewer places (stages, layers, or one half for keys
/// and values), each takes the mean of those that it stands for; where it has more, several take the same.
///
/// # Errors
/// Another number of text encoders, vectors of another width, layers that do not correspond, or another number of words.
pub(crate) fn rows_of(identity: &Identity, model: &StableDiffusion, layout: &Layout) -> Result<Vec<Tensor>> {
    let name = || identity.name.clone();
    let widths = model.text_encoders.widths();
    if identity.is_embedding() {
        identity.check_widths(&widths)?;
    }
    let (got, expected) = (identity.encoders.len(), widths.len());
    if got != expected {
        return Err(TokensError::OtherEncoders { name: name(), got, expected });
    }
    if let Some((rows, expected)) = identity.encoders.iter().zip(widths).find(|(rows, width)| rows.hidden() != *width) {
        return Err(TokensError::OtherHidden { name: name(), got: rows.hidden(), expected });
    }
    if identity.layers > 1 && layout.layers > 1 && identity.layers != layout.layers {
        return Err(TokensError::OtherLayers { name: name(), got: identity.layers, expected: layout.layers });
    }
    if ![layout.words, layout.learned_words()].contains(&identity.words) {
        let (got, expected) = (identity.words.to_string(), format!("{}, as the method takes", layout.words));
        return Err(TokensError::Setting { what: "number of words of the identity to start at", got, expected });
    }
    for (rows, expected) in identity.encoders.iter().zip(model.text_encoders.fingerprints()?) {
        if rows.sha256 != expected && !identity.is_embedding() {
            let (base, own) = (&identity.base_model, &rows.sha256);
            tracing::info!("`{}` was learned for the text encoder {own} of `{base}`: only a start here", identity.name);
        }
    }
    let weights = weights(identity, layout)?;
    let rows = identity.encoders.iter().map(|EncoderRows { k, v, .. }| {
        // In f64, so that the mean of equal rows is that row.
        let rows = Tensor::f_cat(&[k, v], 0)?.f_to_kind(Kind::Double)?;
        Ok(weights.f_matmul(&rows)?.f_to_kind(Kind::Float)?.f_to_device(model.compute.device)?)
    });
    rows.collect()
}

/// How much each row of an identity, K before V, counts for each learned row.
///
/// # Shapes
/// - returns: `[learned rows, 2 * stages * layers * words]`, f64; rows sum to 1
fn weights(identity: &Identity, layout: &Layout) -> Result<Tensor> {
    let halves = shares(0..layout.halves(), layout.halves(), 2)?;
    let stages = shares(layout.learned.clone(), layout.stages, identity.stages())?;
    let layers = shares(0..layout.layers, layout.layers, identity.layers)?;
    let words = Tensor::f_eye_m(layout.learned_words() as i64, identity.words as i64, (Kind::Double, Device::Cpu))?;
    // Both tables are ordered by half, stage, layer and word.
    Ok(halves.f_kron(&stages)?.f_kron(&layers)?.f_kron(&words)?)
}

/// Of two divisions of the same whole: which share of each of some `places` out of `of` lies in each of `others` places.
///
/// # Shapes
/// - returns: `[places, others]`, f64
fn shares(places: Range<usize>, of: usize, others: usize) -> Result<Tensor> {
    let shape = [places.len() as i64, others as i64];
    let pairs = places.flat_map(|place| (0..others).map(move |other| (place, other)));
    let share = |(place, other): (usize, usize)| {
        let (from, to) = ((place * others).max(other * of), ((place + 1) * others).min((other + 1) * of));
        to.saturating_sub(from) as f64 / others as f64
    };
    Ok(Tensor::f_from_slice(&pairs.map(share).collect::<Vec<f64>>())?.f_view(shape)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::identity::example;

    /// The example with rows that are told apart: `10 * stage + 3 * layer + word`, and 100 more for the values.
    fn identity(stages: usize, layers: usize, words: usize) -> Identity {
        let places = (0..stages).flat_map(|stage| (0..layers).map(move |layer| (stage, layer)));
        let rows = places.flat_map(|(stage, layer)| (0..words).map(move |word| (10 * stage + 3 * layer + word) as f32));
        let k = Tensor::from_slice(&rows.collect::<Vec<f32>>()).view([-1, 1]);
        let v = &k + 100.0;
        Identity { encoders: vec![EncoderRows { k, v, sha256: String::new() }], layers, words, ..example() }
    }

    fn started(identity: &Identity, layout: &Layout) -> Vec<f64> {
        let EncoderRows { k, v, .. } = &identity.encoders[0];
        let rows = Tensor::cat(&[k, v], 0).to_kind(Kind::Double);
        Vec::try_from(weights(identity, layout).unwrap().matmul(&rows).flatten(0, -1)).unwrap()
    }

    #[test]
    fn an_equal_layout_takes_the_rows_as_they_are() {
        let same = Layout { layers: 2, words: 2, ..Layout::staged(3, true) };
        let identity = identity(3, 2, 2);
        let table: Vec<f64> = [&identity.encoders[0].k, &identity.encoders[0].v]
            .map(|rows| Vec::<f64>::try_from(rows.flatten(0, -1).to_kind(Kind::Double)).unwrap())
            .concat();
        assert_eq!(started(&identity, &same), table);
    }

    #[test]
    fn what_has_fewer_places_takes_means_and_what_has_more_the_same() {
        let five = identity(5, 1, 1);
        assert_eq!(started(&five, &Layout::staged(5, false)), [50.0, 60.0, 70.0, 80.0, 90.0]);
        assert_eq!(started(&five, &Layout::staged(1, true)), [20.0, 120.0]);
        let ten = started(&five, &Layout::staged(10, true));
        assert_eq!((&ten[..4], ten[10]), (&[0.0, 0.0, 10.0, 10.0][..], 100.0));
        // Two and a half of the five stages each: (0 + 10 + 20 / 2) / 2.5, and (20 / 2 + 30 + 40) / 2.5.
        assert_eq!(started(&five, &Layout::staged(2, true))[..2], [8.0, 32.0]);
        let middle = Layout { learned: 1..3, ..Layout::staged(5, true) };
        assert_eq!(started(&five, &middle), [10.0, 20.0, 110.0, 120.0]);
        let layers = identity(1, 4, 1);
        assert_eq!(started(&layers, &Layout::staged(1, true)), [4.5, 104.5]);
        let per_layer = Layout { layers: 4, ..Layout::staged(1, false) };
        assert_eq!(started(&layers, &per_layer), [50.0, 53.0, 56.0, 59.0]);
        assert_eq!(started(&five, &Layout { layers: 3, ..Layout::staged(1, true) })[..4], [20.0, 20.0, 20.0, 120.0]);
    }

    #[test]
    fn a_class_word_behind_it_is_not_learned() {
        let class = Layout { words: 2, class_follows: true, ..Layout::staged(1, true) };
        assert_eq!(started(&identity(1, 1, 2), &class), [0.0, 100.0]);
        assert_eq!(started(&identity(1, 1, 1), &class), [0.0, 100.0]);
    }
}
