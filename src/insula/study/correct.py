"""Corrections come home: masks that people edited take the place of the network's in a folder of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from insula.errors import BadData, InsulaError, NoInput, as_insula_error
from insula.io import FolderInUse, read_mask
from insula.io.atomic import write_bytes
from insula.io.bytes import read_file
from insula.io.kept_masks import earlier_masks, edited_masks
from insula.postprocess import number_lesions
from insula.predict import CaseRecord, ResultRecord, corrected_result, set_corrected_aside
from insula.report import mask_sha256_of
from insula.study.inputs import images_in
from insula.study.layout import ResultsFolder, no_results, results_in
from insula.study.overview import Overview, earlier_records
from insula.study.sources import ScanSources

__all__ = [
    "CorrectionOutcome",
    "Corrections",
    "correct_case",
    "correct_study",
    "find_corrections",
    "is_measured",
    "masks_of_no_case",
]


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
    results: ResultsFolder, records: Mapping[str, CaseRecord], masks: Path | None = None, *, label: int | None = None
) -> Corrections:
    """Find the edited mask of each case.

    An edited mask is a case's own mask file if it was changed since it was written, `NAME_corrected.nii.gz` beside it
    (in a BIDS derivative, the mask's name with `desc-corrected`), or an image in the folder of masks whose name is the
    case's or begins with it, e.g. `NAME_mask.nii.gz`.

    The file beside it is passed over if it was taken before and a later correction took its place; given in `masks` it
    counts again.

    Args:
        results: the folder.
        records: of the cases in the folder, by name.
        masks: a folder of edited masks, searched with its subfolders; or one mask.
        label: the lesion's label in masks with several.

    Raises:
        NoInput: `masks` does not exist.
    """
    done = {case: record for case, record in records.items() if record["outcome"] == "done" and "sha256" in record}
    edited: dict[str, list[Path]] = {case: [] for case in done}
    for case, record in done.items():
        path = results.paths(case).mask
        if path.is_file() and read_file(path).sha256 != record["sha256"]["mask"]:
            edited[case].append(path)
        asides = earlier_masks(path)
        beside = edited_masks(path)
        beside = [given for given in beside if not _is_superseded(given, record, asides, label)]
        edited[case] += [given for given in beside if not (edited[case] and _was_taken(given, record, label))]
    for path in images_in(masks) if masks is not None else ():
        owner = results.owner(path, records)  # also of refused cases: their masks belong to no other
        if owner in done and path.resolve() not in {known.resolve() for known in edited[owner]}:
            edited[owner].append(path)
    return Corrections(
        masks={case: paths[0] for case, paths in edited.items() if len(paths) == 1},
        doubled={case: tuple(paths) for case, paths in edited.items() if len(paths) > 1},
    )


def masks_of_no_case(folder: Path, masks: Path) -> list[Path]:
    """Return the images among edited masks whose names begin with no segmented case's.

    Args:
        folder: of the results.
        masks: as for `find_corrections`.
    """
    results = results_in(folder)
    records = earlier_records(results)
    done = {case for case, record in records.items() if record["outcome"] == "done"}
    return [path for path in images_in(masks) if results.owner(path, records) not in done]


def correct_study(
    folder: Path, scans: Sequence[str], *, masks: Path | None = None, label: int | None = None
) -> Iterator[CorrectionOutcome]:
    """Take edited masks into a folder of results; measure them, and write record, page, tables and index anew.

    The corrected mask becomes the case's mask, on the scan's own grid; the network's stays beside it as
    `NAME_network_mask.nii.gz`; in a BIDS derivative, as the mask's name with `desc-network`. An earlier correction of
    the case is renamed, never replaced. DICOM objects are written anew too.

    Args:
        folder: of the results, also a BIDS derivative; locked while the iterator runs, a derivative only where and
            when it is written.
        scans: files, folders or patterns with the scans that were segmented; a case's page shows its scan. Not needed
            for a BIDS derivative whose dataset is where it was.
        masks: as for `find_corrections`.
        label: the lesion's label in masks with several.

    Yields:
        The outcome of each case that has an edited mask.

    Raises:
        NoInput: the folder holds no results, or there is no edited mask.
    """
    if not folder.is_dir():
        raise no_results(folder)
    results = results_in(folder)
    with results.lock():
        records = earlier_records(results)
        if not records:
            raise no_results(folder)
        overview = Overview(folder)
        _write_tables(results, overview)  # those of a run that was stopped before its tables may be old
        corrections = find_corrections(results, records, masks, label=label)
        if not (corrections.masks or corrections.doubled):
            remedy = f"save the edited mask under its own name or as {results.edited_name}, or give `masks`"
            raise NoInput("the folder", folder, "holds no mask that was edited since it was written", remedy)
        for case, paths in corrections.doubled.items():
            names = " and ".join(path.name for path in paths)
            error = BadData("the corrected masks", names, f"are all of {case}", "leave one of them")
            yield CorrectionOutcome(case, "failed", records[case], error)
        sources = ScanSources(scans, expected=results.expected_scan)
        for case, path in corrections.masks.items():
            record = records[case]
            assert record["outcome"] == "done"
            try:
                with results.lock_case(case):
                    outcome = _correct_unchanged(results, record, path, sources, label)
            except FolderInUse as error:
                outcome = CorrectionOutcome(case, "failed", record, error)
            if outcome.outcome == "corrected":
                _write_tables(results, overview)
            yield outcome


def _write_tables(results: ResultsFolder, overview: Overview) -> None:
    with results.lock_tables():
        overview.read(results)
        overview.write()


def _correct_unchanged(
    results: ResultsFolder, record: ResultRecord, path: Path, sources: ScanSources, label: int | None
) -> CorrectionOutcome:
    """Correct a case, unless another run wrote it since its edited mask was found."""
    case, present = record["case"], results.record(results.paths(record["case"]).record)
    if present is None or present["outcome"] != "done" or mask_sha256_of(present) != mask_sha256_of(record):
        error = BadData("the results of", case, "were written by another run meanwhile", "run the command again")
        return CorrectionOutcome(case, "failed", record, error)
    return correct_case(results, present, path, sources, label=label)


def correct_case(
    results: ResultsFolder, record: ResultRecord, path: Path, sources: ScanSources, *, label: int | None = None
) -> CorrectionOutcome:
    """Make an edited mask the mask of its case, as `correct_study` does; tables and index are left to the caller.

    Args:
        results: the folder; locked by the caller.
        record: of the case.
        path: the edited mask.
        sources: where to find the scan of the case.
        label: the lesion's label in a mask with several.

    Raises:
        InsulaError: a file cannot be written, or the scan changed meanwhile. Record, masks and page are then as they
            were.
    """
    case = record["case"]
    paths = results.paths(case)
    try:
        mask = read_mask(path, label=label)
        if path != paths.mask and is_measured(record, paths.mask) and _same_voxels(path, paths.mask, label):
            return CorrectionOutcome(case, "same", record)
        found = sources.of(record)
        result = corrected_result(record, paths.record.parent, found.scan, mask)
    except Exception as error:
        return CorrectionOutcome(case, "failed", record, as_insula_error(error))
    before = _contents(results, record)
    aside = set_corrected_aside(paths.record)
    try:
        written = results.write(result, found.source)
    except BaseException:
        if aside is not None:
            aside.replace(paths.mask)
        for file, content in before.items():
            if content is None:
                file.unlink(missing_ok=True)
            elif not (file.is_file() and file.read_bytes() == content):
                write_bytes(file, content)
        raise
    if aside is not None and path == paths.mask:  # the edited file itself; its voxels are in the new mask
        aside.unlink()
        aside = None
    return CorrectionOutcome(case, "corrected", written, set_aside=aside)


def _contents(results: ResultsFolder, record: ResultRecord) -> dict[Path, bytes | None]:
    """Return the files of a case that a correction replaces, the record last; None for one that does not exist.

    Probabilities are not among them: a correction writes them as they are.
    """
    paths = results.paths(record["case"])
    files = [*paths.all_but_the_record, paths.record]
    return {file: file.read_bytes() if file.is_file() else None for file in files if file != paths.prob}


def is_measured(record: ResultRecord, mask: Path) -> bool:
    """Tell whether a mask's file is the one that the record describes."""
    return mask.is_file() and read_file(mask).sha256 == mask_sha256_of(record)


def _is_superseded(edited: Path, record: ResultRecord, asides: Sequence[Path], label: int | None) -> bool:
    """Tell whether an edited mask was the case's before, and another correction came later.

    A correction that only `segment` set aside, for a mask of its own, is not superseded.
    """
    if not record.get("correction") and len(asides) < 2:
        return False
    return any(_same_voxels(edited, aside, label) for aside in asides)


def _was_taken(edited: Path, record: ResultRecord, label: int | None) -> bool:
    """Tell whether an edited mask is the one that the record measured: a later edit of the case's own file counts."""
    try:
        mask = read_mask(edited, label=label)
    except InsulaError:
        return False
    lesions = int(number_lesions(mask).max(initial=0))
    known = record["volume_ml"], record["lesion_count"]
    return record.get("correction") is not None and (round(mask.volume_ml, 4), lesions) == known


def _same_voxels(edited: Path, present: Path, label: int | None) -> bool:
    try:
        now = read_mask(present)
        return bool(np.array_equal(read_mask(edited, label=label).onto(now.grid).voxels, now.voxels))
    except InsulaError:
        return False
