"""Choose threshold and smallest lesion on the validation part, and store both in the weights' card.

python bench/decide.py DATA WEIGHTS_CARD.json [--cases 16]
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from insula.checkpoint import load_weights, save_weights
from insula.cohort import load_sources
from insula.config import Recipe, SegmentConfig
from insula.geometry import Grid
from insula.metrics import dice_score
from insula.postprocess import decide
from insula.predict import segment
from insula.train import HeadStream
from insula.volume import Scan

_SEED = 2025
_THRESHOLDS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
_LEAST_ML = (0.0, 0.1, 0.5, 1.0)


def main() -> None:
    """Score every pair on the same probability maps; the best mean Dice, controls included, is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("card", type=Path)
    parser.add_argument("--cases", type=int, default=16)
    arguments = parser.parse_args()
    recipe, weights = Recipe(name="validation"), load_weights(str(arguments.card))
    sources = load_sources(arguments.data, part="validation", box=recipe.prepare.box)
    stream = HeadStream(sources, recipe, device=torch.device("cpu"))
    scores: dict[tuple[float, float], list[float]] = {pair: [] for pair in itertools.product(_THRESHOLDS, _LEAST_ML)}
    for number in range(arguments.cases):
        head = stream.head(_SEED, number)
        truth = head.truth.numpy() > 0.5
        grid = Grid(truth.shape, np.eye(4))
        prob = segment(Scan(head.image.numpy(), grid), SegmentConfig(threshold=0.5), weights=weights).prob
        for (threshold, least), values in scores.items():
            values.append(dice_score(decide(prob, grid, threshold=threshold, min_lesion_ml=least).voxels, truth))
        print(
            number,
            head.phase,
            int(truth.sum()),
            round(scores[0.5, 0.0][-1], 3),
            round(scores[0.9, 0.5][-1], 3),
            flush=True,
        )
    for (threshold, least), values in scores.items():
        print(f"threshold {threshold:g}, at least {least:g} ml: mean Dice {np.mean(values):.3f}")
    threshold, least = max(scores, key=lambda pair: float(np.mean(scores[pair])))
    provenance = weights.card.provenance | {"decided_on": f"{arguments.cases} simulated heads of the validation part"}
    card = replace(weights.card, threshold=threshold, min_lesion_ml=least, provenance=provenance)
    save_weights(arguments.card.parent, weights.model, card)
    print(f"kept: threshold {threshold:g}, at least {least:g} ml")


if __name__ == "__main__":
    main()
