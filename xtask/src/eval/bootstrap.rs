//! The mean of a sample and how far it can be trusted: the percentile bootstrap.

use serde::{Deserialize, Serialize};

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
        let mean_of = |drawn: &[usize]| drawn.iter().map(|&index| values[index]).sum::<f64>() / n as f64;
        let (low, high) = interval(n, resamples, seed, |drawn| Some(mean_of(drawn)))?;
        let mean = values.iter().sum::<f64>() / n as f64;
        Some(Self { mean, low, high, n })
    }
}

/// The percentiles of a statistic over `resamples` samples of `count` of the numbers `0..count`, drawn with replacement;
/// samples for which it is not defined are left out. `None` if it is defined for none.
pub(crate) fn interval(
    count: usize,
    resamples: u32,
    seed: u64,
    mut statistic: impl FnMut(&[usize]) -> Option<f64>,
) -> Option<(f64, f64)> {
    intervals(count, resamples, seed, |drawn| [statistic(drawn)]).pop().flatten()
}

/// As [`interval`], of several statistics of the same samples; of none if no sample is drawn.
pub(crate) fn intervals<S: IntoIterator<Item = Option<f64>>>(
    count: usize,
    resamples: u32,
    seed: u64,
    mut statistics: impl FnMut(&[usize]) -> S,
) -> Vec<Option<(f64, f64)>> {
    let mut random = SplitMix64(seed);
    let mut drawn = vec![0; count];
    let mut values: Vec<Vec<f64>> = Vec::new();
    for _ in 0..resamples {
        drawn.fill_with(|| random.below(count));
        for (number, value) in statistics(&drawn).into_iter().enumerate() {
            if number == values.len() {
                values.push(Vec::new());
            }
            values[number].extend(value);
        }
    }
    let percentiles = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then(|| (quantile(&values, 0.025), quantile(&values, 0.975)))
    };
    values.into_iter().map(percentiles).collect()
}

/// The sum of a person's values, and how many they are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    total: f64,
    count: usize,
}

impl Sum {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: f64) {
        self.total += value;
        self.count += 1;
    }

    /// The mean of the values.
    pub(crate) fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.total / self.count as f64)
    }
}

/// A mean over people of each person's own mean, with its 95 % interval.
///
/// Pictures of one person are alike, so a person is drawn whole: the interval says what other people would have given,
/// not what more pictures of the same would.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OverPeople {
    /// Of the people's means.
    pub(crate) mean: f64,
    /// 2.5 % of the resampled means are below; none for a single person.
    pub(crate) low: Option<f64>,
    /// 2.5 % of the resampled means are above; none for a single person.
    pub(crate) high: Option<f64>,
    /// The number of people.
    pub(crate) n: usize,
    /// The number of their pictures.
    pub(crate) pictures: usize,
}

impl OverPeople {
    /// The mean over all people with a value; none if there is none.
    ///
    /// # Source
    /// Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8: of grouped data the groups are
    /// drawn with replacement, and kept whole.
    pub(crate) fn of(people: &[Sum], resamples: u32, seed: u64) -> Option<Self> {
        let means: Vec<f64> = people.iter().filter_map(|sum| sum.mean()).collect();
        Self::of_means(&means, people.iter().map(|sum| sum.count).sum(), resamples, seed)
    }

    /// The mean over people of how much more `these` are than `those`, person by person, whom both have in the same
    /// order; people with values on one side alone are left out. The pictures are counted on this side.
    pub(crate) fn of_differences(these: &[Sum], those: &[Sum], resamples: u32, seed: u64) -> Option<Self> {
        let both = these.iter().zip(those).filter(|(this, that)| this.count > 0 && that.count > 0);
        let pictures = both.clone().map(|(this, _)| this.count).sum();
        let differences: Vec<f64> = both.filter_map(|(this, that)| Some(this.mean()? - that.mean()?)).collect();
        Self::of_means(&differences, pictures, resamples, seed)
    }

    fn of_means(means: &[f64], pictures: usize, resamples: u32, seed: u64) -> Option<Self> {
        let Estimate { mean, low, high, n } = Estimate::of(means, resamples, seed)?;
        let interval = |end| (n > 1).then_some(end);
        Some(Self { mean, low: interval(low), high: interval(high), n, pictures })
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
    fn fixture(part: &str) -> Vec<Value> {
        let fixture: Value = serde_json::from_str(include_str!("../../eval/bootstrap.json")).unwrap();
        fixture[part].as_array().unwrap().clone()
    }

    fn cases() -> Vec<Value> {
        fixture("cases")
    }

    fn numbers(values: &Value) -> Vec<f64> {
        values.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    }

    fn values(case: &Value) -> Vec<f64> {
        numbers(&case["values"])
    }

    fn people(people: &Value) -> Vec<Sum> {
        let sum = |values: &Value| {
            let mut sum = Sum::default();
            numbers(values).into_iter().for_each(|value| sum.add(value));
            sum
        };
        people.as_array().unwrap().iter().map(sum).collect()
    }

    /// What is expected of people, or of the differences between two methods.
    fn over_people(case: &Value, resamples: u32, seed: u64) -> Option<OverPeople> {
        let these = people(&case["people"]);
        match &case["baseline"] {
            Value::Null => OverPeople::of(&these, resamples, seed),
            those => OverPeople::of_differences(&these, &people(those), resamples, seed),
        }
    }

    fn count(value: &Value) -> usize {
        usize::try_from(value.as_u64().unwrap()).unwrap()
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
    fn people_are_drawn_whole_as_numpy_does_it() {
        for case in fixture("people") {
            let resamples = u32::try_from(case["resamples"].as_u64().unwrap()).unwrap();
            let over = over_people(&case, resamples, case["seed"].as_u64().unwrap()).unwrap();
            let numpy = &case["numpy"];
            assert!(close(over.mean, &numpy["mean"], 1e-12), "{}: {over:?} is not {numpy}", case["name"]);
            assert_eq!((over.n, over.pictures), (count(&numpy["n"]), count(&numpy["pictures"])), "{}", case["name"]);
            match (over.low, over.high) {
                (Some(low), Some(high)) => {
                    let agrees = close(low, &numpy["low"], 1e-12) && close(high, &numpy["high"], 1e-12);
                    assert!(agrees, "{}: {over:?} is not {numpy}", case["name"]);
                }
                ends => assert_eq!((ends, over.n, &numpy["low"]), ((None, None), 1, &Value::Null), "{}", case["name"]),
            }
        }
    }

    #[test]
    fn intervals_over_people_are_those_of_scipy_whatever_the_draws() {
        let with_scipy: Vec<_> = fixture("people").into_iter().filter(|case| case["scipy"].is_object()).collect();
        assert!(with_scipy.iter().any(|case| !case["baseline"].is_null()), "no differences in the fixture");
        for case in with_scipy {
            let over = over_people(&case, 20_000, 3).unwrap();
            let scipy = &case["scipy"];
            let limit = 0.08 * scipy["standard_error"].as_f64().unwrap();
            let agrees =
                close(over.low.unwrap(), &scipy["low"], limit) && close(over.high.unwrap(), &scipy["high"], limit);
            assert!(agrees, "{}: {over:?} is not {scipy}", case["name"]);
        }
    }

    #[test]
    fn people_without_a_value_count_nowhere() {
        let nobody = [Sum::default(); 3];
        assert_eq!(OverPeople::of(&nobody, 100, 0), None);
        assert_eq!(OverPeople::of_differences(&nobody, &people(&serde_json::json!([[1], [2], [3]])), 100, 0), None);
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
