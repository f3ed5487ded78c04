"""Segment many scans into one folder, one after the other; a scan that fails is recorded as refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from insula.checkpoint import Weights, load_weights
from insula.config import SegmentConfig
from insula.errors import BadData, InsulaError, as_insula_error
from insula.infer import choose_device
from insula.io import OutputFolder, printable
from insula.io.dicom import scan_name
from insula.io.participants import first_few
from insula.predict import (
    CaseRecord,
    Kept,
    inputs_sha256,
    kept_result,
    open_scan,
    result_paths,
    segment,
    set_corrected_aside,
    write_refusal,
)
from insula.report import write_case
from insula.study.claims import Claims
from insula.study.layout import FlatResults
from insula.study.overview import Overview, earlier_records

__all__ = ["CaseOutcome", "StudyPlan", "run_study"]


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """The scans of a study, and how to segment them."""

    files: list[Path]
    names: list[str]
    """The preferred name of each file's result; changed if another scan's result has it."""
    config: SegmentConfig
    weights: list[str]
    """The name of the weights for each file."""
    frame: int | None = None
    """The volume to segment in 4-D files, from 0."""
    series: int | None = None
    """The SeriesNumber to segment of DICOM inputs."""
    assume_orientation: str | None = None
    """Axis codes for files that do not state their orientation, e.g. LPS."""
    given: dict[Path, str] = field(default_factory=dict)
    """File -> the name that the user gives its case, whatever the scan calls itself."""
    passed_over: dict[str, list[Path]] = field(default_factory=dict)
    """Reason -> files in the given folders that are not segmented."""
    twins: dict[Path, Path] = field(default_factory=dict)
    """File -> another file of the same name beside it; such files are refused."""
    again: bool = False
    """Segment all scans again, also those whose result an earlier run has left."""
    notes: tuple[str, ...] = ()
    """Notes on anything else that is not segmented, in sentences."""
    wording: Callable[[InsulaError], InsulaError] = lambda error: error
    """Rewords a refusal for its record, so that it names parameters as the caller's users know them."""
    debug: bool = False
    """End the run at an unexpected exception, to show its traceback."""

    @property
    def note(self) -> str:
        """Summary of the files that are not segmented; empty if there are none."""
        count = sum(map(len, self.passed_over.values()))
        notes = "; ".join(self.notes) + ("." if self.notes else "")
        if not count:
            return notes
        parts = []
        for reason, paths in self.passed_over.items():
            names = first_few([printable(path.name) for path in paths])
            parts.append(f"{len(paths)} {reason} ({names})")
        total = count + len(self.files)
        return f"{count} of {total} files passed over: {'; '.join(parts)}. Name a file to segment it. {notes}".strip()


class CaseOutcome(NamedTuple):
    """The outcome of one case."""

    name: str
    """The case's name in the plan; the name of its result is `record["case"]`."""
    record: CaseRecord
    error: InsulaError | None
    """Why the case was refused; None if it was segmented."""
    kept: Kept | None = None
    """Why an earlier result was kept: nothing it depends on changed, or somebody edited or corrected its mask."""
    set_aside: Path | None = None
    """Where a corrected mask is now that was replaced."""


def run_study(plan: StudyPlan, out: Path) -> Iterator[CaseOutcome]:
    """Segment every file of a plan into a folder; the tables and the index are of all cases in the folder.

    A scan is not segmented again if an earlier run did so with the same weights and settings; a scan that was refused
    is tried again. A mask that was changed since it was written is a correction: it is kept, or with `plan.again`
    renamed. Tables and index are written after every case, so that a run that ends early has them.

    The folder, the weights and the device are checked before the first case. If the output cannot be written (a full
    disk), the run stops; every case recorded as done is complete.

    Args:
        plan: the scans, and how to segment them.
        out: the results' folder; created if missing, locked while the iterator runs.

    Yields:
        The outcome of each case, as soon as it is finished.

    Raises:
        InsulaError: a problem that affects all cases.
    """
    choose_device(plan.config.device)
    with OutputFolder(out) as folder:
        claims = Claims(folder)
        loaded = {name: load_weights(name) for name in dict.fromkeys(plan.weights)}
        overview = Overview(folder, earlier_records(FlatResults(folder)), note=plan.note)
        for path, name, weights in zip(plan.files, plan.names, plan.weights, strict=True):
            outcome = _run_case(plan, path, name, loaded[weights], folder, claims)
            overview.add(outcome.record)
            overview.write()
            yield outcome


def _name_of(plan: StudyPlan, path: Path) -> str | None:
    """Return the name of the result that a scan has or would have."""
    return plan.given.get(path) or scan_name(path, series=plan.series)


def _run_case(plan: StudyPlan, path: Path, name: str, weights: Weights, folder: Path, claims: Claims) -> CaseOutcome:
    claimed = ""
    try:
        if path in plan.twins:
            rule = f"lies beside {plan.twins[path].name}, and it is unclear which is meant"
            raise BadData("the scan", path.name, rule, "keep one of them, or name its file")
        scan, source = open_scan(
            path,
            name=name,
            frame=plan.frame,
            series=plan.series,
            assume_orientation=plan.assume_orientation,
            assume_t1w=plan.config.assume_t1w,
        )
        scan = replace(scan, name=plan.given.get(path, scan.name))
        claimed = claims.for_result(scan.name, scan.file.sha256 if scan.file else "", path)
        scan = replace(scan, name=claimed)
        paths = result_paths(folder, claimed)
        if not plan.again and (kept := kept_result(paths.record, inputs_sha256(scan, plan.config, weights))):
            return CaseOutcome(name, kept[0], None, kept[1])
        result = segment(scan, plan.config, weights=weights)
    except Exception as error:
        if plan.debug:
            raise
        known = plan.wording(as_insula_error(error))
        claimed = claimed or claims.for_refusal(name, path, partial(_name_of, plan, path))
        paths = result_paths(folder, claimed)
        aside = set_corrected_aside(paths.record)
        return CaseOutcome(name, write_refusal(known, claimed, paths), known, set_aside=aside)
    aside = set_corrected_aside(paths.record)
    try:
        return CaseOutcome(name, write_case(result, paths, source=source), None, set_aside=aside)
    except BadData as error:  # any other error has nothing to do with this scan, and would end every later case too
        known = plan.wording(error)
        return CaseOutcome(name, write_refusal(known, claimed, paths), known, set_aside=aside)
