"""Overview page of all cases of a run."""

from __future__ import annotations

from collections.abc import Sequence

from insula.predict.record import DISCLAIMER, CaseRecord
from insula.report.page import template

__all__ = ["render_index"]


def render_index(records: Sequence[CaseRecord], *, note: str = "") -> str:
    """Render a table of all cases, including refused ones, with links to their pages.

    Args:
        records: from `to_record` and `refusal`, in the order of the run.
        note: a sentence about skipped files.
    """
    done = [record for record in records if record["outcome"] == "done"]
    return template("index.html").render(
        records=records, done=done, refused=len(records) - len(done), notice=DISCLAIMER, note=note
    )
