"""Where a scan comes from: a NIfTI file, or DICOM in a folder, a file, a zip or a tar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from insula.io import read_scan
from insula.io.dicom import DicomScan, is_dicom, read_dicom
from insula.io.naming import flags_by_name, refuse_other_than_t1w
from insula.volume import Scan

__all__ = ["open_scan"]


def open_scan(
    path: Path,
    *,
    name: str,
    frame: int | None = None,
    series: int | None = None,
    assume_orientation: str | None = None,
    assume_t1w: bool = False,
) -> tuple[Scan, Path | DicomScan]:
    """Read a scan from whatever kind of file it is in.

    Args:
        path: a file, or a folder, zip or tar of DICOM.
        name: what the scan is called, unless it is DICOM, which is called after its series.
        frame: of a 4-D file.
        series: SeriesNumber, of DICOM.
        assume_orientation: of a file that does not say.
        assume_t1w: whatever its name and sidecar say.

    Returns:
        The scan, and where it is from, as results are written beside it.

    Raises:
        BadData: the file's name or sidecar says that it is no T1w scan.
        InsulaError: as `read_scan` and `read_dicom`.
    """
    if is_dicom(path):
        found = read_dicom(path, series=series)
        return found.scan, found
    if not assume_t1w:
        refuse_other_than_t1w(path)
    scan = read_scan(path, frame=frame, assume_orientation=assume_orientation, name=name)
    return replace(scan, flags=(*scan.flags, *flags_by_name(path))), path
