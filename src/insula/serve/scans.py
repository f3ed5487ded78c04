"""The scan of a job: read from its upload, and written for viewers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from insula.io import write_scan
from insula.io.dicom import DicomScan
from insula.predict import open_scan
from insula.serve.jobs import Options
from insula.serve.store import JobFolder
from insula.volume import Scan

__all__ = ["read_upload", "write_view"]


def read_upload(folder: JobFolder, options: Options) -> tuple[Scan, Path | DicomScan]:
    """Read the scan of a job as its sender asked for.

    Args:
        folder: of the job.
        options: sent with the upload.

    Returns:
        The scan, named `scan`, and its source.

    Raises:
        InsulaError: as for `open_scan`, or the upload is gone.
    """
    scan, source = open_scan(
        folder.upload(),
        name="scan",
        frame=options.get("frame"),
        series=options.get("series"),
        assume_orientation=options.get("assume_orientation"),
        assume_t1w=bool(options.get("assume_t1w")),
    )
    return replace(scan, name="scan"), source


def write_view(path: Path, scan: Scan) -> None:
    """Write a scan on its own grid as `.nii.gz`, with intensities from 0 to 4095: for viewing, not for measuring.

    Raises:
        CannotCreate, NoPermission, IOFault: the file cannot be written.
    """
    low, high = np.percentile(scan.image, (0.1, 99.9))
    shades = np.clip((scan.image.astype(np.float32) - low) / max(float(high - low), 1e-6), 0, 1) * 4095
    write_scan(path, shades, scan.grid)
