//! The noise levels of a short run, and NumPy's grids that they are read from.

use super::config::{FinalSigma, unsupported};
use crate::Result;

/// `count` evenly spaced numbers, both ends included, rounded as `numpy.linspace` does.
pub(super) fn linspace(start: f64, stop: f64, count: usize) -> Vec<f64> {
    let step = (stop - start) / count.saturating_sub(1).max(1) as f64;
    let mut values: Vec<f64> = (0..count).map(|index| index as f64 * step + start).collect();
    if let Some(last) = values.last_mut().filter(|_| count > 1) {
        *last = stop;
    }
    values
}

/// Timesteps that end at the last one of training: `round(numpy.arange(top, 0, -step)) - 1`, at most `count` of them.
///
/// For some counts `numpy.arange` rounds its length up and gives one number more, near 0; diffusers then takes a step
/// at timestep -1. That step is left out here.
pub(super) fn trailing(top: f64, step: f64, count: usize) -> Vec<f64> {
    let length = (top / step).ceil().max(0.0) as usize;
    // The increment that arange really uses, after rounding.
    let increment = (top - step) - top;
    (0..length.min(count)).map(|index| (top + index as f64 * increment).round_ties_even() - 1.0).collect()
}

/// Levels at fractional timesteps, linear between those of training and constant beyond them.
pub(super) fn interpolate(timesteps: &[f64], sigmas: &[f32]) -> Vec<f64> {
    let last = sigmas.len() - 1;
    let level = |timestep: &f64| {
        let position = timestep.clamp(0.0, last as f64);
        let below = position.floor() as usize;
        let low = f64::from(sigmas[below]);
        let high = f64::from(sigmas[(below + 1).min(last)]);
        (high - low) * (position - below as f64) + low
    };
    timesteps.iter().map(level).collect()
}

/// Levels evenly spaced in the seventh root (arXiv 2206.00364, equation 5), from high to low.
pub(super) fn karras(sigma_min: f64, sigma_max: f64, count: usize) -> Vec<f64> {
    const RHO: f64 = 7.0;
    let (low, high) = (sigma_min.powf(1.0 / RHO), sigma_max.powf(1.0 / RHO));
    linspace(0.0, 1.0, count).iter().map(|ramp| (high + ramp * (low - high)).powf(RHO)).collect()
}

/// The fractional training timesteps at which the logarithm of the noise reaches each level.
pub(super) fn timesteps_of(levels: &[f64], sigmas: &[f32]) -> Vec<f64> {
    // The table is f32 in the reference; a level that falls on one of its entries must find it.
    let logs: Vec<f32> = sigmas.iter().map(|&sigma| f64::from(sigma).ln() as f32).collect();
    let timestep = |level: &f64| {
        let log = level.max(1e-10).ln();
        let below = logs.partition_point(|&entry| f64::from(entry) <= log).saturating_sub(1);
        let below = below.min(logs.len().saturating_sub(2));
        let above = (below + 1).min(logs.len() - 1);
        if above == below {
            return below as f64;
        }
        let weight = (f64::from(logs[below]) - log) / f64::from(logs[below] - logs[above]);
        let weight = weight.clamp(0.0, 1.0);
        (1.0 - weight) * below as f64 + weight * above as f64
    };
    levels.iter().map(timestep).collect()
}

/// Appends the level after the last step and rounds to f32.
///
/// # Errors
/// [`Unsupported`](crate::Error::Unsupported) if a step would start from no noise or from infinite noise.
pub(super) fn with_final(levels: &[f64], last: FinalSigma, sigmas: &[f32]) -> Result<Vec<f32>> {
    let mut levels: Vec<f32> = levels.iter().map(|&level| level as f32).collect();
    if let Some(level) = levels.iter().find(|level| !level.is_finite() || **level <= 0.0) {
        return Err(unsupported("noise level", level, "a positive number; see sigma_min, sigma_max and the betas"));
    }
    levels.push(match last {
        FinalSigma::Zero => 0.0,
        FinalSigma::SigmaMin => sigmas[0],
    });
    Ok(levels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_of_one() {
        assert_eq!(linspace(0.0, 999.0, 1), [0.0]);
        assert_eq!(karras(0.1, 10.0, 1).len(), 1);
        assert_eq!(timesteps_of(&[1.0], &[0.5]), [0.0]);
    }

    #[test]
    fn trailing_gives_as_many_as_asked_for() {
        for count in 1..=1000 {
            let timesteps = trailing(1000.0, 1000.0 / count as f64, count);
            assert_eq!((timesteps.len(), timesteps[0]), (count, 999.0));
            assert!(timesteps.windows(2).all(|pair| pair[0] > pair[1]) && timesteps[count - 1] >= 0.0, "{count}");
        }
    }

    #[test]
    fn a_level_of_training_is_found_again() {
        let sigmas = [0.1, 0.5, 2.0, 9.0];
        for (timestep, &sigma) in sigmas.iter().enumerate() {
            let found = timesteps_of(&[f64::from(sigma)], &sigmas)[0];
            assert!((found - timestep as f64).abs() < 1e-6, "{found}");
        }
        assert_eq!(timesteps_of(&[0.01, 99.0], &sigmas), [0.0, 3.0]);
        assert_eq!(interpolate(&[-1.0, 0.0, 1.5, 7.0], &sigmas), [f64::from(0.1f32), f64::from(0.1f32), 1.25, 9.0]);
    }
}
