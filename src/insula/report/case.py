"""Writes all files of a case: the result, and the report to check it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from insula.io.dicom import DicomScan, secondary_capture
from insula.predict import BidsPaths, BidsScan, Result, ResultPaths, ResultRecord, write_bids_result, write_result
from insula.report.capture import render_capture
from insula.report.page import render_page

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_bids_case", "write_case"]


def write_case(result: Result, paths: ResultPaths, *, source: Path | DicomScan | None = None) -> ResultRecord:
    """Write the result and its page; for DICOM input, also a secondary capture of the page for the archive.

    Args:
        result: the segmentation result.
        paths: the output paths.
        source: the input, as for `write_result`.

    Returns:
        The record.

    Raises:
        InsulaError: as for `write_result`.
    """

    def pages(record: ResultRecord) -> dict[Path, str | Dataset]:
        contents: dict[Path, str | Dataset] = {paths.page: render_page(result, record)}
        if isinstance(source, DicomScan):
            contents[paths.capture] = secondary_capture(source, render_capture(result, record))
        return contents

    return write_result(result, paths, source=source, further=pages)


def write_bids_case(result: Result, scan: BidsScan, paths: BidsPaths) -> ResultRecord:
    """Write the result and its page into a BIDS derivative.

    Args:
        result: the segmentation result.
        scan: the scan in its dataset.
        paths: the output paths.

    Returns:
        The record.

    Raises:
        InsulaError: as for `write_bids_result`.
    """
    return write_bids_result(result, scan, paths, page=partial(render_page, result))
