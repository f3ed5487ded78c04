"""How many lesions of each size are detected at a given rate of false ones: free-response curves, read at fixed rates.

python -m studies.recall COHORT RESULTS [RESULTS ...] [--rates 1,2,5,10,20]

RESULTS are folders that `insula segment` wrote for that cohort, each with probability maps. Every map is cut at many
thresholds and no lesion is dropped for its size. For each rate of false lesions a case, the table uses the lowest
threshold from which on the rate is never exceeded.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from insula.cohort import find_cohort, processors
from insula.evaluate.pairing import Pair, pair_up
from insula.io import read_mask, read_values
from insula.metrics import SIZE_BINS, match_lesions, size_bin
from studies.rows import table

_THRESHOLDS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
_Counts = np.ndarray
"""A row for each threshold: false lesions, then detected lesions of each size, then true lesions of each size."""


def main() -> None:
    """Count lesions over all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--rates", default="1,2,5,10,20", help="false lesions a case")
    arguments = parser.parse_args()
    cohort, sizes = find_cohort(arguments.cohort), tuple(SIZE_BINS)
    rows = []
    for folder in arguments.results:
        pairs = pair_up(cohort, folder)
        with ProcessPoolExecutor(processors()) as pool:
            counts = np.sum(list(pool.map(partial(_count, sizes=sizes), pairs)), axis=0)
        false = counts[:, 0] / len(pairs)
        for rate in map(float, arguments.rates.split(",")):
            above = np.flatnonzero(false > rate)
            # below the last threshold that exceeds the rate, a flooded map may be a single component: no answer
            within = np.arange(above[-1] + 1 if above.size else 0, len(false))
            if not within.size:
                rows.append([folder.name, f"{rate:g}", "-", *["-"] * len(sizes)])
                continue
            row = counts[within[0]]
            touched, there = row[1 : 1 + len(sizes)], row[1 + len(sizes) :]
            cells = [f"{100 * hit / max(total, 1):.0f} %" for hit, total in zip(touched, there, strict=True)]
            rows.append([folder.name, f"{rate:g}", f"{_THRESHOLDS[within[0]]:g} ({false[within[0]]:.1f})", *cells])
    total = counts[0, 1 + len(sizes) :]
    heads = [f"{name} (n = {int(n)})" for name, n in zip(sizes, total, strict=True)]
    print(table(["", "false lesions a case, at most", "threshold (false lesions)", *heads], rows))


def _count(pair: Pair, *, sizes: Sequence[str]) -> _Counts:
    if pair.prob is None:
        raise SystemExit(f"{pair.mask.parent} has no probability map of {pair.entry.case}")
    truth, (prob, _) = read_mask(pair.entry.mask).voxels, read_values(pair.prob)
    counts = np.zeros((len(_THRESHOLDS), 1 + 2 * len(sizes)))
    for place, threshold in enumerate(_THRESHOLDS):
        match = match_lesions(truth, prob >= threshold)
        counts[place, 0] = (~match.predicted_touched).sum()
        for size, hit in zip(match.truth_sizes.tolist(), match.truth_touched.tolist(), strict=True):
            at = sizes.index(size_bin(size))
            counts[place, 1 + at] += hit
            counts[place, 1 + len(sizes) + at] += 1
    return counts


if __name__ == "__main__":
    main()
