"""All files of a case: what was found, and the page to check it by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from insula.io import write_text
from insula.io.dicom import DicomScan, save_dicom, secondary_capture
from insula.predict import Result, ResultPaths, write_result
from insula.report.capture import render_capture
from insula.report.page import render_page

__all__ = ["write_case"]


def write_case(result: Result, paths: ResultPaths, *, source: Path | DicomScan | None = None) -> dict[str, Any]:
    """Write everything; of DICOM the page also as a picture that goes into the archive.

    Args:
        result: what was found.
        paths: where.
        source: as `write_result`.

    Returns:
        The record.

    Raises:
        InsulaError: as `write_result`.
    """
    record = write_result(result, paths, source=source)
    write_text(paths.page, render_page(result, record))
    if isinstance(source, DicomScan):
        save_dicom(paths.capture, secondary_capture(source, render_capture(result, record)))
    return record
