"""How a folder of results names, finds and writes the files of its cases: flat, or as a BIDS derivative."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from insula.errors import NoInput
from insula.io import OTHERS_PATIENCE_S, OutputFolder, bare_name, folded, printable
from insula.io.dicom import DicomScan
from insula.io.kept_masks import kept_mask
from insula.io.participants import count_names
from insula.predict import (
    BidsPaths,
    CaseRecord,
    ExpectedScan,
    Result,
    ResultPaths,
    ResultRecord,
    bids_case_paths,
    bids_entities,
    described_dataset,
    expected_scan,
    read_record,
    result_paths,
    segmented_bids_scan,
)
from insula.report import write_bids_case, write_case
from insula.study.inputs import case_of_image

__all__ = [
    "BidsResults",
    "FlatResults",
    "ResultsFolder",
    "is_bids_derivative",
    "needs_scans",
    "no_results",
    "other_program",
    "passed_over",
    "results_in",
]

_IN_ANAT = ("sub-*/anat/*", "sub-*/ses-*/anat/*")
_LESION_MASK = re.compile(r"_label-(L|lesion)_(.*_)?mask\.nii(\.gz)?$")
_ACQUISITION = ("sub", "ses", "acq", "ce", "rec", "dir", "run", "echo", "inv", "part")


class ResultsFolder(Protocol):
    """A folder of results."""

    @property
    def path(self) -> Path:
        """The folder."""

    def records(self) -> Iterable[Path]:
        """Returns the files that may be records."""

    def paths(self, case: str) -> ResultPaths | BidsPaths:
        """Returns the paths of a case's files."""

    def record(self, path: Path) -> CaseRecord | None:
        """Returns the record in a file; None if it holds none, or is not in the place of its case, as a copy is not."""

    def file(self, record: ResultRecord, kind: str) -> Path:
        """Returns the path of a file that a record names, by its kind: `mask`, `prob`, `page` and so on."""

    def expected_scan(self, case: str) -> ExpectedScan | None:
        """Returns where the folder says that the scan of a case is; None if it does not."""

    @property
    def edited_name(self) -> str:
        """The name, in words for users, under which an edited mask may be saved beside a case's own."""

    def owner(self, image: Path, cases: Iterable[str]) -> str | None:
        """Returns the case whose edited mask an image anywhere is, by its name; None without any."""

    def write(self, result: Result, source: Path | DicomScan) -> ResultRecord:
        """Write the files of a case, named as its scan."""

    def lock(self, patience_s: float = 0) -> AbstractContextManager[object]:
        """Returns the lock for work on several cases.

        Args:
            patience_s: how long to wait for another run that holds it [s]; so also below.
        """

    def lock_case(self, case: str, patience_s: float = 0) -> AbstractContextManager[object]:
        """Returns the lock for the files of a case, to take within `lock`."""

    def lock_tables(self, patience_s: float = OTHERS_PATIENCE_S) -> AbstractContextManager[object]:
        """Returns the lock for verdicts, tables and index, to take within `lock`."""


@dataclass(frozen=True)
class FlatResults:
    """A folder that `insula segment` wrote: the files of all cases side by side, and one lock."""

    path: Path
    edited_name: ClassVar[str] = "NAME_corrected.nii.gz"

    def records(self) -> Iterable[Path]:
        return self.path.glob("*.json")

    def paths(self, case: str) -> ResultPaths:
        return result_paths(self.path, case)

    def record(self, path: Path) -> CaseRecord | None:
        return read_record(path)

    def file(self, record: ResultRecord, kind: str) -> Path:
        return self.path / record["files"][kind]

    def expected_scan(self, case: str) -> ExpectedScan | None:
        return None

    def owner(self, image: Path, cases: Iterable[str]) -> str | None:
        return case_of_image(image, cases)

    def write(self, result: Result, source: Path | DicomScan) -> ResultRecord:
        return write_case(result, self.paths(result.scan.name), source=source)

    def lock(self, patience_s: float = 0) -> AbstractContextManager[object]:
        return OutputFolder(self.path, option="folder", patience_s=patience_s)

    def lock_case(self, case: str, patience_s: float = 0) -> AbstractContextManager[object]:
        return nullcontext()

    def lock_tables(self, patience_s: float = OTHERS_PATIENCE_S) -> AbstractContextManager[object]:
        return nullcontext()


