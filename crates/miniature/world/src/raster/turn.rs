//! Sine and cosine from additions and products alone, so that every machine draws the same curve.

/// `(cos, sin)` of an angle given in turns; wrong by less than 1e-5.
pub(crate) fn turn(turns: f32) -> (f32, f32) {
    (wave(turns + 0.25), wave(turns))
}

/// Sine of an angle in turns.
pub(crate) fn wave(turns: f32) -> f32 {
    let phase = turns - turns.floor();
    // Fold onto the first quarter, where the Taylor series of order 9 is exact enough.
    let (phase, sign) = if phase < 0.5 { (phase, 1.0) } else { (phase - 0.5, -1.0) };
    let phase = if phase > 0.25 { 0.5 - phase } else { phase };
    let x = phase * std::f32::consts::TAU;
    let square = x * x;
    sign * x * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0 * (1.0 - square / 72.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_library() {
        for step in -300..300 {
            let turns = step as f32 / 137.0;
            let (cos, sin) = turn(turns);
            let exact = (f64::from(turns) * std::f64::consts::TAU).sin_cos();
            assert!((f64::from(sin) - exact.0).abs() < 1e-5, "{turns}");
            assert!((f64::from(cos) - exact.1).abs() < 1e-5, "{turns}");
        }
    }
}
