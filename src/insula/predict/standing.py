"""Results of earlier runs: which are still valid, and which were corrected by hand."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Literal

from insula.checkpoint import Weights
from insula.config import SegmentConfig
from insula.errors import InsulaError
from insula.io.bytes import read_file
from insula.io.kept_masks import earlier_mask
from insula.postprocess import ALWAYS_KEPT_ML
from insula.predict.record import CaseRecord, ResultRecord
from insula.types import VERSION
from insula.volume import Scan

__all__ = ["Kept", "inputs_sha256", "kept_result", "read_record", "set_corrected_aside"]

Kept = Literal["unchanged", "edited", "corrected"]

_NO_INFLUENCE = frozenset({"device", "passes", "tile"})  # the mask does not depend on them


def inputs_sha256(scan: Scan, config: SegmentConfig, weights: Weights) -> str:
    """Return the hash of what a result depends on: scan, weights, settings and the version of insula."""
    card = weights.card
    facts = {
        "insula": VERSION,
        "file": scan.file.sha256 if scan.file else None,
        "image": scan.image_sha256,
        "shape": scan.grid.shape,
        "affine": scan.grid.affine.tolist(),
        "flags": [[flag.code, flag.text] for flag in scan.flags],  # e.g. a sidecar's spin echo: no volume interval
        "weights": weights.sha256,
        "scalings": [repr(scaling) for _, scaling in weights.networks],
        "decision": [card.threshold, card.min_lesion_ml, repr(card.calibration), ALWAYS_KEPT_ML],
        "settings": {name: value for name, value in vars(config).items() if name not in _NO_INFLUENCE},
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def read_record(path: Path) -> CaseRecord | None:
    """Return the record in a file; None if there is none, or if the file is something else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or not str(record.get("format")).startswith("insula-result/"):
        return None
    return record  # type: ignore[return-value]


def kept_result(path: Path, inputs: str) -> tuple[ResultRecord, Kept] | None:
    """Return the record of an earlier result that a new run must not replace, or would only repeat, and which it is.

    Args:
        path: the record.
        inputs: `inputs_sha256` of what would be computed.

    Returns:
        `edited` if the mask was changed since it was written, whatever the inputs; `corrected` if it is a person's, and
        measured; `unchanged` if the inputs are the same and every file is as it was written; None if there is no such
        result.
    """
    record = _result(path)
    if record is None:
        return None
    now = {kind: _sha256(path.with_name(record["files"][kind])) for kind in record["sha256"]}
    if now["mask"] not in ("", record["sha256"]["mask"]):
        return record, "edited"
    if record.get("correction") and now["mask"]:
        return record, "corrected"
    unchanged = now == record["sha256"] and record["provenance"].get("inputs_sha256") == inputs
    return (record, "unchanged") if unchanged else None


def set_corrected_aside(path: Path) -> Path | None:
    """Rename the mask of a result if it is a person's, so that a new result does not replace it.

    Args:
        path: the record.

    Returns:
        The new path, `NAME_corrected-HASH_mask.nii.gz`; None if there is no mask, or if it is the network's.

    Raises:
        InsulaError: the mask is there and cannot be read, so that nobody knows whose it is.
    """
    record = _result(path)
    if record is None:
        return None
    mask = path.with_name(record["files"]["mask"])
    if not os.path.lexists(mask):
        return None
    now = read_file(mask).sha256
    if now == record["sha256"]["mask"] and not record.get("correction"):
        return None
    aside = earlier_mask(mask, now)
    mask.replace(aside)
    return aside


def _result(path: Path) -> ResultRecord | None:
    """Return the record of a result with the hashes of its files; None for anything else."""
    record = read_record(path)
    if record is None or record["outcome"] != "done" or "mask" not in record.get("sha256", {}):
        return None
    return record


def _sha256(path: Path) -> str:
    """Return the hash of a file; empty if it cannot be read."""
    try:
        return read_file(path).sha256
    except InsulaError:
        return ""
