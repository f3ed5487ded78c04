"""Quality check of a cohort: every case is examined, then compared with all others."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, TypedDict

import numpy as np

from insula.cohort.examination import CheckedCase, examine
from insula.cohort.layout import Cohort, Layout
from insula.cohort.likeness import find_alike
from insula.cohort.pool import each
from insula.types import Flag

__all__ = ["CentreRecord", "CheckedCohort", "CohortRecord", "check_cohort", "from_record", "to_record"]

_FORMAT = "insula-cohort/2"  # 2: cases that look alike


@dataclass(frozen=True, kw_only=True)
class CheckedCohort:
    """The result of a cohort check."""

    layout: Layout
    cases: tuple[CheckedCase, ...]
    notes: tuple[str, ...] = ()
    """Problems with the folder itself, and files in it that were skipped."""
    sheets: tuple[str, ...] = ()
    """What was read from the sheets, one line each."""

    @property
    def usable(self) -> tuple[CheckedCase, ...]:
        """Cases with a mask and without an error."""
        return tuple(
            case
            for case in self.cases
            if case.lesion_ml is not None and not any(fault.severity == "error" for fault in case.faults)
        )

    @property
    def sha256(self) -> str:
        """SHA-256 of case names, image hashes and lesion volumes; identifies the cohort."""
        lines = [f"{case.case} {case.image_sha256} {case.lesion_voxels}\n" for case in self.cases]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


class CentreRecord(TypedDict):
    """The cases of one centre, in numbers."""

    centre: str
    cases: int
    subjects: int
    chronic: int
    acute: int
    median_ml: float | None
    """Median lesion volume [ml]; None without a mask."""
    median_components: float | None
    """Median number of lesions; None without a mask."""
    axes: str
    """Axis codes that occur, separated by `/`, as are the spacings."""
    spacing_mm: str
    p99: list[float] | None
    """Lowest and highest 99th percentile of the images; None if no image can be read."""
    with_faults: int


class CohortRecord(TypedDict):
    """The record of a checked cohort."""

    format: str
    layout: Layout
    sha256: str
    notes: list[str]
    sheets: list[str]
    counts: dict[str, int]
    faults: dict[str, int]
    """Number of cases with each fault, by its code."""
    centres: list[CentreRecord]
    cases: list[dict[str, object]]
    """The fields of each `CheckedCase`."""


def check_cohort(
    cohort: Cohort, *, jobs: int = 1, done: Callable[[CheckedCase], None] = lambda _: None
) -> CheckedCohort:
    """Examine every case, then look for duplicate images and subjects.

    Args:
        cohort: from `find_cohort`.
        jobs: number of processes.
        done: called after each case, in order.

    Returns:
        The examined cases, in the order of the entries.
    """
    cases = []
    for case in each(examine, cohort.entries, jobs=jobs):
        cases.append(case)
        done(case)
    return CheckedCohort(layout=cohort.layout, cases=_twins(cases), notes=cohort.notes, sheets=cohort.sheets)


def _twins(cases: list[CheckedCase]) -> tuple[CheckedCase, ...]:
    """Flag cases that share an image or show nearly the same head: copies, or a subject entered twice."""
    same: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        if case.image_sha256:
            same[case.image_sha256].append(case.case)
    near: dict[str, dict[str, float]] = defaultdict(dict)
    for a, b, correlation in find_alike([case.signature for case in cases]):
        first, second = cases[a], cases[b]
        if first.subject != second.subject and first.image_sha256 != second.image_sha256:
            near[first.case][second.case] = near[second.case][first.case] = correlation
    flagged = []
    for case in cases:
        others = [name for name in same.get(case.image_sha256, []) if name != case.case]
        faults = list(case.faults)
        if others:
            faults.append(
                Flag("identical-image", f"the image is voxel for voxel that of {', '.join(others[:3])}", "error")
            )
        if like := near.get(case.case):
            closest = sorted(like, key=lambda name: (-like[name], name))[:3]
            text = f"the image shows nearly the same head as {', '.join(closest)} (correlation {like[closest[0]]:.2f})"
            faults.append(Flag("near-identical-image", f"{text}; perhaps one person under two names", "warning"))
        flagged.append(replace(case, faults=tuple(faults), alike=tuple(sorted(like or ())), signature=b""))
    return tuple(flagged)


def to_record(checked: CheckedCohort) -> CohortRecord:
    """Return the whole report as plain data: per case, per centre and per fault."""
    return {
        "format": _FORMAT,
        "layout": checked.layout,
        "sha256": checked.sha256,
        "notes": list(checked.notes),
        "sheets": list(checked.sheets),
        "counts": {
            "cases": len(checked.cases),
            "usable": len(checked.usable),
            "subjects": len({case.subject for case in checked.cases}),
            "centres": len({case.centre for case in checked.cases}),
            "empty_masks": sum(case.lesion_voxels == 0 for case in checked.cases),
        },
        "faults": dict(sorted(Counter(fault.code for case in checked.cases for fault in case.faults).items())),
        "centres": [
            _centre(name, [c for c in checked.cases if c.centre == name])
            for name in sorted({c.centre for c in checked.cases})
        ],
        "cases": [
            {key: value for key, value in asdict(case).items() if key not in ("places", "signature")}
            | {"places": case.places.hex()}
            for case in checked.cases
        ],
    }


def from_record(tree: Any, *, name: str) -> CheckedCohort:
    """Read back what `to_record` wrote.

    Raises:
        BadData: the tree is not such a record, or its hash does not match.
    """
    from insula.errors import BadData

    try:
        if tree["format"] != _FORMAT:
            raise KeyError(tree["format"])
        cases = tuple(
            CheckedCase(
                **{
                    **case,
                    "places": bytes.fromhex(case["places"]),
                    "shape": tuple(case["shape"]),
                    "alike": tuple(case["alike"]),
                    "spacing_mm": tuple(case["spacing_mm"]),
                    "faults": tuple(Flag(**fault) for fault in case["faults"]),
                }
            )
            for case in tree["cases"]
        )
        checked = CheckedCohort(
            layout=tree["layout"], cases=cases, notes=tuple(tree["notes"]), sheets=tuple(tree.get("sheets", ()))
        )
        if checked.sha256 != tree["sha256"]:
            raise KeyError("sha256")
    except (KeyError, TypeError, ValueError) as error:
        raise BadData(
            "the cohort's record", name, f"is not what `insula cohort check` wrote ({error})", "run it again"
        ) from None
    return checked


def _centre(name: str, cases: list[CheckedCase]) -> CentreRecord:
    volumes = [case.lesion_ml for case in cases if case.lesion_ml is not None]
    pieces = [case.components for case in cases if case.components is not None]
    return {
        "centre": name,
        "cases": len(cases),
        "subjects": len({case.subject for case in cases}),
        "chronic": sum(case.chronicity == "chronic" for case in cases),
        "acute": sum(case.chronicity == "acute" for case in cases),
        "median_ml": round(float(np.median(volumes)), 3) if volumes else None,
        "median_components": float(np.median(pieces)) if pieces else None,
        "axes": "/".join(sorted({case.axes for case in cases if case.axes})),
        "spacing_mm": "/".join(
            sorted({"x".join(f"{mm:g}" for mm in case.spacing_mm) for case in cases if case.spacing_mm})
        ),
        "p99": [round(min(highs), 2), round(max(highs), 2)]
        if (highs := [case.high for case in cases if case.high is not None])
        else None,
        "with_faults": sum(bool(case.faults) for case in cases),
    }
