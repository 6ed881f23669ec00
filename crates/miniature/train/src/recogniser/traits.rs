//! The traits of people as numbers.

use idembed_world::{Identity, Who};

/// Numbers of one person.
pub(super) const COUNT: usize = 54;

/// The traits of people, [`COUNT`] numbers for each: the same trait of all of them has mean 0 and variance 1.
pub(super) fn table(people: &[Who]) -> Vec<f32> {
    let mut rows: Vec<[f32; COUNT]> = people.iter().map(|who| numbers(&who.identity())).collect();
    let count = rows.len().max(1) as f32;
    for column in 0..COUNT {
        let mean = rows.iter().map(|row| row[column]).sum::<f32>() / count;
        let variance = rows.iter().map(|row| (row[column] - mean).powi(2)).sum::<f32>() / count;
        // A trait that all of them have tells nobody apart.
        let deviation = variance.sqrt().max(1e-3);
        rows.iter_mut().for_each(|row| row[column] = (row[column] - mean) / deviation);
    }
    rows.concat()
}

/// Measures as they are, kinds as a 1 among zeros.
fn numbers(identity: &Identity) -> [f32; COUNT] {
    let Identity { mole, .. } = identity;
    let [mole_is_there, mole_x, mole_y] = mole.map_or([0.0; 3], |mole| [1.0, mole.x, mole.y]);
    let measures = [
        identity.skin,
        identity.undertone,
        identity.face_width,
        identity.jaw,
        identity.ears,
        identity.hairline,
        identity.eye_size,
        identity.eye_spacing,
        identity.eye_openness,
        identity.eye_tilt,
        identity.brow_thickness,
        identity.brow_slope,
        identity.nose_length,
        identity.nose_width,
        identity.mouth_width,
        identity.lip_size,
        identity.lip_colour,
        identity.freckles,
        if identity.freckles > 0.0 { 1.0 } else { 0.0 },
        mole_is_there,
        mole_x,
        mole_y,
    ];
    let kinds = [
        (identity.gender as usize, 2),
        (identity.hair_style as usize, 13),
        (identity.hair_colour as usize, 7),
        (identity.eye_colour as usize, 6),
        (identity.facial_hair as usize, 4),
    ];
    let mut numbers = [0.0; COUNT];
    numbers[..measures.len()].copy_from_slice(&measures);
    let mut start = measures.len();
    for (kind, of) in kinds {
        numbers[start + kind] = 1.0;
        start += of;
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trait_tells_people_apart_and_counts_alike() {
        let people: Vec<Who> = (0..3000).map(Who::Passer).collect();
        let table = table(&people);
        assert_eq!(table.len(), people.len() * COUNT);
        for column in 0..COUNT {
            let values: Vec<f64> = table.iter().skip(column).step_by(COUNT).map(|value| f64::from(*value)).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
            assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 1e-2, "{column}: {mean} {variance}");
        }
    }
}
