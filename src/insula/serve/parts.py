"""The result files of a job, by their names in the URL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from insula.serve.store import JobFolder

if TYPE_CHECKING:
    from insula.predict import ResultRecord

__all__ = ["PARTS", "part_path", "record_of"]

PARTS = {
    "scan": "application/gzip",
    "mask": "application/gzip",
    "brain": "application/gzip",
    "prob": "application/gzip",
    "record": "application/json",
    "page": "text/html; charset=utf-8",
    "seg": "application/dicom",
    "probseg": "application/dicom",
    "sr": "application/dicom",
    "sc": "application/dicom",
    "zip": "application/zip",
}
"""Media type of each part."""


def part_path(folder: JobFolder, part: str) -> Path:
    """Returns the path of a job's part, whether or not the file exists."""
    results = folder.results
    return {
        "scan": folder.scan,
        "mask": results.mask,
        "brain": results.brain,
        "prob": results.prob,
        "record": results.record,
        "page": results.page,
        "seg": results.seg,
        "probseg": results.prob_seg,
        "sr": results.report,
        "sc": results.capture,
        "zip": folder.archive,
    }[part]


def record_of(folder: JobFolder) -> ResultRecord:
    """Returns the record of a finished job."""
    return json.loads(folder.results.record.read_text(encoding="utf-8"))
