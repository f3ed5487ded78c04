"""The result files of a job, by their names in the URL."""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from insula.serve.store import JobFolder

if TYPE_CHECKING:
    from insula.predict import ResultRecord

__all__ = ["PARTS", "pack", "part_path", "record_of"]

PARTS = {
    "scan": "application/gzip",
    "mask": "application/gzip",
    "network_mask": "application/gzip",
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
        "network_mask": results.network_mask,
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


def pack(folder: Path, archive: Path) -> None:
    """Write all files of a folder into a zip, atomically and uncompressed: most are compressed already."""
    part = archive.with_suffix(".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as packed:
            for path in sorted(folder.iterdir()):
                if not path.name.startswith("."):
                    packed.write(path, path.name)
        os.replace(part, archive)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
