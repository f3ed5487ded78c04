"""Results of earlier runs: which are still valid, and which were corrected by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from insula.checkpoint import Weights
from insula.config import SegmentConfig
from insula.predict.record import CaseRecord, ResultRecord
from insula.types import VERSION
from insula.volume import Scan

__all__ = ["corrected_mask", "inputs_sha256", "read_record", "set_corrected_aside", "standing_result"]

_NO_INFLUENCE = frozenset({"device", "passes", "tile"})  # the mask does not depend on them


def inputs_sha256(scan: Scan, config: SegmentConfig, weights: Weights) -> str:
    """Return the hash of what a result depends on: scan, weights, settings and the version of insula."""
    card = weights.card
    facts = {
        "insula": VERSION,
        "file": scan.file.sha256 if scan.file else None,
        "shape": scan.grid.shape,
        "affine": scan.grid.affine.tolist(),
        "weights": weights.sha256,
        "scalings": [repr(scaling) for _, scaling in weights.networks],
        "decision": [card.threshold, card.min_lesion_ml, repr(card.calibration)],
        "settings": {name: value for name, value in vars(config).items() if name not in _NO_INFLUENCE},
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    digest.update(np.ascontiguousarray(scan.image).data)
    return digest.hexdigest()


def read_record(path: Path) -> CaseRecord | None:
    """Return the record in a file; None if there is none, or if the file is something else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or not str(record.get("format")).startswith("insula-result/"):
        return None
    return record  # type: ignore[return-value]


def standing_result(path: Path, inputs: str) -> ResultRecord | None:
    """Return the record of an earlier result that a new run would only repeat; None if there is no such result.

    Args:
        path: the record.
        inputs: `inputs_sha256` of what would be computed. Every file named by the record must be as it was written.
    """
    record = read_record(path)
    if record is None or record["outcome"] != "done" or record["provenance"].get("inputs_sha256") != inputs:
        return None
    written = record.get("sha256", {})
    names = record.get("files", {})
    if not written or any(_sha256(path.with_name(names[kind])) != sha256 for kind, sha256 in written.items()):
        return None
    return record


def corrected_mask(path: Path) -> ResultRecord | None:
    """Return the record of an earlier result whose mask was changed since it was written; None if there is none.

    Args:
        path: the record.
    """
    record = read_record(path)
    if record is None or record["outcome"] != "done" or "mask" not in record.get("sha256", {}):
        return None
    now = _sha256(path.with_name(record["files"]["mask"]))
    return record if now and now != record["sha256"]["mask"] else None


def set_corrected_aside(path: Path) -> Path | None:
    """Rename the mask of a result if it was changed since it was written, so that a new result does not replace it.

    Args:
        path: the record.

    Returns:
        The new path, `NAME_corrected-HASH_mask.nii.gz`; None if the mask is as it was written.
    """
    record = corrected_mask(path)
    if record is None:
        return None
    mask = path.with_name(record["files"]["mask"])
    stem = mask.name.removesuffix("_mask.nii.gz")
    aside = mask.with_name(f"{stem}_corrected-{_sha256(mask)[:8]}_mask.nii.gz")
    mask.replace(aside)
    return aside


def _sha256(path: Path) -> str:
    """Return the hash of a file; empty if it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
