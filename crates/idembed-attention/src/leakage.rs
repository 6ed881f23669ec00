//! Leakage: the share of a word's attention that lies outside a mask.

use tch::{Kind, Tensor};

use crate::check;
use crate::error::{AttentionError, Result};
use crate::mask::Mask;

/// The share of a map's mass outside the mask, from 0 (all inside) to 1 (all outside); `None` if the map is 0
/// everywhere and so has no mass to share.
///
/// The mask is resized to the map by area, so a pixel at the face's edge counts in part. A mask that covers everything
/// gives 0; an empty one cannot be made ([`Mask::new`] refuses it).
///
/// # Shapes
/// - `map`: `[height, width]`, not negative
/// - `mask`: a single one
///
/// # Errors
/// Another shape, NaN, infinity or negative values in the map, more than one mask.
pub fn leakage(map: &Tensor, mask: &Mask) -> Result<Option<f64>> {
    if map.dim() != 2 {
        return Err(check::shape_error("the attention map", map, "[height, width]"));
    }
    Ok(leakage_each(&map.f_unsqueeze(0)?, mask)?.first().copied().flatten())
}

/// [`leakage`] of each map of a batch.
///
/// # Shapes
/// - `maps`: `[batch, height, width]`, not negative
/// - `mask`: one for all maps, or one for each
pub fn leakage_each(maps: &Tensor, mask: &Mask) -> Result<Vec<Option<f64>>> {
    let (batch, height, width) = match maps.size()[..] {
        [batch, height, width] if batch > 0 && height > 0 && width > 0 => (batch, height, width),
        _ => return Err(check::shape_error("the attention maps", maps, "[batch, height, width], none of them 0")),
    };
    if mask.batch() != 1 && mask.batch() != batch {
        let masks = mask.batch();
        return Err(AttentionError::Setting(format!("{masks} masks for {batch} maps, expected 1 or {batch}")));
    }
    let maps = maps.f_detach()?.f_to_kind(Kind::Double)?;
    check::finite("an attention map", &maps)?;
    if maps.f_min()?.f_double_value(&[])? < 0.0 {
        return Err(AttentionError::Values { what: "an attention map", expected: "zero or positive" });
    }
    let outside = mask.resized(height, width, maps.device())?.f_to_kind(Kind::Double)?.f_neg()?.f_add_scalar(1.0)?;
    let mass = |maps: &Tensor| -> Result<Vec<f64>> {
        Ok(Vec::<f64>::try_from(maps.f_flatten(1, -1)?.f_sum_dim_intlist(1, false, Kind::Double)?)?)
    };
    let (outer, whole) = (mass(&maps.f_mul(&outside)?)?, mass(&maps)?);
    Ok(outer.iter().zip(whole).map(|(outer, whole)| (whole > 0.0).then(|| (outer / whole).clamp(0.0, 1.0))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32], shape: &[i64]) -> Tensor {
        Tensor::from_slice(values).reshape(shape)
    }

    fn left_half() -> Mask {
        Mask::new(&tensor(&[1.0, 0.0], &[1, 1, 1, 2])).unwrap()
    }

    #[test]
    fn counts_what_lies_outside() {
        let map = tensor(&[3.0, 1.0, 0.0, 0.0], &[1, 4]);
        assert_eq!(leakage(&map, &left_half()).unwrap(), Some(0.0));
        let map = tensor(&[1.0, 2.0, 3.0, 0.0, 0.0, 4.0], &[2, 3]);
        // The middle column is half inside.
        assert_eq!(leakage(&map, &left_half()).unwrap(), Some((3.0 + 4.0 + 0.5 * 2.0) / 10.0));
    }

    #[test]
    fn the_edge_cases_are_as_documented() {
        let full = Mask::new(&tensor(&[1.0], &[1, 1, 1, 1])).unwrap();
        let map = tensor(&[1.0, 2.0], &[2, 1]);
        assert_eq!(leakage(&map, &full).unwrap(), Some(0.0));
        assert_eq!(leakage(&(map * 0.0), &full).unwrap(), None);
    }

    #[test]
    fn each_map_may_have_its_own_mask() {
        let maps = tensor(&[1.0, 1.0, 0.0, 0.0, 0.0, 5.0], &[3, 1, 2]);
        assert_eq!(leakage_each(&maps, &left_half()).unwrap(), [Some(0.5), None, Some(1.0)]);
        let masks = Mask::new(&tensor(&[1.0, 1.0, 1.0, 0.0, 0.0, 1.0], &[3, 1, 1, 2])).unwrap();
        assert_eq!(leakage_each(&maps, &masks).unwrap(), [Some(0.0), None, Some(0.0)]);
        assert!(leakage_each(&maps.narrow(0, 0, 2), &masks).is_err());
    }

    #[test]
    fn bad_maps_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, -1.0] {
            let error = leakage(&tensor(&[1.0, bad], &[1, 2]), &left_half()).unwrap_err();
            assert!(matches!(error, AttentionError::Values { .. }), "{bad}: {error}");
        }
        assert!(leakage(&tensor(&[1.0], &[1]), &left_half()).is_err());
        assert!(leakage(&tensor(&[], &[0, 2]), &left_half()).is_err());
    }
}
