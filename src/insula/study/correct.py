"""Corrections come home: masks that people edited take the place of the network's in a folder of results."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from insula.errors import BadData, InsulaError, Interrupted, NoInput, as_insula_error
from insula.io import OutputFolder, read_mask
from insula.io.bytes import read_file
from insula.predict import CaseRecord, ResultRecord, corrected_result, result_paths, set_corrected_aside
from insula.report import write_case
from insula.study.inputs import case_of_image, images_in
from insula.study.overview import Overview, earlier_records
from insula.study.sources import ScanSources

__all__ = [
    "CorrectionOutcome",
    "Corrections",
    "correct_case",
    "correct_study",
    "find_corrections",
    "is_bids_derivative",
    "masks_of_no_case",
]

_BIDS_RECORDS = "sub-*/**/*_record.json"

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


def find_corrections(
    folder: Path, records: Mapping[str, CaseRecord], masks: Path | None = None, *, label: int | None = None
) -> Corrections:
    """Find the edited mask of each case.

    An edited mask is a case's own mask file if it was changed since it was written, `NAME_corrected.nii.gz` beside it,
    or an image in the folder of masks whose name is the case's or begins with it, e.g. `NAME_mask.nii.gz`.

    `NAME_corrected.nii.gz` is passed over if it was taken before and a later correction took its place; given in
    `masks` it counts again.

    Args:
        folder: of the results.
        records: of the cases in the folder, by name.
        masks: a folder of edited masks, searched with its subfolders; or one mask.
        label: the lesion's label in masks with several.

    Raises:
        NoInput: `masks` does not exist.
    """
    done = {case: record for case, record in records.items() if record["outcome"] == "done" and "sha256" in record}
    edited: dict[str, list[Path]] = {case: [] for case in done}
    for case, record in done.items():
        path = folder / record["files"]["mask"]
        if path.is_file() and read_file(path).sha256 != record["sha256"]["mask"]:
            edited[case].append(path)
        name = glob.escape(path.name.removesuffix("_mask.nii.gz"))
        asides = list(folder.glob(f"{name}{_SUFFIX}-????????_mask.nii.gz"))
        beside = sorted(folder.glob(f"{name}{_SUFFIX}.nii*"))
        edited[case] += [given for given in beside if not _is_superseded(given, record, asides, label)]
    for path in images_in(masks) if masks is not None else ():
        owner = case_of_image(path, done)
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
    return [path for path in images_in(masks) if case_of_image(path, done) is None]


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
        BadData: the folder is a BIDS derivative.
    """
    if not folder.is_dir():
        raise NoInput("the folder of results", folder, "does not exist", "name the folder that segment wrote")
    with OutputFolder(folder):
        records = earlier_records(folder.glob("*.json"))
        if not records:
            if is_bids_derivative(folder):
                rule = "is a BIDS derivative, in which edited masks are kept but not measured"
                raise BadData("the folder", folder, rule, "run segment on the scans, and correct what it writes")
            raise NoInput("the folder", folder, "holds no results", "name the folder that segment wrote")
        corrections = find_corrections(folder, records, masks, label=label)
        if not (corrections.masks or corrections.doubled):
            remedy = "save the edited mask under its own name or as NAME_corrected.nii.gz, or give `masks`"
            raise NoInput("the folder", folder, "holds no mask that was edited since it was written", remedy)
        for case, paths in corrections.doubled.items():
            names = " and ".join(path.name for path in paths)
            error = BadData("the corrected masks", names, f"are all of {case}", "leave one of them")
            yield CorrectionOutcome(case, "failed", records[case], error)
        sources, overview = ScanSources(scans), Overview(folder, records)
        for case, path in corrections.masks.items():
            record = records[case]
            assert record["outcome"] == "done"
            outcome = correct_case(folder, record, path, sources, label=label)
            if outcome.outcome == "corrected":
                overview.add(outcome.record)
                overview.write()
            yield outcome


def is_bids_derivative(folder: Path) -> bool:
    """Return whether a folder holds records of results in the layout of a BIDS derivative."""
    return next(folder.glob(_BIDS_RECORDS), None) is not None


def correct_case(
    folder: Path, record: ResultRecord, path: Path, sources: ScanSources, *, label: int | None = None
) -> CorrectionOutcome:
    """Make an edited mask the mask of its case, as `correct_study` does; tables and index are left to the caller.

    Args:
        folder: of the results; locked by the caller.
        record: of the case.
        path: the edited mask.
        sources: where to find the scan of the case.
        label: the lesion's label in a mask with several.

    Raises:
        InsulaError: a file cannot be written, or the scan changed meanwhile.
    """
    case = record["case"]
    paths = result_paths(folder, case)
    try:
        mask = read_mask(path, label=label)
        if path != paths.mask and _is_measured(record, paths.mask) and _same_voxels(path, paths.mask, label):
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


def _is_measured(record: ResultRecord, mask: Path) -> bool:
    """Tell whether a mask's file is the one that the record describes."""
    return mask.is_file() and read_file(mask).sha256 == record.get("sha256", {}).get("mask")


def _is_superseded(edited: Path, record: ResultRecord, asides: Sequence[Path], label: int | None) -> bool:
    """Tell whether an edited mask was the case's before, and another correction came later.

    A correction that only `segment` set aside, for a mask of its own, is not superseded.
    """
    if not record.get("correction") and len(asides) < 2:
        return False
    return any(_same_voxels(edited, aside, label) for aside in asides)


def _same_voxels(edited: Path, present: Path, label: int | None) -> bool:
    try:
        now = read_mask(present)
        return bool(np.array_equal(read_mask(edited, label=label).onto(now.grid).voxels, now.voxels))
    except InsulaError:
        return False
