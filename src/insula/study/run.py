"""Segment many scans into one folder, one after the other; a scan that fails is recorded as refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from insula.checkpoint import Weights, load_weights
from insula.config import SegmentConfig
from insula.errors import BadData, InsulaError, Interrupted, as_insula_error
from insula.infer import choose_device
from insula.io import OutputFolder, printable, write_text
from insula.predict import open_scan, result_paths, segment, write_refusal
from insula.report import render_index, write_case
from insula.study.claims import Claims
from insula.study.table import results_table

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
    passed_over: dict[str, list[Path]] = field(default_factory=dict)
    """Reason -> files in the given folders that are not segmented."""
    twins: dict[Path, Path] = field(default_factory=dict)
    """File -> another file of the same name beside it; such files are refused."""
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
            names = ", ".join(printable(path.name) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
            parts.append(f"{len(paths)} {reason} ({names})")
        total = count + len(self.files)
        return f"{count} of {total} files passed over: {'; '.join(parts)}. Name a file to segment it. {notes}".strip()


class CaseOutcome(NamedTuple):
    """The outcome of one case."""

    name: str
    """The case's name in the plan; the name of its result is `record["case"]`."""
    record: dict[str, Any]
    error: InsulaError | None
    """Why the case was refused; None if it was segmented."""


def run_study(plan: StudyPlan, out: Path) -> Iterator[CaseOutcome]:
    """Segment every file of a plan into a folder, then write the table and the index.

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
        records = []
        for path, name, weights in zip(plan.files, plan.names, plan.weights, strict=True):
            outcome = _run_case(plan, path, name, loaded[weights], folder, claims)
            records.append(outcome.record)
            yield outcome
        write_text(folder / "results.tsv", results_table(records))
        write_text(folder / "index.html", render_index(records, note=plan.note))


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
        claimed = claims.for_result(scan.name, scan.file.sha256 if scan.file else "", path)
        scan = replace(scan, name=claimed)
        paths = result_paths(folder, claimed)
        result = segment(scan, plan.config, weights=weights)
    except Interrupted:
        raise
    except Exception as error:
        if plan.debug:
            raise
        known = plan.wording(as_insula_error(error))
        claimed = claimed or claims.for_refusal(name, path)
        return CaseOutcome(name, write_refusal(known, claimed, result_paths(folder, claimed)), known)
    try:
        return CaseOutcome(name, write_case(result, paths, source=source), None)
    except BadData as error:  # any other error has nothing to do with this scan, and would end every later case too
        known = plan.wording(error)
        return CaseOutcome(name, write_refusal(known, claimed, paths), known)
