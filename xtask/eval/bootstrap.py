"""Makes the expected figures of the evaluation's bootstrap with numpy and scipy.

    python bootstrap.py [--out FILE] [--seed N]

`numpy`: the mean, and percentiles of the means of samples that are drawn as xtask draws them (SplitMix64, written here a
second time), so that they agree to rounding. `scipy`: `scipy.stats.bootstrap` with draws of its own, which agrees up to
chance; only for values without steps.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import stats

MASK = 2**64 - 1


def splitmix64(seed):
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        yield z ^ z >> 31


def numpy_figures(values, resamples, seed):
    draws = splitmix64(seed)
    rows = [[next(draws) * len(values) >> 64 for _ in values] for _ in range(resamples)]
    means = np.asarray(values)[rows].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return dict(mean=float(np.mean(values)), low=float(low), high=float(high))


def scipy_figures(values, seed):
    result = stats.bootstrap(
        (values,), np.mean, confidence_level=0.95, n_resamples=200_000, batch=10_000, method="percentile", rng=seed
    )
    interval = result.confidence_interval
    return dict(low=float(interval.low), high=float(interval.high), standard_error=float(result.standard_error))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    some_missing = rng.normal(0.4, 0.2, 37).round(4)
    some_missing[[3, 20, 21]] = 0
    samples = {
        "similarities": (rng.normal(0.5, 0.1, 60).round(4), 1000, 0),
        "some missing": (some_missing, 999, 2**64 - 1),
        "found or not": ((rng.random(50) < 0.8).astype(float), 1000, 7),
        "all found": (np.ones(20), 100, 1),
        "two": (np.array([0.25, 0.75]), 101, 5),
        "one": (np.array([-0.125]), 100, 9),
    }
    cases = []
    for name, (values, resamples, seed) in samples.items():
        case = dict(name=name, resamples=resamples, seed=seed, values=values.tolist())
        case["numpy"] = numpy_figures(values, resamples, seed)
        if len(np.unique(values)) > 30:
            case["scipy"] = scipy_figures(values, args.seed)
        cases.append(case)
    args.out.write_text(json.dumps(dict(seed=args.seed, cases=cases), indent=1) + "\n")


if __name__ == "__main__":
    main()
