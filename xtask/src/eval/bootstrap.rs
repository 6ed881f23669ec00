//! The mean of a sample and how far it can be trusted: the percentile bootstrap.

use serde::Serialize;

/// A mean with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// Of all values.
    pub(crate) mean: f64,
    /// 2.5 % of the resampled means are below.
    pub(crate) low: f64,
    /// 2.5 % of the resampled means are above.
    pub(crate) high: f64,
    /// The number of values.
    pub(crate) n: usize,
}

impl Estimate {
    /// The mean of `values` and the percentiles of the means of `resamples` samples of the same size, drawn from them
    /// with replacement; none if there is nothing to draw from or no sample to draw.
    ///
    /// # Source
    /// Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; percentiles between two means are
    /// interpolated as numpy does by default.
    pub(crate) fn of(values: &[f64], resamples: u32, seed: u64) -> Option<Self> {
        if values.is_empty() || resamples == 0 {
            return None;
        }
        let n = values.len();
        let mut random = SplitMix64(seed);
        let mut means: Vec<f64> =
            (0..resamples).map(|_| (0..n).map(|_| values[random.below(n)]).sum::<f64>() / n as f64).collect();
        means.sort_by(f64::total_cmp);
        let mean = values.iter().sum::<f64>() / n as f64;
        Some(Self { mean, low: quantile(&means, 0.025), high: quantile(&means, 0.975), n })
    }
}

/// The value below which the share `q` of the `sorted` values lies; they are at least one.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * place.fract()
}

/// A small generator of random numbers, the same on every machine.
///
/// # Source
/// Steele, Lea and Flood, Fast splittable pseudorandom number generators (2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`; the shares differ by less than `end` in 2^64.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Made by `xtask/eval/bootstrap.py` with numpy and scipy.
    fn cases() -> Vec<Value> {
        let cases: Value = serde_json::from_str(include_str!("../../eval/bootstrap.json")).unwrap();
        cases["cases"].as_array().unwrap().clone()
    }

    fn values(case: &Value) -> Vec<f64> {
        case["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    }

    fn close(got: f64, expected: &Value, limit: f64) -> bool {
        (got - expected.as_f64().unwrap()).abs() <= limit
    }

    #[test]
    fn mean_and_interval_are_those_of_numpy_on_the_same_draws() {
        for case in cases() {
            let resamples = u32::try_from(case["resamples"].as_u64().unwrap()).unwrap();
            let figure = Estimate::of(&values(&case), resamples, case["seed"].as_u64().unwrap()).unwrap();
            let numpy = &case["numpy"];
            let agrees = close(figure.mean, &numpy["mean"], 1e-12)
                && close(figure.low, &numpy["low"], 1e-12)
                && close(figure.high, &numpy["high"], 1e-12);
            assert!(agrees, "{}: {figure:?} is not {numpy}", case["name"]);
        }
    }

    #[test]
    fn the_interval_is_that_of_scipy_whatever_the_draws() {
        let mut compared = 0;
        for case in cases().iter().filter(|case| case["scipy"].is_object()) {
            let scipy = &case["scipy"];
            for seed in 0..3 {
                let figure = Estimate::of(&values(case), 20_000, seed).unwrap();
                // The end of an interval from 20,000 draws scatters by 0.019 standard errors of the mean.
                let limit = 0.08 * scipy["standard_error"].as_f64().unwrap();
                let agrees = close(figure.low, &scipy["low"], limit) && close(figure.high, &scipy["high"], limit);
                assert!(agrees, "{}: {figure:?} is not {scipy}", case["name"]);
                compared += 1;
            }
        }
        assert!(compared > 0, "the fixture has no numbers of scipy");
    }

    #[test]
    fn the_generator_is_splitmix64() {
        // The first outputs for seed 1234567 as published with Vigna's reference code.
        let mut random = SplitMix64(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next(), random.next(), random.next()], expected);
    }

    #[test]
    fn seeds_repeat_and_differ() {
        let values: Vec<f64> = (0..40).map(|index| f64::from(index * index % 17)).collect();
        assert_eq!(Estimate::of(&values, 500, 3), Estimate::of(&values, 500, 3));
        assert_ne!(Estimate::of(&values, 500, 3), Estimate::of(&values, 500, 4));
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(Estimate::of(&[], 100, 0), None);
        assert_eq!(Estimate::of(&[1.0], 0, 0), None);
        assert_eq!(Estimate::of(&[0.5], 1, 0), Some(Estimate { mean: 0.5, low: 0.5, high: 0.5, n: 1 }));
    }
}
