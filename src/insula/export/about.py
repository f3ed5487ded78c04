"""Metadata for other programs: how to prepare an image for exported weights, and what to do with the output."""

from __future__ import annotations

import json
from pathlib import Path

from insula.checkpoint import Card, Weights
from insula.config import to_dict
from insula.errors import CannotCreate, UsageError
from insula.models import UNet
from insula.postprocess import ALWAYS_KEPT_ML
from insula.types import VERSION, Shape

__all__ = ["about", "new_file", "output_names", "size_of"]

_BEFORE = (
    "Reorder the scan to RAS+. Foreground: voxels above a tenth of the way from the 1st to the 99.5th percentile. "
    "Resample linearly to spacing_mm in a box of that many voxels, centred on the centre of mass of the head's "
    "upper 130 mm, filled outside with the median of the rest. (value - the foreground's median) / (its "
    "high_percentile - its low_percentile), clipped to +-clip; float32."
)
_AFTER = (
    "The output has one channel, the probability of lesion, calibrated. Resample it linearly to the scan's grid, "
    "keep voxels at or above threshold,"
)
_AFTER_BRAIN = (
    "The output has two channels: 0 is the probability of lesion, calibrated, and already 0 wherever channel 1, the "
    "probability of brain, is not above 0.5. Resample both linearly to the scan's grid. The brain is the largest "
    "piece (26-connected) of the voxels at or above 0.5, holes filled. Lesions are the voxels at or above threshold "
    "inside the brain;"
)
_DROPPED = (
    f" drop pieces (26-connected) under min_lesion_ml, and those under {ALWAYS_KEPT_ML:g} ml whose chance to be real "
    "is under least_chance. A piece's chance is 1 / (1 + exp(-(a + b x + c log(volume in ml)))), (a, b, c) = "
    "lesion_chance, x the mean of its voxels' logits, each cut at +-15."
)


def about(loaded: Weights) -> dict[str, str]:
    """Returns the card in words and numbers, for a file's metadata."""
    card = loaded.card
    return {
        "insula": VERSION,
        "notice": "For research only; not a medical device.",
        "weights": card.name,
        "weights_sha256": loaded.sha256,
        "trained_on": str(card.provenance.get("trained_on", "unknown")),
        "prepare": json.dumps(to_dict(card.prepare)),
        "threshold": repr(card.threshold),
        "min_lesion_ml": repr(card.min_lesion_ml),
        "before": _BEFORE,
        "least_chance": repr(card.calibration.least_chance),
        "lesion_chance": json.dumps(card.calibration.lesion),
        "after": (_AFTER_BRAIN if card.model.brain else _AFTER) + _DROPPED,
        "outputs": json.dumps(output_names(card)),
    }


def output_names(card: Card) -> list[str]:
    """Returns the channels of the network's output, in their order."""
    return ["lesion", "brain"] if card.model.brain else ["lesion"]


def new_file(path: Path, ending: str) -> Path:
    """Returns the path if a new file can be written there.

    Raises:
        UsageError: the name does not end as required.
        CannotCreate: the file exists already, or its folder does not exist.
    """
    if path.suffix != ending:
        raise UsageError("`out`", path, f"does not end in {ending}", f"use e.g. {path.stem or 'weights'}{ending}")
    if path.exists():
        raise CannotCreate("the file", path, "exists", "name a new one")
    if not path.resolve().parent.is_dir():
        raise CannotCreate("the folder", path.parent, "does not exist", "create it first")
    return path


def size_of(loaded: Weights, wanted: Shape | None) -> Shape:
    """Returns the volume size that an exported network takes: the whole box, or the requested size.

    Raises:
        UsageError: the network cannot halve that size.
    """
    if wanted is None:
        return loaded.card.prepare.box
    model: UNet = loaded.model
    if any(n < 1 or n % divisor for n, divisor in zip(wanted, model.divisors, strict=True)):
        divisors = " x ".join(str(divisor) for divisor in model.divisors)
        raise UsageError(
            "`shape`", " x ".join(map(str, wanted)), f"is not divisible by {divisors}", "use e.g. 96 96 96"
        )
    return wanted
