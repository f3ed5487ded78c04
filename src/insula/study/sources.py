"""Finds the scan of a result among files, by the hash of its bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from insula.errors import InsulaError, NoInput
from insula.io import bare_name, folded
from insula.io.bytes import read_file
from insula.io.dicom import DicomScan
from insula.predict import ExpectedScan, ResultRecord, open_scan
from insula.study.inputs import find_scans, name_cases
from insula.volume import Scan

__all__ = ["FoundScan", "ScanSources"]

_Key = tuple[Path, int | None, int, int]


class FoundScan(NamedTuple):
    """A scan, and the file or the series that it was read from."""

    scan: Scan
    source: Path | DicomScan


class ScanSources:
    """The files among which the scans of a folder of results are.

    Args:
        arguments: files, folders and patterns, as for `find_scans`; may be empty.
        expected: returns where the folder of results says that the scan of a case is, if it does; looked at first.

    Raises:
        NoInput: a folder holds no scans, or a pattern matches no file.
    """

    def __init__(
        self, arguments: Sequence[str], *, expected: Callable[[str], ExpectedScan | None] = lambda _: None
    ) -> None:
        self._arguments, self._expected = tuple(arguments), expected
        self._paths = find_scans(arguments).files
        self._names = [folded(name) for name in name_cases(self._paths)]
        self._hashes: dict[_Key, str] = {}

    def anew(self) -> ScanSources:
        """Return the files that the arguments name now; a single file that is as it was is not read again.

        Raises:
            NoInput: a folder holds no scans any more, or a pattern matches no file.
        """
        listed = ScanSources(self._arguments, expected=self._expected)
        listed._hashes = {key: sha256 for key, sha256 in self._hashes.copy().items() if _is_single(key[0])}
        return listed

    def of(self, record: ResultRecord) -> FoundScan:
        """Return the scan of a record, with the case's name; files of the same name are looked at first.

        Of a 4-D file or an examination, it is the volume or the series that was segmented. A file that cannot be read
        does not end the search.

        Raises:
            NoInput: the scan is not among the files, or the record does not state the volume.
        """
        case, facts = record["case"], record["scan"]
        wanted, frame, series = facts["sha256"], facts.get("frame"), facts.get("series")
        codes = {flag["code"] for flag in record["flags"]}
        if frame is None and "frame-chosen" in codes:
            rule = "does not state the volume of the 4-D file, because an earlier version wrote it"
            raise NoInput("the record of", case, rule, "segment the scan again")
        order = sorted(range(len(self._paths)), key=lambda n: not _alike(folded(case), self._names[n]))
        axes = facts["axes"] if "orientation-assumed" in codes else None
        unreadable: list[InsulaError] = []
        expected = self._expected(case)
        state = _trouble(expected.path) if expected else ""
        first = [expected.path] if expected and not state else []
        for path in [*first, *(self._paths[n] for n in order)]:
            if self._known(path, series) not in (None, wanted):
                continue  # no need to read its voxels
            try:
                scan, source = open_scan(
                    path, name=case, frame=frame, series=series, assume_orientation=axes, assume_t1w=True
                )
            except InsulaError as error:
                unreadable.append(error)
                continue
            if scan.file is not None and scan.file.sha256 == wanted:
                return FoundScan(replace(scan, name=case), source)
            self._hashes[_key(path, series)] = scan.file.sha256 if scan.file is not None else ""
        more = f", but {len(unreadable)} of them cannot be read ({unreadable[0]})" if unreadable else ""
        rule, remedy = f"is not among the scans{more}", "give the scan that was segmented, unchanged"
        if expected:
            if not state:
                state = f"cannot be read ({unreadable[0]})" if unreadable else "was changed since"
            rule = f"{rule if self._paths else 'was not found'}: {expected.inside}, in the dataset that the derivative "
            rule += f"links to ({expected.dataset}), {state}"
            remedy = "give the folder where that dataset is now, or the scan itself, as it was segmented"
        raise NoInput("the scan of", case, rule, remedy)

    def _known(self, path: Path, series: int | None) -> str | None:
        """Return the hash of a scan if it is known, or can be without its voxels; None for pairs and DICOM."""
        key = _key(path, series)
        if _is_single(path) and key not in self._hashes:
            try:
                self._hashes[key] = read_file(path).sha256
            except InsulaError:
                self._hashes[key] = ""
        return self._hashes.get(key)


def _trouble(path: Path) -> str:
    """Say why a file cannot be opened; empty if it can."""
    try:
        with path.open("rb"):
            return ""
    except FileNotFoundError:
        return "is a link to a file that is not here" if os.path.lexists(path) else "does not exist"
    except (OSError, ValueError):
        return "cannot be read"


def _alike(case: str, name: str) -> bool:
    """Tell whether a case may be named after a file; in a BIDS derivative it lacks the file's suffix."""
    return case.startswith(name) or name.startswith(f"{case}_")


def _is_single(path: Path) -> bool:
    """Tell whether a scan is one file: no pair, and no DICOM."""
    return bare_name(path) != path.name and path.suffix.lower() != ".hdr"


def _key(path: Path, series: int | None) -> _Key:
    """Return what a hash is known by: a file that is written anew gets another key."""
    try:
        facts = path.stat()
    except OSError:
        return path, series, 0, 0
    return path, series, facts.st_mtime_ns, facts.st_size
