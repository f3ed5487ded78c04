"""Corrections come home: masks that people edited take the place of the network's in a folder of results."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from insula.errors import BadData, InsulaError, Interrupted, NoInput, as_insula_error
from insula.io import OutputFolder, bare_name, folded, read_mask
from insula.io.bytes import read_file
from insula.io.dicom import DicomScan
from insula.predict import (
    CaseRecord,
    ResultRecord,
    corrected_result,
    open_scan,
    result_paths,
    set_corrected_aside,
)
from insula.report import write_case
from insula.study.inputs import find_scans, name_cases
from insula.study.run import earlier_records, write_overview
from insula.volume import Scan

__all__ = ["Corrections", "CorrectionOutcome", "correct_study", "find_corrections"]

_SUFFIX = "_corrected"


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """The edited masks of a folder of results."""

    masks: dict[str, Path]
    """Case -> its edited mask."""
    doubled: dict[str, tuple[Path, ...]]
    """Case -> its edited masks, where there are several and it is unclear which is meant."""


class CorrectionOutcome(NamedTuple):
    """The outcome of one case whose mask was edited."""

    case: str
    outcome: Literal["corrected", "same", "failed"]
    """`same`: the edited mask has the same voxels as the present one, and nothing was written."""
    record: CaseRecord
    error: InsulaError | None = None
    set_aside: Path | None = None
    """Where an earlier correction is now that was replaced."""


class _Source(NamedTuple):
    scan: Scan
    source: Path | DicomScan


def find_corrections(folder: Path, records: Mapping[str, CaseRecord], masks: Path | None = None) -> Corrections:
    """Find the edited mask of each case.

    An edited mask is a case's own mask file if it was changed since it was written, `NAME_corrected.nii.gz` beside it,
    or an image in the folder of masks whose name is the case's or begins with it, e.g. `NAME_mask.nii.gz`.

    Args:
        folder: of the results.
        records: of the cases in the folder, by name.
        masks: a folder of edited masks, searched with its subfolders; or one mask.

    Raises:
        NoInput: `masks` does not exist.
    """
    done = {case: record for case, record in records.items() if record["outcome"] == "done" and "sha256" in record}
    edited: dict[str, list[Path]] = {case: [] for case in done}
    for case, record in done.items():
        path = folder / record["files"]["mask"]
        if path.is_file() and read_file(path).sha256 != record["sha256"]["mask"]:
            edited[case].append(path)
        edited[case] += sorted(folder.glob(f"{glob.escape(path.name.removesuffix('_mask.nii.gz'))}{_SUFFIX}.nii*"))
    for path in _images(masks) if masks is not None else ():
        owner = _case_of(path, done)
        if owner is not None and path.resolve() not in {known.resolve() for known in edited[owner]}:
            edited[owner].append(path)
    return Corrections(
        masks={case: paths[0] for case, paths in edited.items() if len(paths) == 1},
        doubled={case: tuple(paths) for case, paths in edited.items() if len(paths) > 1},
    )


def masks_of_no_case(folder: Path, masks: Path) -> list[Path]:
    """Return the images among edited masks whose names begin with no case's.

    Args:
        folder: of the results.
        masks: as for `find_corrections`.
    """
    records = earlier_records(folder.glob("*.json"))
    done = {case: record for case, record in records.items() if record["outcome"] == "done"}
    return [path for path in _images(masks) if _case_of(path, done) is None]


def correct_study(
    folder: Path, scans: Sequence[str], *, masks: Path | None = None, label: int | None = None
) -> Iterator[CorrectionOutcome]:
    """Take edited masks into a folder of results; measure them, and write record, page, tables and index anew.

    The corrected mask becomes the case's mask, on the scan's own grid; the network's stays beside it as
    `NAME_network_mask.nii.gz`. An earlier correction of the case is renamed, never replaced. DICOM objects are
    written anew too.

    Args:
        folder: of the results; locked while the iterator runs.
        scans: files, folders or patterns with the scans that were segmented; a case's page shows its scan.
        masks: as for `find_corrections`.
        label: the lesion's label in masks with several.

    Yields:
        The outcome of each case that has an edited mask.

    Raises:
        NoInput: the folder holds no results, or there is no edited mask.
    """
    if not folder.is_dir():
        raise NoInput("the folder of results", folder, "does not exist", "name the folder that segment wrote")
    with OutputFolder(folder):
        records = earlier_records(folder.glob("*.json"))
        if not records:
            raise NoInput("the folder", folder, "holds no results", "name the folder that segment wrote")
        corrections = find_corrections(folder, records, masks)
        if not (corrections.masks or corrections.doubled):
            remedy = "save the edited mask under its own name or as NAME_corrected.nii.gz, or give `masks`"
            raise NoInput("the folder", folder, "holds no mask that was edited since it was written", remedy)
        for case, paths in corrections.doubled.items():
            names = " and ".join(path.name for path in paths)
            error = BadData("the corrected masks", names, f"are all of {case}", "leave one of them")
            yield CorrectionOutcome(case, "failed", records[case], error)
        sources = _Sources(scans)
        for case, path in corrections.masks.items():
            outcome = _correct(folder, case, records[case], path, sources, label)
            if outcome.outcome == "corrected":
                records[case] = outcome.record
                write_overview(folder, records)
            yield outcome


def _correct(
    folder: Path, case: str, record: CaseRecord, path: Path, sources: _Sources, label: int | None
) -> CorrectionOutcome:
    assert record["outcome"] == "done"
    paths = result_paths(folder, case)
    try:
        mask = read_mask(path, label=label)
        if path != paths.mask and _same_voxels(path, paths.mask, label):
            return CorrectionOutcome(case, "same", record)
        found = sources.of(record)
        result = corrected_result(record, folder, found.scan, mask)
    except Interrupted:
        raise
    except Exception as error:
        return CorrectionOutcome(case, "failed", record, as_insula_error(error))
    aside = set_corrected_aside(paths.record)
    written = write_case(result, paths, source=found.source)
    if aside is not None and path == paths.mask:  # the edited file itself; its voxels are in the new mask
        aside.unlink()
        aside = None
    return CorrectionOutcome(case, "corrected", written, set_aside=aside)


def _same_voxels(edited: Path, present: Path, label: int | None) -> bool:
    try:
        now = read_mask(present)
        return bool(np.array_equal(read_mask(edited, label=label).onto(now.grid).voxels, now.voxels))
    except InsulaError:
        return False


class _Sources:
    """Finds the scan of a record among files, by the hash of its bytes."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._paths = find_scans(arguments).files
        self._names = [folded(name) for name in name_cases(self._paths)]
        self._hashes: dict[Path, str] = {}

    def of(self, record: ResultRecord) -> _Source:
        """Return the scan of a record; files of the same name are looked at first.

        Raises:
            NoInput: the scan is not among the files.
        """
        case, wanted = record["case"], record["scan"]["sha256"]
        order = sorted(range(len(self._paths)), key=lambda n: not folded(case).startswith(self._names[n]))
        assumed = any(flag["code"] == "orientation-assumed" for flag in record["flags"])
        axes = record["scan"]["axes"] if assumed else None
        for path in (self._paths[n] for n in order):
            if bare_name(path) != path.name and path.suffix.lower() != ".hdr" and self._hash(path) != wanted:
                continue  # one file, and not the one: no need to read its voxels
            scan, source = open_scan(path, name=case, assume_orientation=axes, assume_t1w=True)
            if scan.file is not None and scan.file.sha256 == wanted:
                return _Source(scan, source)
        raise NoInput("the scan of", case, "is not among the scans", "give the scan that was segmented, unchanged")

    def _hash(self, path: Path) -> str:
        if path not in self._hashes:
            try:
                self._hashes[path] = read_file(path).sha256
            except InsulaError:
                self._hashes[path] = ""
        return self._hashes[path]


def _images(masks: Path) -> list[Path]:
    if masks.is_file():
        return [masks]
    if not masks.is_dir():
        raise NoInput("the folder of masks", masks, "does not exist", "check the path")
    return sorted(path for path in masks.rglob("*.nii*") if path.is_file() and not path.name.startswith("."))


def _case_of(path: Path, cases: Mapping[str, object]) -> str | None:
    """Return the case that an image's name begins with; the longest, if there are several."""
    name = folded(bare_name(path))
    matches = [
        case for case in cases if name == folded(case) or name.startswith((folded(case) + "_", folded(case) + "-"))
    ]
    return max(matches, key=len, default=None)
