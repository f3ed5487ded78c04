"""How bright grey matter is in relation to white matter: simulated heads, as they are and worse, and real ones.

    python -m studies.grey_white --cohort TEST [--every 3] [--real FOLDER] [--out FILE]

Scans whose `grey_share` is too high are flagged (`insula.postprocess.flat_contrast`). The cohort is simulated; every
third of its heads is taken, under the conditions of `studies.contrast`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from insula.checkpoint import Weights, load_weights
from insula.cohort import find_cohort
from insula.config import SegmentConfig
from insula.infer import infer_mean
from insula.io import read_mask, read_scan, write_json
from insula.postprocess import grey_share
from insula.prepare import prepare
from insula.volume import Scan
from studies.contrast import WORST


def share_of(scan: Scan, weights: Weights) -> float:
    """The share of one scan, on the way that scans take; NaN if there is no brain."""
    prepared = prepare(scan, weights.card.prepare)
    output, _ = infer_mean(weights.networks, prepared.image, SegmentConfig(), scaling=weights.card.calibration.scaling)
    share = None if output.brain is None else grey_share(prepared.image[0, 0].numpy(), output.brain.numpy())
    return float("nan") if share is None else share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True, help="folder of a simulated cohort")
    parser.add_argument("--every", type=int, default=3, help="take one of so many heads")
    parser.add_argument("--real", type=Path, help="folder of real T1w scans")
    parser.add_argument("--weights", default="smart")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    weights = load_weights(arguments.weights)
    entries = find_cohort(arguments.cohort).entries[:: arguments.every]
    shares: dict[str, dict[str, float]] = {}
    for way, change in WORST.items():
        seen = ((entry, (read_scan(entry.image, name=entry.case), read_mask(entry.mask))) for entry in entries)
        shares[way] = {entry.case: share_of(change(pair)[0], weights) for entry, pair in seen}
        _tell(way, shares[way])
    if arguments.real is not None:
        shares["real"] = {
            path.name: share_of(read_scan(path), weights) for path in sorted(arguments.real.glob("*.nii*"))
        }
        for name, share in shares["real"].items():
            print(f"  {name}: {share:.2f}")
        _tell("real", shares["real"])
    if arguments.out is not None:
        write_json(arguments.out, shares)


def _tell(way: str, shares: dict[str, float]) -> None:
    values = np.array(list(shares.values()))
    print(f"{way}: n = {len(values)}, {np.nanmin(values):.2f} to {np.nanmax(values):.2f}", flush=True)


if __name__ == "__main__":
    main()
