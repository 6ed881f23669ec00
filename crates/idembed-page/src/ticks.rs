//! Where the axes of a chart have their marks, and what these are called.

/// About `wanted` round values from `low` to `high`: multiples of 1, 2 or 5 times a power of ten.
pub(super) fn linear_ticks(low: f64, high: f64, wanted: u32) -> Vec<f64> {
    let rough = (high - low) / f64::from(wanted);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.999);
    let Some(step) = step else { return Vec::new() };
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|multiple| multiple as f64 * step).collect()
}

/// Powers of ten between two logarithms, with their two- and fivefold where there are few.
pub(super) fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let factors: &[f64] = if high - low < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = (((high - low) / 7.0).ceil() as i32).max(1);
    let decades = (low.floor() as i32..=high.ceil() as i32).filter(|decade| decade % every == 0);
    let ticks = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)));
    ticks.filter(|tick| (low..=high).contains(&tick.log10())).collect()
}

/// Evenly spaced ticks with as many decimals as their step needs.
pub(super) fn labelled(ticks: &[f64]) -> Vec<(f64, String)> {
    let step = match ticks {
        [first, second, ..] => second - first,
        _ => 1.0,
    };
    let largest = ticks.iter().fold(0.0_f64, |largest, tick| largest.max(tick.abs()));
    let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
    let label = |tick: f64| {
        if largest >= 1e6 || (largest < 1e-3 && largest > 0.0) {
            significant(tick)
        } else {
            format!("{tick:.decimals$}")
        }
    };
    ticks.iter().map(|&tick| (tick, label(tick))).collect()
}

/// A round number in the shortest form that is easy to read.
pub(super) fn significant(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e6).contains(&value.abs()) {
        let text = format!("{value:.6}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        let text = format!("{value:.2e}");
        match text.split_once('e') {
            Some((digits, exponent)) if digits.contains('.') => {
                format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
            }
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(linear_ticks(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(linear_ticks(-0.3, 0.42, 4), [-0.2, 0.0, 0.2, 0.4]);
        assert_eq!(log_ticks(-3.2, 0.1), [0.001, 0.01, 0.1, 1.0]);
        assert_eq!(log_ticks(0.0, 1.0), [1.0, 2.0, 5.0, 10.0]);
        assert!(log_ticks(-30.0, 10.0).len() <= 8);
        let text = |ticks: &[f64]| labelled(ticks).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(text(&[0.0, 0.05, 0.1]), ["0.00", "0.05", "0.10"]);
        assert_eq!(text(&[0.0, 50.0]), ["0", "50"]);
        assert_eq!(text(&[0.0, 2e-5, 4e-5]), ["0", "2e-5", "4e-5"]);
        assert_eq!(significant(0.02), "0.02");
        assert_eq!(significant(2.5e7), "2.5e7");
    }
}
