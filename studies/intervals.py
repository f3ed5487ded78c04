"""Whether the intervals and tests of `insula evaluate` hold: simulated coverage at 95 %, and false positives.

    python -m studies.intervals [--runs 2000] [--out studies/results/intervals.json]

Studies of 10, 30 and 60 cases in 1 to 30 centres of unequal sizes, with an intraclass correlation of 0 to 0.47 between
cases of a centre. Values are distributed like Dice (skewed, from 0 to 1); differences are normal, or skewed like an
exponential with a mean of 0. With 2 or 3 centres no interval is printed that could hold or fail; such rows show a dash.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from insula.io import write_json
from insula.stats import difference_of, mean_interval, median_interval
from studies.rows import table

_DICE = stats.beta(1.2, 0.7)
_CENTRES, _CASES, _ALIKE = (1, 2, 3, 4, 5, 10, 30), (10, 30, 60), (0.0, 0.1, 0.3, 0.47)


def study(rng: np.random.Generator, centres: int, cases: int, alike: float) -> tuple[NDArray[np.float64], list[str]]:
    """Normal deviates of the cases, and their centres; every centre has at least one case."""
    share = rng.gamma(1.5, size=centres)
    sizes = 1 + rng.multinomial(cases - centres, share / share.sum())
    place = np.repeat(np.arange(centres), sizes)
    own, common = rng.standard_normal(cases), rng.standard_normal(centres)
    return np.sqrt(alike) * common[place] + np.sqrt(1 - alike) * own, [str(n) for n in place]


def cell(rng: np.random.Generator, centres: int, cases: int, alike: float, runs: int) -> dict[str, float | None]:
    """Share of printed intervals that cover the mean and the median, and of tests that find a difference of 0."""
    printed, hits = np.zeros(4), np.zeros(4)
    for _ in range(runs):
        z, names = study(rng, centres, cases, alike)
        dice = _DICE.ppf(stats.norm.cdf(z))
        mean, median = mean_interval(dice, names, least=0, most=1), median_interval(dice, names)
        for n, (interval, truth) in enumerate(((mean, _DICE.mean()), (median, _DICE.median()))):
            if interval.low is not None and interval.high is not None:
                printed[n] += 1
                hits[n] += interval.low <= truth <= interval.high
        for n, change in enumerate((z, stats.expon.ppf(stats.norm.cdf(z)) - 1), start=2):
            if (p := difference_of(change.tolist(), names, hoped=0.02).p) is not None:
                printed[n] += 1
                hits[n] += p < 0.05
    keys = ("mean covered", "median covered", "false differences", "false differences, skewed")
    shares = [hit / count if count else None for hit, count in zip(hits.tolist(), printed.tolist(), strict=True)]
    given = {"means with an interval": float(printed[0] / runs), "medians with one": float(printed[1] / runs)}
    return {**dict(zip(keys, shares, strict=True)), **given}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("studies/results/intervals.json"))
    arguments = parser.parse_args()
    rng, results = np.random.default_rng(arguments.seed), list[dict[str, float | None]]()
    for centres, cases, alike in product(_CENTRES, _CASES, _ALIKE):
        alone = centres == 1 and alike > 0  # with one centre, a correlation only shifts the mean
        if centres <= cases and not alone:
            shares = cell(rng, centres, cases, alike, arguments.runs)
            results.append({"centres": centres, "cases": cases, "alike": alike, **shares})
    keys = list(results[0])[3:]
    rows = []
    for row in results:
        cells = ["-" if row[key] is None else f"{100 * float(row[key] or 0):.1f}" for key in keys]
        rows.append([str(row["centres"]), str(row["cases"]), f"{row['alike']:g}", *cells])
    print(table(("centres", "cases", "intraclass correlation", *(f"{key} [%]" for key in keys)), rows))
    error = 100 * (0.95 * 0.05 / arguments.runs) ** 0.5
    print(f"\n{arguments.runs} runs a row; the standard error of 95 % is {error:.1f} points.")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, {"runs": arguments.runs, "rows": results})


if __name__ == "__main__":
    main()
