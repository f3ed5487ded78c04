"""`insula review`: collect the verdicts of raters in a folder of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

if TYPE_CHECKING:
    from insula.stats import Agreement
    from insula.study import StudyReview

__all__ = ["review"]


def review(results: Positional[Path], tables: Positional[tuple[Path, ...]] = (), /, debug: bool = False) -> int:
    """Collect the verdicts of raters in a folder of results, and print the progress and their agreement.

    Judge the cases in index.html and export the verdicts there. The exported tables of all raters are merged into
    review.tsv; a newer verdict of the same rater on the same case replaces the older one. results.tsv and index.html
    are written anew with the verdicts. A verdict on a mask that has changed since counts as outdated.

    Args:
        results: Folder that insula segment or insula-bids wrote.
        tables: Tables that index.html exported; none to print the progress only.
        debug: Show a traceback on errors.
    """
    from insula.cli.console import warn
    from insula.io import printable
    from insula.io.participants import first_few
    from insula.study import review_study

    summary = review_study(results, tables)
    print(_progress(summary))
    for (first, second), agreement in summary.agreements.items():
        print(f"{printable(first)} and {printable(second)}: {_agreement(agreement)}")
    if summary.unknown:
        names = first_few([printable(case) for case in summary.unknown])
        warn(f"cases with verdicts that are not in the folder: {len(summary.unknown)} ({names})")
    print(results / "index.html")
    return 0


def _progress(summary: StudyReview) -> str:
    from insula.io import printable
    from insula.report import VERDICTS

    line = f"{summary.reviewed} of {summary.cases} cases reviewed"
    counts = [f"{summary.verdicts[verdict]} {verdict}" for verdict in VERDICTS if verdict in summary.verdicts]
    raters = [f"{printable(rater)} {count}" for rater, count in sorted(summary.raters.items())]
    if summary.outdated:
        counts.append(f"{summary.outdated} outdated")
    line += f": {', '.join(counts)}" if counts else ""
    return f"{line} (by {', '.join(raters)})" if raters else line


def _agreement(agreement: Agreement) -> str:
    if agreement.observed is None:
        return "no case in common"
    count = "1 case" if agreement.n == 1 else f"{agreement.n} cases"
    kappa = "undefined (one verdict throughout)" if agreement.kappa is None else f"{agreement.kappa:.2f}"
    return f"{count} in common, raw agreement {agreement.observed:.2f}, Cohen's kappa {kappa}"