@dataclass(frozen=True)
class BidsResults:
    """A derivative that `insula-bids` wrote: a folder for each subject, which other runs may write meanwhile."""

    path: Path
    edited_name: ClassVar[str] = "..._desc-corrected_mask.nii.gz"

    def records(self) -> Iterable[Path]:
        return (path for place in _IN_ANAT for path in self.path.glob(f"{place}_record.json"))

    def paths(self, case: str) -> BidsPaths:
        return bids_case_paths(case, self.path)

    def record(self, path: Path) -> CaseRecord | None:
        record = read_record(path)
        return record if record is not None and path == self.paths(record["case"]).record else None

    def file(self, record: ResultRecord, kind: str) -> Path:
        folder = self.path if kind == "page" else self.paths(record["case"]).record.parent
        return folder / record["files"][kind]

    def expected_scan(self, case: str) -> ExpectedScan | None:
        return expected_scan(case, self.path)

    def owner(self, image: Path, cases: Iterable[str]) -> str | None:
        """Returns the case whose scan's or whose mask's name the image's begins with.

        No entity of the acquisition may differ: `sub-1_run-2` is not `sub-1`, even if only that was segmented.
        """
        name, named = folded(bare_name(image)), _acquisition(bare_name(image))
        matches = []
        for case in cases:
            starts = tuple(f"{folded(start)}_" for start in (case, self.paths(case).mask.name.partition("_label-")[0]))
            if named == _acquisition(case) and f"{name}_".startswith(starts):
                matches.append(case)
        return max(matches, key=len, default=None)

    def write(self, result: Result, source: Path | DicomScan) -> ResultRecord:
        case = result.scan.name
        return write_bids_case(result, segmented_bids_scan(case, self.path), self.paths(case))

    def lock(self, patience_s: float = 0) -> AbstractContextManager[object]:
        return nullcontext()

    def lock_case(self, case: str, patience_s: float = 0) -> AbstractContextManager[object]:
        subject = self.paths(case).record.relative_to(self.path).parts[0]
        return OutputFolder(self.path / subject, nested=True, option="folder", patience_s=patience_s)

    def lock_tables(self, patience_s: float = OTHERS_PATIENCE_S) -> AbstractContextManager[object]:
        return OutputFolder(self.path, option="folder", patience_s=patience_s)


def results_in(folder: Path) -> ResultsFolder:
    """Returns a folder of results by its layout; flat if it holds records in both or none."""
    flat = FlatResults(folder)
    if is_bids_derivative(folder) and all(read_record(path) is None for path in flat.records()):
        return BidsResults(folder)
    return flat


def is_bids_derivative(folder: Path) -> bool:
    """Returns whether a folder holds records of results in the layout of a BIDS derivative."""
    return next(iter(BidsResults(folder).records()), None) is not None


def needs_scans(folder: Path) -> bool:
    """Returns whether the scans of a folder must be given; those of a BIDS derivative may be found in its dataset.

    Raises:
        NoInput: the folder does not exist, or is a dataset or derivative without results of insula.
    """
    if is_bids_derivative(folder):
        return False
    if not folder.is_dir() or described_dataset(folder):
        raise no_results(folder)
    return True


def no_results(folder: Path, *, remedy: str = "name the folder that segment or insula-bids wrote") -> NoInput:
    """Returns the error for a folder without results, which says what the folder is instead, and which may be meant.

    Args:
        folder: the folder.
        remedy: what to do about a derivative by another program.
    """
    if not folder.is_dir():
        return NoInput("the folder of results", folder, "does not exist", "name the folder that segment wrote")
    inside = next((path for path in sorted(folder.glob("derivatives/*")) if is_bids_derivative(path)), None)
    if inside is not None:
        return NoInput("the folder", folder, "is the dataset, not the derivative of it", f"name {inside}")
    if program := other_program(folder):
        rule = f"is a BIDS derivative that {program} wrote: it holds no results of insula"
        return NoInput("the folder", folder, rule, remedy)
    return NoInput("the folder", folder, "holds no results", "name the folder that segment wrote")


def other_program(folder: Path) -> str:
    """Returns the program that wrote a BIDS derivative, by its description; empty for insula and any other folder."""
    facts = described_dataset(folder)
    programs = facts.get("GeneratedBy")
    names = [entry.get("Name") for entry in programs if isinstance(entry, dict)] if isinstance(programs, list) else []
    if "insula" in names or not (names or facts.get("DatasetType") == "derivative"):
        return ""
    return " and ".join(printable(str(name)) for name in names if name) or "another program"


def passed_over(results: ResultsFolder, cases: Iterable[str]) -> str:
    """Returns a line on the lesion masks in a BIDS derivative that are of no result; empty if there are none.

    Args:
        results: the folder of results.
        cases: all that have a record.
    """
    if not isinstance(results, BidsResults):
        return ""
    ours = {results.paths(case).mask for case in cases}
    images = (path for place in _IN_ANAT for path in results.path.glob(f"{place}_mask.nii*"))
    others = [
        path.name for path in images if _LESION_MASK.search(path.name) and path not in ours and not kept_mask(path)
    ]
    return f"passed over: {count_names(others, 'lesion mask')} without a record by insula" if others else ""


def _acquisition(name: str) -> dict[str, str]:
    return {key: value for key, value in bids_entities(folded(name)).items() if key in _ACQUISITION}
