"""The folder of results that a service shows: its cases and files, and what raters write into it."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import numpy as np

from insula.errors import BadData, InsulaError, NoInput
from insula.io import FolderInUse, read_mask
from insula.io.cells import cell_text
from insula.predict import CaseRecord, ResultRecord
from insula.report import Review, mask_sha256_of, note_of, render_index
from insula.serve.sent import MaskChanged, check_sent, check_unchanged
from insula.serve.study.scans import StudyScans
from insula.serve.study.verdicts import add_sent
from insula.study import (
    REVIEW_TABLE,
    CorrectionOutcome,
    ScanSources,
    correct_case,
    is_measured,
    no_results,
    passed_over,
    results_in,
    reviews_or_problem,
    thumbnails_of,
    write_overview,
)

__all__ = ["StudyFolder"]

_log = logging.getLogger(__name__)
_TABLES = tuple(f"{name}.{ending}" for name in ("results", "lesions", "review") for ending in ("tsv", "json"))
_PATIENCE_S = 2.0  # another run holds the lock for longer: a request does not wait for it
_QUIET_S, _LATER_S = 2.0, 10.0


class StudyFolder:
    """A folder that `insula segment` or `insula-bids` wrote, read anew for every request, as it may grow meanwhile.

    Every change happens under the folder's lock, in a BIDS derivative under that of what is changed. It is held only
    for a moment, so that other commands can run in between. Tables and `index.html` follow a few seconds after the last
    change, and after a start, since the last one may have been killed in between.

    Args:
        path: the folder.
        scans: files, folders or patterns with the scans that were segmented; without them there are no corrections,
            except in a BIDS derivative whose dataset is where it was.
        views: a folder for scans in the form that viewers read; made when it is needed.

    Raises:
        NoInput: the folder holds no results, or a folder of scans holds none.
    """

    def __init__(self, path: Path, scans: Sequence[str] = (), *, views: Path) -> None:
        if not path.is_dir():
            raise NoInput("`study`", path, "does not exist", "name the folder that segment or insula-bids wrote")
        self.path = path.resolve()
        self._results = results_in(self.path)
        self._scans = StudyScans(scans, views=views, expected=self._results.expected_scan)
        self._read: dict[Path, tuple[tuple[int, int], CaseRecord | None]] = {}
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = self._troubled = False
        if not self.records():
            raise no_results(path)
        self._refresh_later(_QUIET_S)

    def records(self) -> dict[str, CaseRecord]:
        """Returns the record of each case; only files that changed since the last call are read."""
        with self._reading:
            known, self._read = self._read, {}
            for path in self._results.records():
                try:
                    stamp = _stamp(path)
                except FileNotFoundError:  # a record is deleted before a new one is written
                    continue
                before = known.get(path)
                self._read[path] = before if before and before[0] == stamp else (stamp, self._results.record(path))
            return {record["case"]: record for _, record in self._read.values() if record is not None}

    def result(self, case: str) -> ResultRecord:
        """Returns the record of a segmented case.

        Raises:
            NoInput: the folder has no such case, or it was refused.
        """
        record = self.records().get(case)
        if record is None or record["outcome"] != "done" or "files" not in record:
            raise NoInput("the case", "", "is not a segmented case of this folder", "see the index of the study")
        return record

    def case(self, case: str) -> dict[str, object]:
        """Returns what an editor needs to know of a case; addresses are relative to the service's page.

        Raises:
            NoInput: as for `result`.
        """
        record = self.result(case)
        place = f"study/cases/{quote(case, safe='')}"
        files = {kind: f"study/files/{quote(name, safe='')}" for kind, name in record["files"].items()}
        return {
            "case": case,
            "scan": f"{place}/scan.nii.gz",
            "mask": files["mask"],
            "prob": files["prob"],
            "brain": files.get("brain"),
            "record": f"study/files/{quote(self._results.paths(case).record.name, safe='')}",
            "page": files["page"],
            "threshold": record["threshold"],
            "mask_sha256": mask_sha256_of(record),
            "save": f"{place}/mask",
        }

    def file(self, name: str) -> Path:
        """Returns the path of a file that belongs to a case, or of a table.

        Raises:
            NoInput: there is no such file, or it is a link.
        """
        paths = {table: self.path / table for table in _TABLES}
        for record in self.records().values():
            if record["outcome"] == "done" and "files" in record:
                paths |= {file: self._results.file(record, kind) for kind, file in record["files"].items()}
        with self._reading:
            paths |= {path.name: path for path, (_, record) in self._read.items() if record is not None}
        path = paths.get(name)
        if path is None or path.name != name or path.is_symlink() or not path.is_file():
            raise NoInput("the file", "", "does not belong to the folder of results", "see the index of the study")
        return path

    def view(self, case: str) -> Path:
        """Returns the path of a case's scan as NIfTI on its own grid, for viewing.

        Raises:
            NoInput: as for `result`, or the scan is not among the scans.
            InsulaError: the scan cannot be read, or its view not be written.
        """
        return self._scans.view(self.result(case))

    def index(self) -> str:
        """Returns the board of the present cases and verdicts, as a page that is served."""
        records = self.records()
        in_order = [records[case] for case in sorted(records)]
        reviews, problem = reviews_or_problem(self.path / REVIEW_TABLE)
        thumbnails = thumbnails_of(self.path, in_order)
        others = passed_over(self._results, records)
        note = " ".join(filter(None, (note_of(self.path / "index.html"), others and f"{others}.", problem)))
        return render_index(in_order, note=note, reviews=reviews, thumbnails=thumbnails, served=True)

    def state(self) -> str:
        """Returns a hash that changes with every record and verdict."""
        self.records()
        with self._reading:
            stamps = {str(path): stamp for path, (stamp, record) in self._read.items() if record is not None}
        table = self.path / REVIEW_TABLE
        facts = [*sorted(stamps.items()), _stamp(table) if table.exists() else ()]
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]

    def masks(self) -> dict[str, str]:
        """Returns the SHA-256 of each case's mask; empty for a refused case."""
        return {cell_text(case): mask_sha256_of(record) for case, record in self.records().items()}

    def reviews(self) -> list[Review]:
        """Returns the verdicts; none if their table cannot be read."""
        return reviews_or_problem(self.path / REVIEW_TABLE)[0]

    def judge(self, reviews: Sequence[Review]) -> list[Review]:
        """Merge verdicts into `review.tsv`; nobody's verdict replaces another rater's.

        Args:
            reviews: the verdicts; a time in the future counts as now.

        Returns:
            All verdicts of the folder.

        Raises:
            VerdictsDamaged: the folder's own table is malformed; nothing is written.
            BadData: a case does not exist; nothing is written.
            FolderInUse: another run writes the folder.
            InsulaError: the table cannot be written.
        """
        cases = set(map(cell_text, self.records()))
        if any(review.case not in cases for review in reviews):
            raise BadData("a verdict", "", "is on a case that this folder does not have", "load the index again")
        with self._lock():
            merged = add_sent(self.path, reviews)
            self._refresh_later(_QUIET_S)
        return merged

    def correct(self, case: str, mask: Path, *, before: str | None = None) -> CorrectionOutcome:
        """Make an edited mask the mask of a case, as `insula correct` does.

        A mask with the voxels of the present one changes nothing, whatever `before` is: who sends it again because the
        answer was lost learns that it is saved.

        Args:
            case: the case.
            mask: the edited mask.
            before: SHA-256 of the mask that was edited; None if it does not matter.

        Raises:
            NoInput: as for `view`, or an earlier version wrote the record, without hashes of the files.
            MaskChanged: the mask of the case is neither `before` nor the edited one.
            BadData: the mask is damaged or not on the scan's grid.
            FolderInUse: another run writes the folder.
            InsulaError: a file cannot be written.
        """

        def corrected(sources: ScanSources) -> CorrectionOutcome:
            outcome = correct_case(self._results, record, mask, sources)
            if outcome.error is not None:
                raise outcome.error
            return outcome

        self.result(case)
        with self._lock(case):
            record = self.result(case)
            check_sent(mask, record)
            try:
                check_unchanged(record, before)
            except MaskChanged:
                if not self._is_present(mask, record):
                    raise
            outcome = self._scans.search(case, corrected)
            if outcome.outcome == "corrected":
                self._refresh_later(_QUIET_S)
        return outcome

    def close(self) -> None:
        """Bring tables and index up to date if they are not."""
        with self._reading:
            timer, self._timer, self._closed = self._timer, None, True
        if timer is not None:
            timer.cancel()
            self._refresh()

    def _is_present(self, sent: Path, record: ResultRecord) -> bool:
        """Tell whether a mask has the voxels of the case's, whose file is as the record describes it."""
        path = self._results.file(record, "mask")
        if not is_measured(record, path):
            return False
        present = read_mask(path)
        return np.array_equal(read_mask(sent).onto(present.grid, what="the corrected mask").voxels, present.voxels)

    @contextmanager
    def _lock(self, case: str | None = None) -> Iterator[None]:
        """Lock what is changed: the files of a case; without one, verdicts, tables and index."""
        results, wait = self._results, _PATIENCE_S
        with self._writing, results.lock(wait), results.lock_case(case, wait) if case else results.lock_tables(wait):
            yield

    def _refresh_later(self, seconds: float) -> None:
        with self._reading:
            if self._timer is None and not self._closed:
                self._timer = threading.Timer(seconds, self._refresh)
                self._timer.daemon = True
                self._timer.start()

    def _refresh(self) -> None:
        """Write tables and index, or do so later: after a run that holds the folder, or when the disk has room."""
        with self._reading:
            self._timer = None
        try:
            with self._lock():
                write_overview(self.path, self.records())
            self._troubled = False
        except FolderInUse:
            self._refresh_later(_LATER_S)
        except InsulaError as error:
            if not self._troubled:
                _log.error("the tables of the study: %s; tried again until they are written", type(error).__name__)
            self._troubled = True
            self._refresh_later(_LATER_S)


def _stamp(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size
