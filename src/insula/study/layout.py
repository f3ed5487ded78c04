"""How a folder of results names, finds and writes the files of its cases: flat, or as a BIDS derivative."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from insula.io import OutputFolder, bare_name, folded
from insula.io.dicom import DicomScan
from insula.predict import (
    BidsPaths,
    Result,
    ResultPaths,
    ResultRecord,
    bids_case_paths,
    bids_entities,
    read_record,
    result_paths,
    segmented_bids_scan,
)
from insula.report import write_bids_case, write_case
from insula.study.inputs import case_of_image

__all__ = ["BidsResults", "FlatResults", "ResultsFolder", "is_bids_derivative", "results_in"]

_MASK = "_mask.nii.gz"
_RECORD = "_record.json"
_ACQUISITION = ("sub", "ses", "acq", "ce", "rec", "dir", "run", "echo", "inv", "part")
_OTHERS_PATIENCE_S = 60  # other runs into a derivative write its tables meanwhile


class ResultsFolder(Protocol):
    """A folder of results."""

    @property
    def path(self) -> Path:
        """The folder."""

    def records(self) -> Iterable[Path]:
        """Returns the files that may be records."""

    def paths(self, case: str) -> ResultPaths | BidsPaths:
        """Returns the paths of a case's files."""

    @property
    def edited_name(self) -> str:
        """The name, in words for users, under which an edited mask may be saved beside a case's own."""

    def edited_beside(self, case: str) -> list[Path]:
        """Returns the masks under that name, sorted."""

    def owner(self, image: Path, cases: Iterable[str]) -> str | None:
        """Returns the case whose edited mask an image anywhere is, by its name; None without any."""

    def write(self, result: Result, source: Path | DicomScan) -> ResultRecord:
        """Write the files of a case, named as its scan."""

    def lock(self) -> AbstractContextManager[object]:
        """Returns the lock for work on several cases."""

    def lock_case(self, case: str) -> AbstractContextManager[object]:
        """Returns the lock for the files of a case, to take within `lock`."""

    def lock_tables(self) -> AbstractContextManager[object]:
        """Returns the lock for tables and index, to take within `lock`."""


@dataclass(frozen=True)
class FlatResults:
    """A folder that `insula segment` wrote: the files of all cases side by side, and one lock."""

    path: Path
    edited_name: ClassVar[str] = "NAME_corrected.nii.gz"

    def records(self) -> Iterable[Path]:
        return self.path.glob("*.json")

    def paths(self, case: str) -> ResultPaths:
        return result_paths(self.path, case)

    def edited_beside(self, case: str) -> list[Path]:
        """Returns `NAME_corrected.nii*`."""
        name = self.paths(case).mask.name.removesuffix(_MASK)
        return sorted(self.path.glob(f"{glob.escape(name)}_corrected.nii*"))

    def owner(self, image: Path, cases: Iterable[str]) -> str | None:
        return case_of_image(image, cases)

    def write(self, result: Result, source: Path | DicomScan) -> ResultRecord:
        return write_case(result, self.paths(result.scan.name), source=source)

    def lock(self) -> AbstractContextManager[object]:
        return OutputFolder(self.path)

    def lock_case(self, case: str) -> AbstractContextManager[object]:
        return nullcontext()

    def lock_tables(self) -> AbstractContextManager[object]:
        return nullcontext()


@dataclass(frozen=True)
class BidsResults:
    """A derivative that `insula-bids` wrote: a folder for each subject, which other runs may write meanwhile."""

    path: Path
    edited_name: ClassVar[str] = "..._desc-corrected_mask.nii.gz"

    def records(self) -> Iterable[Path]:
        return self.path.glob(f"sub-*/**/*{_RECORD}")

    def paths(self, case: str) -> BidsPaths:
        return bids_case_paths(case, self.path)

    def edited_beside(self, case: str) -> list[Path]:
        """Returns the mask's name with `desc-corrected`."""
        mask = self.paths(case).mask
        name = mask.name.removesuffix(_MASK).replace("_desc-insula", "_desc-corrected")
        return sorted(mask.parent.glob(f"{glob.escape(name)}_mask.nii*"))

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

    def lock(self) -> AbstractContextManager[object]:
        return nullcontext()

    def lock_case(self, case: str) -> AbstractContextManager[object]:
        subject = self.paths(case).record.relative_to(self.path).parts[0]
        return OutputFolder(self.path / subject, nested=True, option="folder")

    def lock_tables(self) -> AbstractContextManager[object]:
        return OutputFolder(self.path, option="folder", patience_s=_OTHERS_PATIENCE_S)


def results_in(folder: Path) -> ResultsFolder:
    """Returns a folder of results by its layout; flat if it holds records in both or none."""
    flat = FlatResults(folder)
    if is_bids_derivative(folder) and all(read_record(path) is None for path in flat.records()):
        return BidsResults(folder)
    return flat


def is_bids_derivative(folder: Path) -> bool:
    """Returns whether a folder holds records of results in the layout of a BIDS derivative."""
    return next(iter(BidsResults(folder).records()), None) is not None


def _acquisition(name: str) -> dict[str, str]:
    return {key: value for key, value in bids_entities(folded(name)).items() if key in _ACQUISITION}
