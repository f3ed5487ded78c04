"""Review of a study: merge the verdicts of its raters, and count on what they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from insula.errors import BadData
from insula.io.cells import cell_text
from insula.predict import CaseRecord
from insula.report import OUTDATED, Review, case_verdict, reviews_by_case
from insula.stats import Agreement, cohen_kappa
from insula.study.layout import no_results, results_in
from insula.study.overview import earlier_records, write_overview
from insula.study.review_table import REVIEW_TABLE, merge_reviews, read_reviews, reviews_of, write_reviews

__all__ = ["StudyReview", "add_reviews", "agreements", "review_study", "summarize_reviews"]


@dataclass(frozen=True, kw_only=True)
class StudyReview:
    """How far the review of a study is."""

    cases: int
    """Number of segmented cases."""
    verdicts: dict[str, int]
    """Verdict -> number of cases with it; the latest one counts, and only one on the present mask."""
    outdated: int
    """Number of cases with verdicts on an earlier mask only."""
    raters: dict[str, int]
    """Rater -> number of cases that the rater judged."""
    agreements: dict[tuple[str, str], Agreement]
    """The agreement of each pair of raters."""
    unknown: tuple[str, ...]
    """Cases of the table that are not in the folder, sorted."""

    @property
    def reviewed(self) -> int:
        """Number of segmented cases whose present mask somebody judged."""
        return sum(self.verdicts.values())


def review_study(folder: Path, tables: Sequence[Path] = ()) -> StudyReview:
    """Merge tables of verdicts into a folder's `review.tsv`, and write its tables and index anew.

    All tables are read before anything is written. A newer verdict of the same rater on the same case replaces the
    older one.

    Args:
        folder: of the results, also a BIDS derivative; locked meanwhile.
        tables: exported tables of one or more raters.

    Raises:
        NoInput: the folder holds no results, or a table is missing.
        BadData: a table, or the folder's own, is malformed, or a table is of another study.
        InsulaError: a file cannot be written.
    """
    if not folder.is_dir():
        raise no_results(folder)
    results = results_in(folder)
    with results.lock(), results.lock_tables():
        records = earlier_records(results)
        if not records:
            raise no_results(folder)
        cases = set(map(cell_text, records))
        own = folder / REVIEW_TABLE
        groups = [read_reviews(own)] if own.exists() else []
        for path in tables:
            reviews = read_reviews(path)
            if reviews and not any(review.case in cases for review in reviews):
                rule = "holds no verdict on a case of this folder"
                raise BadData("the table of verdicts", path.name, rule, "give a table that its index exported")
            groups.append(reviews)
        merged = merge_reviews(*groups)
        if groups:
            write_reviews(folder, merged)
        write_overview(folder, records)
    return summarize_reviews(records, merged)


def add_reviews(folder: Path, reviews: Sequence[Review]) -> list[Review]:
    """Merge verdicts into a folder's `review.tsv`; tables and index are left to the caller.

    A newer entry without verdict and note withdraws what the rater said about the case.

    Args:
        folder: of the results; locked by the caller.
        reviews: the verdicts, in any order.

    Returns:
        All verdicts of the folder.

    Raises:
        BadData: the folder's own table is malformed; it stays as it is.
        InsulaError: a file cannot be read or written.
    """
    merged = merge_reviews(reviews_of(folder), reviews)
    kept = [review for review in merged if review.verdict or review.note]
    write_reviews(folder, kept)
    return kept


def summarize_reviews(records: Mapping[str, CaseRecord], reviews: Sequence[Review]) -> StudyReview:
    """Return how far the review of a study is.

    Args:
        records: of all cases, by name.
        reviews: the verdicts of all raters, one for each rater and case.
    """
    done = [record for record in records.values() if record["outcome"] == "done"]
    by_case = reviews_by_case(reviews)
    verdicts = [case_verdict(record, by_case) for record in done]
    return StudyReview(
        cases=len(done),
        verdicts=dict(Counter(verdict.verdict for verdict in verdicts if verdict.reviewed)),
        outdated=sum(verdict.verdict == OUTDATED for verdict in verdicts),
        raters=dict(Counter(rater for verdict in verdicts for rater in verdict.raters)),
        agreements=agreements(reviews),
        unknown=tuple(sorted({review.case for review in reviews} - set(map(cell_text, records)))),
    )


def agreements(reviews: Sequence[Review]) -> dict[tuple[str, str], Agreement]:
    """Return Cohen's kappa of each pair of raters over the cases that both judged, on the same mask.

    Args:
        reviews: one for each rater and case; those without a verdict do not count.

    Returns:
        The agreement of each pair, sorted by name; empty for fewer than two raters.
    """
    by_rater: dict[str, dict[tuple[str, str], str]] = {}
    for review in reviews:
        if review.verdict:
            by_rater.setdefault(review.rater, {})[review.case, review.mask_sha256] = review.verdict
    result = {}
    for first, second in combinations(sorted(by_rater), 2):
        ours, theirs = by_rater[first], by_rater[second]
        common = sorted(ours.keys() & theirs.keys())
        result[first, second] = cohen_kappa([ours[key] for key in common], [theirs[key] for key in common])
    return result
