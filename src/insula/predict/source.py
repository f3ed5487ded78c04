"""Scans from any kind of file: NIfTI, or DICOM in a folder, a file, a zip or a tar."""

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
    """Read a scan from any kind of file.

    Args:
        path: a file, or a folder, zip or tar of DICOM.
        name: name of the scan; DICOM is named after its series.
        frame: frame of a 4-D file.
        series: SeriesNumber of DICOM.
        assume_orientation: orientation of a file that does not state it.
        assume_t1w: ignore what the file's name and sidecar say about the contrast.

    Returns:
        The scan, and its source, beside which results are written.

    Raises:
        BadData: the file's name or sidecar says that it is not a T1w scan.
        InsulaError: as for `read_scan` and `read_dicom`.
    """
    if is_dicom(path):
        dicom = read_dicom(path, series=series)
        file = dicom.scan.file
        return replace(dicom.scan, file=None if file is None else replace(file, series=series)), dicom
    if not assume_t1w:
        refuse_other_than_t1w(path)
    scan = read_scan(path, frame=frame, assume_orientation=assume_orientation, name=name)
    return replace(scan, flags=(*scan.flags, *flags_by_name(path))), path
