"""What averaging answers is worth: of a scan and its mirror image, and of two sets of weights.

    python -m studies.averages COHORT --weights smart [OTHER ...]

Logits are averaged before any calibration. Every answer is cut at the threshold that is best for it on this very
cohort, which flatters all of them alike; nothing is dropped for its size. Differences are paired, with sites as
clusters, against the first weights on the scan alone.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from insula.checkpoint import Weights, load_weights
from insula.cohort import Entry, find_cohort
from insula.config import Scaling, SegmentConfig
from insula.evaluate import HOPED
from insula.infer import infer_mean
from insula.io import read_mask, read_scan
from insula.prepare import prepare
from insula.stats import difference_of
from studies.rows import table

_THRESHOLDS = torch.arange(0.2, 0.75, 0.05)


def logits_of(weights: Weights, image: Tensor) -> Tensor:
    """Uncalibrated logits of lesion [i j k], kept within 14 of zero."""
    plain = [(network, Scaling()) for network, _ in weights.networks]
    output, _ = infer_mean(plain, image, SegmentConfig(passes="whole"))
    return torch.logit(output.lesion, eps=1e-6)


def dices(logits: Tensor, truth: Tensor) -> list[float]:
    """Dice at each threshold."""
    called = (torch.logit(_THRESHOLDS)[:, None] < logits.flatten()).sum(1)
    hit = (torch.logit(_THRESHOLDS)[:, None] < logits[truth]).sum(1)
    return (2 * hit / (called + truth.sum())).tolist()


def answers(entry: Entry, all_weights: dict[str, Weights]) -> Iterator[tuple[str, list[float]]]:
    """Name and Dice at each threshold of every way to answer; nothing for a scan without a lesion."""
    first = next(iter(all_weights))
    mask = read_mask(entry.mask)
    if not mask.voxels.any():
        return
    prepared = prepare(read_scan(entry.image, name=entry.case), all_weights[first].card.prepare)
    truth = torch.from_numpy(prepared.take_in(mask))
    alone = {name: logits_of(weights, prepared.image) for name, weights in all_weights.items()}
    for name, logits in alone.items():
        yield name, dices(logits, truth)
        mirrored = logits_of(all_weights[name], prepared.image.flip(2)).flip(0)
        yield f"{name} and its mirror image", dices((logits + mirrored) / 2, truth)
        if name != first:
            yield f"{first} and {name}", dices((alone[first] + logits) / 2, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--weights", nargs="+", default=["smart"])
    arguments = parser.parse_args()
    all_weights = {Path(name).stem: load_weights(name) for name in arguments.weights}
    entries, curves = list[Entry](), defaultdict[str, list[list[float]]](list)
    for entry in find_cohort(arguments.cohort).entries:
        if found := dict(answers(entry, all_weights)):
            entries.append(entry)
        for name, curve in found.items():
            curves[name].append(curve)
    best = {name: (dice := np.array(rows))[:, dice.mean(0).argmax()] for name, rows in curves.items()}
    phase, reference = np.array([entry.chronicity for entry in entries]), next(iter(best.values()))
    phases = sorted(set(phase))
    rows = [
        (
            name,
            f"{dice.mean():.4f}",
            difference_of(
                list(dice - reference), [entry.centre for entry in entries], hoped=HOPED, reach=1
            ).mean.figures(signed=True),
            *(f"{dice[phase == one].mean():.3f}" for one in phases),
        )
        for name, dice in best.items()
    ]
    counts = [f"{one} (n = {(phase == one).sum()})" for one in phases]
    print(table(("answer", f"Dice (n = {len(entries)})", "difference [95 %]", *counts), rows))


if __name__ == "__main__":
    main()
