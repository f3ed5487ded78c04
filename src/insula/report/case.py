"""All files of a case: what was found, and the page to check it by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from insula.io.dicom import DicomScan, secondary_capture
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

    def pages(record: dict[str, Any]) -> dict[Path, Any]:
        made: dict[Path, Any] = {paths.page: render_page(result, record)}
        if isinstance(source, DicomScan):
            made[paths.capture] = secondary_capture(source, render_capture(result, record))
        return made

    return write_result(result, paths, source=source, further=pages)
