"""The page over all cases of a run."""

from __future__ import annotations

from typing import Any

from insula.predict.record import DISCLAIMER
from insula.report.page import template

__all__ = ["render_index"]


def render_index(records: list[dict[str, Any]], *, note: str = "") -> str:
    """A table of all cases, refused ones included, each linking to its page.

    Args:
        records: as `to_record` and `refusal` make them, in the order of the run.
        note: a sentence on what was passed over.
    """
    done = [record for record in records if record["outcome"] == "done"]
    return template("index.html").render(
        records=records, done=done, refused=len(records) - len(done), notice=DISCLAIMER, note=note
    )
