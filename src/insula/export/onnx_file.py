"""Weights as one ONNX file: from a prepared image to probabilities, and in its metadata all that a foreign program has to know."""

from __future__ import annotations

import json
from pathlib import Path

from insula.checkpoint import load_weights
from insula.config import to_dict
from insula.errors import CannotCreate
from insula.infer import onnx_graph
from insula.io import write_bytes
from insula.types import VERSION

__all__ = ["export_onnx"]

_BEFORE = (
    "Reorder the scan to RAS+. Foreground: what exceeds a tenth of the way from the 1st to the 99.5th percentile. Resample linearly to spacing_mm in a box "
    "of so many voxels, centred on the centre of mass of the head's upper 130 mm, filled outside with the median of the rest. "
    "(value - the foreground's median) / (its high_percentile - its low_percentile), clipped to +-clip; float32."
)
_AFTER = (
    "The output is the probability of lesion, calibrated. Bring it back to the scan's grid linearly, keep what is at or above threshold, drop "
    "pieces (26-connected) under min_lesion_ml."
)


def export_onnx(weights: str, path: Path, *, any_batch: bool = False) -> Path:
    """Write NAME.onnx, checked.

    Args:
        weights: of one network.
        path: the file, ending in .onnx; its folder exists.
        any_batch: for batches of any size; of one volume otherwise.

    Returns:
        The path.

    Raises:
        UsageError: an ensemble.
        CannotCreate: something stands there already.
        Unavailable: onnx is not installed.
    """
    loaded = load_weights(weights)
    if path.exists():
        raise CannotCreate("the file", path, "exists", "name a new one")
    card = loaded.card
    about = {
        "insula": VERSION, "notice": "For research only; not a medical device.", "weights": card.name, "weights_sha256": loaded.sha256,
        "trained_on": str(card.provenance.get("trained_on", "unknown")), "prepare": json.dumps(to_dict(card.prepare)),
        "threshold": repr(card.threshold), "min_lesion_ml": repr(card.min_lesion_ml), "before": _BEFORE, "after": _AFTER,
    }  # fmt: skip
    graph = onnx_graph(
        loaded.model, card.prepare.box, temperature=card.calibration.temperature, any_batch=any_batch, about=about
    )
    write_bytes(path, graph)
    return path
