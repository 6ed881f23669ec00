//! Smooth random surfaces for hair, brush strokes, clouds and cloth.

/// A random number from 0 to 1 that belongs to a lattice point. Only 32-bit integers, as it runs several times a pixel.
fn lattice(seed: u32, x: i32, y: i32) -> f32 {
    let mut bits = seed ^ (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x7FEB_352D);
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x846C_A68B);
    ((bits ^ (bits >> 16)) >> 8) as f32 / (1_u32 << 24) as f32
}

/// The whole number below, and the way from there, eased. (`f32::floor` is a call where the processor lacks it.)
fn cell(x: f32) -> (i32, f32) {
    let whole = x as i32;
    let whole = if whole as f32 > x { whole - 1 } else { whole };
    (whole, ease(x - whole as f32))
}

/// Noise along a line: 0 to 1, changing over a distance of about 1.
pub(crate) fn line(seed: u32, x: f32) -> f32 {
    let (cell, t) = cell(x);
    mix(lattice(seed, cell, 0), lattice(seed, cell.wrapping_add(1), 0), t)
}

/// Noise over a plane: 0 to 1, changing over a distance of about 1.
pub(crate) fn plane(seed: u32, x: f32, y: f32) -> f32 {
    let ((left, u), (top, v)) = (cell(x), cell(y));
    let (right, bottom) = (left.wrapping_add(1), top.wrapping_add(1));
    let upper = mix(lattice(seed, left, top), lattice(seed, right, top), u);
    let lower = mix(lattice(seed, left, bottom), lattice(seed, right, bottom), u);
    mix(upper, lower, v)
}

/// Two octaves of [`plane`].
pub(crate) fn cloud(seed: u32, x: f32, y: f32) -> f32 {
    0.67 * plane(seed, x, y) + 0.33 * plane(seed ^ 0x5bd1, 2.0 * x, 2.0 * y)
}

/// From `a` at 0 to `b` at 1.
pub(crate) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// 0 below `low`, 1 above `high`, smooth between; falls where `low` is the larger.
pub(crate) fn step(low: f32, high: f32, x: f32) -> f32 {
    ease(((x - low) / (high - low)).clamp(0.0, 1.0))
}

/// 1 in the middle, 0 from `reach` on.
pub(crate) fn dome(distance: f32, reach: f32) -> f32 {
    let left = (1.0 - distance * distance / (reach * reach)).max(0.0);
    left * left
}

fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_stays_in_range_and_is_continuous() {
        for index in 0..2000 {
            let x = index as f32 * 0.037 - 30.0;
            for value in [line(3, x), plane(3, x, -x), cloud(3, x, 0.5 * x)] {
                assert!((0.0..=1.0).contains(&value));
            }
            assert!((plane(3, x, 1.0) - plane(3, x + 1e-3, 1.0)).abs() < 0.01);
        }
    }

    #[test]
    fn steps_and_domes_reach_their_ends() {
        assert_eq!((step(1.0, 2.0, 0.5), step(1.0, 2.0, 1.5), step(1.0, 2.0, 3.0)), (0.0, 0.5, 1.0));
        assert_eq!((step(2.0, 1.0, 0.5), step(2.0, 1.0, 3.0)), (1.0, 0.0));
        assert_eq!((dome(0.0, 2.0), dome(2.0, 2.0), dome(5.0, 2.0)), (1.0, 0.0, 0.0));
    }
}
