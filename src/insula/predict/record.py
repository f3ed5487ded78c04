"""The JSON record of a result or of a refusal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from insula.errors import InsulaError
from insula.predict.result import Result

__all__ = ["DISCLAIMER", "refusal", "to_record"]

FORMAT = "insula-result/1"
DISCLAIMER = "For research only; not a medical device."
_OTHER_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


def to_record(result: Result) -> dict[str, Any]:
    """Returns a result as plain data, the same in every run: without time and without paths."""
    scan, grid = result.scan, result.scan.grid
    inside = result.prob[result.mask.voxels]
    interval = result.volume_interval_ml
    return {
        "format": FORMAT,
        "notice": DISCLAIMER,
        "case": scan.name,
        "outcome": "done",
        "volume_ml": round(result.volume_ml, 4),
        "lesion_count": len(result.lesions),
        "brain": _brain(result),
        "reason": result.reason,
        "lesions": [_rounded(asdict(lesion)) for lesion in result.lesions],
        "confidence": {
            "note": _note(result),
            "mean_probability": round(float(inside.mean()), 4) if inside.size else None,
            "peak_probability": round(float(result.prob.max()), 4),
            "volume_interval_ml": [round(end, 3) for end in interval] if interval else None,
            "volume_interval_level": result.calibration.level if interval else None,
            "volume_ml_at_threshold": {f"{t:g}": round(result.volume_ml_at(t), 4) for t in _OTHER_THRESHOLDS},
        },
        "threshold": result.threshold,
        "flags": [asdict(flag) for flag in result.flags],
        "scan": {
            "shape": list(grid.shape),
            "spacing_mm": [round(mm, 6) for mm in grid.spacing_mm],
            "axes": grid.axcodes,
            "affine": grid.affine.tolist(),
            "sha256": scan.file.sha256 if scan.file else None,
        },
        "provenance": result.provenance,
    }


def _brain(result: Result) -> dict[str, float | None] | None:
    volume_ml, share = result.brain_volume_ml, result.lesion_share
    if volume_ml is None:
        return None
    return {"volume_ml": round(volume_ml, 4), "lesion_share": None if share is None else round(share, 6)}


def _note(result: Result) -> str:
    fitted = result.calibration.fitted_on
    if fitted is None:
        return "Probabilities are the network's own; they were never calibrated against any truth."
    return f"Probabilities and intervals were fitted on {fitted['cases']} cases and hold for cases like those."


def refusal(name: str, error: InsulaError) -> dict[str, Any]:
    """Returns the record of a scan that was refused."""
    return {
        "format": FORMAT,
        "notice": DISCLAIMER,
        "case": name,
        "outcome": "refused",
        "error": {
            "code": error.code,
            "kind": type(error).__name__,
            "what": error.what,
            "value": error.value,
            "rule": error.rule,
            "remedy": error.remedy,
            "message": str(error),
        },
    }


def _rounded(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(round(float(number), 3) for number in value)
        if isinstance(value, tuple)
        else round(value, 4)
        if isinstance(value, float | np.floating)
        else value
        for key, value in tree.items()
    }
