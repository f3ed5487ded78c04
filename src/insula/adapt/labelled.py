"""Finds scans whose masks a person drew, corrected or passed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypeGuard

from insula.errors import BadData, NoInput
from insula.io import read_mask
from insula.io.entities import entities_of
from insula.predict import CaseRecord, ResultRecord, described_dataset, open_scan
from insula.report import Review, case_verdict, mask_sha256_of, reviews_by_case
from insula.study import (
    ResultsFolder,
    ScanSources,
    earlier_records,
    is_measured,
    no_results,
    results_in,
    reviews_of,
)
from insula.study.inputs import case_of_image, find_scans, images_in, name_cases
from insula.volume import Case

__all__ = ["LEAST_CASES", "Labelled", "find_labelled", "subject_of"]

LEAST_CASES = 5
"""Smallest number of cases to adapt to: fewer give no interval."""

Labelled: TypeAlias = Mapping[str, Callable[[], Case]]
"""Scans with masks that a person stands for, by the name of the case; each is read from its files when it is needed."""


def find_labelled(folder: Path, scans: Sequence[str], *, label: int | None = None) -> Labelled:
    """Find the scans whose masks a person stands for, sorted by name.

    In a folder of results, these are the cases with a corrected mask, unless a rater has judged that one otherwise than
    `pass`, and those whose present mask a rater passed. Any other folder is one of masks, each of which has a name that
    begins with its scan's.

    Args:
        folder: of results, also a BIDS derivative; or of masks.
        scans: files, folders or patterns with the scans. Not needed for a BIDS derivative whose dataset is where it
            was.
        label: the lesion's label in masks with several; not for a folder of results.

    Raises:
        NoInput: the folder does not exist, a mask has no scan, the folder is a BIDS derivative by another program, or
            fewer than five cases have such a mask.
        BadData: two masks belong to one scan, or the table of verdicts is malformed.
    """
    if not folder.is_dir():
        raise NoInput("the folder", folder, "does not exist", "name a folder of results or of masks")
    results = results_in(folder)
    if records := earlier_records(results):
        reviews = reviews_by_case(reviews_of(folder))
        sources = ScanSources(scans, expected=results.expected_scan)
        found = {
            record["case"]: _of_result(results, record, sources)
            for record in records.values()
            if _is_sure(record, reviews)
        }
        remedy = "correct masks (`insula correct`), or pass them in the index (`insula review`)"
    else:
        found = _of_masks(folder, scans, label)
        remedy = "add masks, or name the folder that segment wrote"
    if len(found) < LEAST_CASES:
        rule = f"has masks that a person stands for in {len(found)} of the {LEAST_CASES} cases that it takes"
        raise NoInput("the folder", folder, rule, remedy)
    return dict(sorted(found.items()))


def _is_sure(record: CaseRecord, reviews: Mapping[str, Sequence[Review]]) -> TypeGuard[ResultRecord]:
    if record["outcome"] != "done":
        return False
    verdict = case_verdict(record, reviews)
    return verdict.verdict == "pass" or (record.get("correction") is not None and not verdict.reviewed)


def _of_result(results: ResultsFolder, record: ResultRecord, sources: ScanSources) -> Callable[[], Case]:
    case = record["case"]

    def read() -> Case:
        path = results.file(record, "mask")
        if mask_sha256_of(record) and not is_measured(record, path):
            rule = "was changed since it was written or passed"
            raise BadData("the mask of", case, rule, "take it in with `insula correct`")
        scan = sources.of(record).scan
        mask = read_mask(path).onto(scan.grid, what=f"the mask of {case}")
        return Case(scan=scan, truth=mask, subject=subject_of(case))

    return read


def _of_masks(folder: Path, scans: Sequence[str], label: int | None) -> dict[str, Callable[[], Case]]:
    files = find_scans(scans).files
    cases = dict(zip(name_cases(files), files, strict=True))
    masks: dict[str, Path] = {}
    for path in images_in(folder):
        case = case_of_image(path, cases)
        if case is None or path.resolve() == cases[case].resolve():
            raise _not_a_mask(folder, path, case)
        if case in masks:
            names = f"{masks[case].name} and {path.name}"
            raise BadData("the masks", names, f"both belong to {case}", "leave one of them")
        masks[case] = path
    return {case: _of_mask(case, cases[case], path, label) for case, path in masks.items()}


def _not_a_mask(folder: Path, path: Path, case: str | None) -> NoInput:
    """Return the error for an image that has no scan, or is the scan itself: the folder may not be one of masks."""
    if described_dataset(folder):
        remedy = "copy its lesion masks into a folder, each named after its scan, e.g. sub-01_T1w_mask.nii.gz"
        return no_results(folder, remedy=remedy)
    if case is not None:
        return NoInput("the image", path.name, "is a scan, not a mask", "put the masks into a folder of their own")
    return NoInput("the mask", path.name, "has no scan", "begin its name with the scan's, or name the scan too")


def _of_mask(case: str, scan_path: Path, mask_path: Path, label: int | None) -> Callable[[], Case]:
    def read() -> Case:
        scan, _ = open_scan(scan_path, name=case, assume_t1w=True)
        mask = read_mask(mask_path, label=label).onto(scan.grid, what=f"the mask of {case}")
        return Case(scan=scan, truth=mask, subject=subject_of(case))

    return read


def subject_of(case: str) -> str:
    """Return the label of a case's subject; the case's name where that has none."""
    return entities_of(case).get("sub", case)
