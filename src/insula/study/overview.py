"""The tables and the index of a folder of results, kept up to date case by case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from insula.io import write_text
from insula.io.cells import cell_text
from insula.predict import CaseRecord
from insula.report import IndexRow, Review, index_row, join_index, note_of, reviews_by_case, thumbnail_of
from insula.study.layout import ResultsFolder
from insula.study.review_table import REVIEW_TABLE, reviews_or_problem
from insula.study.table import case_line, lesion_lines, write_columns, write_tables

__all__ = ["Overview", "earlier_records", "thumbnails_of", "write_overview"]

_INDEX = "index.html"


class _Parts(NamedTuple):
    """What the tables and the index have of a case, and what it was computed from."""

    record: CaseRecord
    reviews: Sequence[Review]
    case: str
    lesions: list[str]
    row: IndexRow


class Overview:
    """The tables and the index page of a folder of results.

    They are always of the whole folder. What has not changed since the last time is not computed again, so that the
    work for a further case hardly grows with the number of cases.

    Args:
        folder: of the results; locked by the caller when it writes.
        records: of the cases in the folder, by name.
        note: a sentence for the index; the one of the present index if not given.
    """

    def __init__(
        self, folder: Path, records: Mapping[str, CaseRecord] | None = None, *, note: str | None = None
    ) -> None:
        self._folder = folder
        self._records = dict(records or {})
        self._note = note_of(folder / _INDEX) if note is None else note
        self._parts: dict[str, _Parts] = {}
        self._files: dict[Path, tuple[tuple[int, ...], CaseRecord | None]] = {}
        self._described = False

    def add(self, record: CaseRecord) -> None:
        """Take in the record of a case; it replaces an earlier one of the same case.

        Args:
            record: not changed by the caller afterwards.
        """
        self._records[record["case"]] = record

    def read(self, results: ResultsFolder) -> int:
        """Take the records of a folder in place of all others; a file that is as it was is not read again.

        Args:
            results: the folder.

        Returns:
            The number of cases.
        """
        files = {}
        for path in results.records():
            with suppress(FileNotFoundError):  # another run is about to replace it
                facts = path.stat()
                stamp = facts.st_ino, facts.st_mtime_ns, facts.st_size
                known = self._files.get(path)
                files[path] = known if known is not None and known[0] == stamp else (stamp, results.record(path))
        self._files = files
        self._records = {record["case"]: record for _, record in files.values() if record is not None}
        return len(self._records)

    def write(self) -> None:
        """Write the tables and the index, with the verdicts of `review.tsv`.

        A `review.tsv` that cannot be read is left as it is, and the index says so.

        Raises:
            CannotCreate, NoPermission, IOFault: a file cannot be written.
        """
        reviews, problem = reviews_or_problem(self._folder / REVIEW_TABLE)
        by_case = reviews_by_case(reviews)
        parts = [self._part(self._records[case], by_case) for case in sorted(self._records)]
        if not self._described:
            write_columns(self._folder)
            self._described = True
        write_tables(self._folder, [part.case for part in parts], [line for part in parts for line in part.lesions])
        index = join_index([part.row for part in parts], note=self._note, problem=problem, reviews=reviews)
        write_text(self._folder / _INDEX, index)

    def _part(self, record: CaseRecord, by_case: Mapping[str, Sequence[Review]]) -> _Parts:
        case = record["case"]
        reviews = by_case.get(cell_text(case), ())
        known = self._parts.get(case)
        if known is None or known.record is not record or known.reviews != reviews:
            row = index_row(record, by_case, _thumbnail(self._folder, record))
            known = _Parts(record, reviews, case_line(record, by_case), lesion_lines(record), row)
            self._parts[case] = known
        return known


def earlier_records(results: ResultsFolder) -> dict[str, CaseRecord]:
    """Return the records of a folder by the name of their case."""
    records = [record for path in results.records() if (record := results.record(path)) is not None]
    return {record["case"]: record for record in records}


def write_overview(folder: Path, records: Mapping[str, CaseRecord], *, note: str | None = None) -> None:
    """Write the tables and the index page of a folder of results once, as `Overview` does.

    Args:
        folder: where to write; locked by the caller.
        records: of all cases, by name.
        note: a sentence for the index; the one of the present index if not given.
    """
    Overview(folder, records, note=note).write()


def thumbnails_of(folder: Path, records: Iterable[CaseRecord]) -> dict[str, str]:
    """Return the thumbnail of each segmented case, from its page, as a data address.

    Args:
        folder: of the pages.
        records: of the cases.
    """
    pictures = {record["case"]: _thumbnail(folder, record) for record in records}
    return {case: picture for case, picture in pictures.items() if picture}


def _thumbnail(folder: Path, record: CaseRecord) -> str:
    if record["outcome"] != "done" or "files" not in record:
        return ""
    return thumbnail_of(folder / record["files"]["page"])
