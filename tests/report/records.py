"""Records of cases that were never segmented, for tests of pages and tables."""

from __future__ import annotations

import hashlib
from typing import Any, cast

from insula.predict import ResultRecord

MASKS = {case: hashlib.sha256(case.encode()).hexdigest() for case in "abcd"}
"""SHA-256 of each case's mask."""


def done_record(case: str, *, mask_sha256: str | None = None, **changes: Any) -> ResultRecord:
    """The record of a segmented case with a lesion of 1 ml, and with these changes."""
    record = {
        "format": "insula-result/1",
        "notice": "For research only; not a medical device.",
        "case": case,
        "outcome": "done",
        "volume_ml": 1.0,
        "lesion_count": 1,
        "brain": {"volume_ml": 1300.0, "lesion_share": 0.001},
        "sides": {"left_ml": 1.0, "right_ml": 0.0},
        "reason": None,
        "lesions": [
            {
                "number": 1,
                "volume_ml": 1.0,
                "centre_mm": [20.0, 0.0, 10.0],
                "extent_mm": [12.0, 12.0, 12.0],
                "mean_probability": 0.9,
                "confidence": 0.99,
            }
        ],
        "confidence": {
            "note": "",
            "mean_probability": 0.9,
            "peak_probability": 1.0,
            "volume_interval_ml": None,
            "volume_interval_level": None,
            "volume_ml_at_threshold": {"0.1": 1.1, "0.3": 1.05, "0.5": 1.0, "0.7": 0.95, "0.9": 0.9},
        },
        "threshold": 0.5,
        "flags": [],
        "scan": {"shape": [1, 1, 1], "spacing_mm": [1.0] * 3, "axes": "RAS", "affine": [], "sha256": "f" * 64},
        "provenance": {
            "insula": "0",
            "inputs_sha256": "",
            "weights": {"name": "tiny", "sha256": "e" * 64, "trained_on": "nothing"},
            "inference": {},
            "versions": {},
            "machine": "",
        },
        "files": {"mask": f"{case}_mask.nii.gz", "page": f"{case}.html"},
        "sha256": {"mask": mask_sha256 or hashlib.sha256(case.encode()).hexdigest()},
    }
    return cast(ResultRecord, {**record, **changes})
