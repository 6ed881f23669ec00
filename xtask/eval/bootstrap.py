"""Makes the expected figures of the evaluation's bootstrap with numpy and scipy.

    python bootstrap.py [--out FILE] [--seed N]

`numpy`: the mean, and percentiles of the means of samples that are drawn as xtask draws them (SplitMix64, written here a
second time), so that they agree to rounding. `scipy`: `scipy.stats.bootstrap` with draws of its own, which agrees up to
chance; only for values without steps. `people`: each person's values are a list of their own, and people are drawn whole;
with a `baseline`, the differences to it, person by person.
"""

import argparse
import json
import re
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


def people_figures(people, baseline, resamples, seed):
    """Of `(people, pictures)` with numpy; drawn are whole lists, and their means are taken after that."""
    chosen = [row for row, values in enumerate(people) if values and (baseline is None or baseline[row])]
    draws = splitmix64(seed)
    rows = [[chosen[next(draws) * len(chosen) >> 64] for _ in chosen] for _ in range(resamples)]

    def mean(side, row):
        return np.mean([np.mean(side[person]) for person in row])

    def statistic(row):
        return mean(people, row) - (0 if baseline is None else mean(baseline, row))

    means = [statistic(row) for row in rows]
    low, high = np.percentile(means, [2.5, 97.5]).tolist() if len(chosen) > 1 else (None, None)
    pictures = sum(len(people[row]) for row in chosen)
    return dict(mean=float(statistic(chosen)), low=low, high=high, n=len(chosen), pictures=pictures)


def people_scipy(people, baseline, seed):
    sides = [[float(np.mean(values)) for values in side] for side in (people, baseline) if side is not None]

    def statistic(*sides, axis):
        means = [np.mean(side, axis=axis) for side in sides]
        return means[0] - means[1] if len(means) > 1 else means[0]

    result = stats.bootstrap(
        sides, statistic, confidence_level=0.95, n_resamples=200_000, batch=10_000, method="percentile", paired=True,
        vectorized=True, rng=seed,
    )
    interval = result.confidence_interval
    return dict(low=float(interval.low), high=float(interval.high), standard_error=float(result.standard_error))


def people_cases(rng, seed):
    def drawn(centres, counts, spread=0.1):
        return [rng.normal(centre, spread, count).round(4).tolist() for centre, count in zip(centres, counts)]

    centres = rng.normal(0.4, 0.15, 24)
    even, uneven = [8] * 24, rng.integers(1, 12, 24)
    better = drawn(centres + 0.05, even)
    for name, people, baseline, resamples, start in [
        ("even", drawn(centres, even), None, 500, 0),
        ("uneven", drawn(centres, uneven), None, 499, 11),
        ("differences", better, drawn(centres, even), 500, 3),
        ("uneven differences", drawn(centres + 0.1, uneven), drawn(centres, even), 300, 2**63),
        ("some have none", [[0.5, 0.25], [], [0.125]], None, 100, 1),
        ("differences where some have none", [[0.5], [0.25], []], [[], [0.125, 0.5], [0.75]], 100, 1),
        ("two", [[0.25, 0.5, 0.25], [1.0]], None, 101, 5),
        ("one", [[0.25, 0.5]], None, 100, 9),
    ]:
        case = dict(name=name, resamples=resamples, seed=start, people=people, baseline=baseline)
        case["numpy"] = people_figures(people, baseline, resamples, start)
        if len(people) > 20:
            case["scipy"] = people_scipy(people, baseline, seed)
        yield case


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
    people = list(people_cases(rng, args.seed))
    text = json.dumps(dict(seed=args.seed, cases=cases, people=people), indent=1)
    # A list of numbers on one line.
    text = re.sub(r"\[[^][{}]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)
    args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
