"""The JSON record of a result or of a refusal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal, NotRequired, TypedDict

import numpy as np

from insula.errors import InsulaError
from insula.metrics import dice_score
from insula.postprocess import Lesion, side_volumes_ml
from insula.predict.result import Correction, Provenance, Result
from insula.volume import Mask, Scan

__all__ = [
    "DISCLAIMER",
    "CaseRecord",
    "Confidence",
    "CorrectionRecord",
    "ErrorRecord",
    "RefusalRecord",
    "ResultRecord",
    "ScanRecord",
    "lesion_record",
    "refusal",
    "to_record",
]

FORMAT = "insula-result/1"
DISCLAIMER = "For research only; not a medical device."
_OTHER_THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)


class Confidence(TypedDict):
    """How certain the network is of a mask."""

    note: str
    """Whether the probabilities were calibrated, and on what."""
    mean_probability: float | None
    """Mean over the mask; None if it is empty."""
    peak_probability: float
    volume_interval_ml: list[float] | None
    """Interval of the true volume [ml]; None for weights without intervals, and for a spin echo."""
    volume_interval_level: float | None
    """How often the true volume lies in such an interval (0 to 1)."""
    volume_ml_at_threshold: dict[str, float]
    """Volume [ml] that other thresholds would give."""


class ScanRecord(TypedDict):
    """The grid and the file of a scan."""

    shape: list[int]
    spacing_mm: list[float]
    axes: str
    affine: list[list[float]]
    sha256: str | None
    """None for a scan that was not read from a file."""
    frame: NotRequired[int]
    """The volume of a 4-D file, from 0."""
    series: NotRequired[int]
    """The SeriesNumber of DICOM, if it was given."""


class CorrectionRecord(TypedDict):
    """How a corrected mask differs from the network's; all None if the network's mask is lost."""

    network_volume_ml: float | None
    """Volume of the network's mask [ml]."""
    added_ml: float | None
    """Volume that was added [ml]."""
    removed_ml: float | None
    """Volume that was removed [ml]."""
    dice: float | None
    """Dice of the two masks, 0 to 1; 1 if both are empty."""


class ResultRecord(TypedDict):
    """The record of a scan that was segmented."""

    format: str
    notice: str
    case: str
    outcome: Literal["done"]
    volume_ml: float
    lesion_count: int
    brain: dict[str, float | None] | None
    """`volume_ml` and `lesion_share`; None where no brain is known."""
    sides: dict[str, float] | None
    """`left_ml` and `right_ml`, the lesion volume on each side; None where no brain is known."""
    reason: str | None
    """Why the mask is empty; None when it is not."""
    correction: NotRequired[CorrectionRecord]
    """Only if a person corrected the mask."""
    lesions: list[dict[str, object]]
    """The fields of each `Lesion`, largest first."""
    confidence: Confidence
    threshold: float
    flags: list[dict[str, str]]
    """The fields of each `Flag`."""
    scan: ScanRecord
    provenance: Provenance
    files: NotRequired[dict[str, str]]
    """Name of each file that was written."""
    sha256: NotRequired[dict[str, str]]
    """SHA-256 of each file that was written."""


class ErrorRecord(TypedDict):
    """An error, in its parts and as one sentence."""

    code: int
    kind: str
    what: str
    value: str
    rule: str
    remedy: str
    message: str


class RefusalRecord(TypedDict):
    """The record of a scan that was refused."""

    format: str
    notice: str
    case: str
    outcome: Literal["refused"]
    error: ErrorRecord


CaseRecord = ResultRecord | RefusalRecord
"""The record of a scan, whatever its outcome."""


def to_record(result: Result) -> ResultRecord:
    """Returns a result as plain data, the same in every run: without time and without paths."""
    scan = result.scan
    inside = result.prob[result.mask.voxels]
    interval = result.volume_interval_ml
    record: ResultRecord = {
        "format": FORMAT,
        "notice": DISCLAIMER,
        "case": scan.name,
        "outcome": "done",
        "volume_ml": round(result.volume_ml, 4),
        "lesion_count": len(result.lesions),
        "brain": _brain(result),
        "sides": _sides(result),
        "reason": result.reason,
        "lesions": [lesion_record(lesion) for lesion in result.lesions],
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
        "scan": _scan(scan),
        "provenance": result.provenance,
    }
    if result.correction is not None:
        record["correction"] = _correction(result.mask, result.correction)
    return record


def lesion_record(lesion: Lesion) -> dict[str, object]:
    """Returns the fields of a lesion, rounded as in a record."""
    return _rounded(asdict(lesion))


def _scan(scan: Scan) -> ScanRecord:
    grid, file = scan.grid, scan.file
    record: ScanRecord = {
        "shape": list(grid.shape),
        "spacing_mm": [round(mm, 6) for mm in grid.spacing_mm],
        "axes": grid.axcodes,
        "affine": grid.affine.tolist(),
        "sha256": file.sha256 if file else None,
    }
    if file is not None and file.frame is not None:
        record["frame"] = file.frame
    if file is not None and file.series is not None:
        record["series"] = file.series
    return record


def _correction(mask: Mask, correction: Correction) -> CorrectionRecord:
    if correction.network is None:
        return {"network_volume_ml": None, "added_ml": None, "removed_ml": None, "dice": None}
    ours, theirs, voxel_ml = mask.voxels, correction.network.voxels, mask.grid.voxel_ml
    return {
        "network_volume_ml": round(correction.network.volume_ml, 4),
        "added_ml": round(float(np.count_nonzero(ours & ~theirs)) * voxel_ml, 4),
        "removed_ml": round(float(np.count_nonzero(theirs & ~ours)) * voxel_ml, 4),
        "dice": round(dice_score(theirs, ours), 4),
    }


def _brain(result: Result) -> dict[str, float | None] | None:
    volume_ml, share = result.brain_volume_ml, result.lesion_share
    if volume_ml is None:
        return None
    return {"volume_ml": round(volume_ml, 4), "lesion_share": None if share is None else round(share, 6)}


def _sides(result: Result) -> dict[str, float] | None:
    volumes = None if result.brain is None else side_volumes_ml(result.mask, result.brain)
    return None if volumes is None else {"left_ml": round(volumes[0], 4), "right_ml": round(volumes[1], 4)}


def _note(result: Result) -> str:
    if result.correction is not None:
        return "Somebody corrected the mask; probabilities are the network's, and there is no interval of the volume."
    fitted = result.calibration.fitted_on
    if fitted is None:
        return "Probabilities are the network's own; they were never calibrated against any truth."
    if result.is_spin_echo:
        return (
            f"Probabilities were fitted on {fitted['cases']} cases with another contrast than a spin echo's; there is "
            "no interval of the volume, for it would hold too rarely."
        )
    return f"Probabilities and intervals were fitted on {fitted['cases']} cases and hold for cases like those."


def refusal(name: str, error: InsulaError) -> RefusalRecord:
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


def _rounded(tree: dict[str, object]) -> dict[str, object]:
    return {
        key: tuple(round(float(number), 3) for number in value)
        if isinstance(value, tuple)
        else round(value, 4)
        if isinstance(value, float | np.floating)
        else value
        for key, value in tree.items()
    }
