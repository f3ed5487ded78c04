"""The table of all cases of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["results_table"]

_COLUMNS = ("case", "outcome", "volume_ml", "lesion_count", "brain_volume_ml", "lesion_share", "warnings", "message")


def results_table(records: Sequence[dict[str, Any]]) -> str:
    """Return the results table as tab-separated text: a header, then one row for each record, done or refused.

    Args:
        records: the cases' JSON records, in the order of the rows.
    """
    rows = ["\t".join(_COLUMNS)]
    for record in records:
        done, brain = record["outcome"] == "done", record.get("brain") or {}
        cells = (
            record["case"],
            record["outcome"],
            record["volume_ml"] if done else "n/a",
            record["lesion_count"] if done else "n/a",
            *("" if brain.get(key) is None else brain[key] for key in ("volume_ml", "lesion_share")),
            ",".join(flag["code"] for flag in record["flags"] if flag["severity"] == "warning") if done else "n/a",
            (record["reason"] or "") if done else record["error"]["message"],
        )
        rows.append("\t".join(" ".join(str(cell).split()) for cell in cells))
    return "\n".join(rows) + "\n"
