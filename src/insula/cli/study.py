"""Run a study on the terminal: print a line for each case and return the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from insula.cli.console import bar, warn
from insula.cli.exits import code_of_cases
from insula.io import printable

if TYPE_CHECKING:
    from insula.predict import ResultRecord
    from insula.study import StudyPlan

__all__ = ["print_study"]

_KEPT = {
    None: "",
    "unchanged": "  (unchanged)",
    "edited": "  (the mask was edited since and is kept; insula correct measures it, --again segments anew)",
    "corrected": "  (corrected by hand; kept; --again segments anew)",
}


def print_study(plan: StudyPlan, out: Path) -> int:
    """Run a study; print a line for each case as it is finished, then the path of the index page.

    Args:
        plan: the scans, and how to segment them.
        out: the results' folder.

    Returns:
        0 if every case was segmented; 1 if any of several cases was refused; the refusal's own code for a single case.
    """
    from rich.markup import escape

    from insula.study import run_study

    refused = []
    with bar(len(plan.files)) as progress:
        waiting = iter(plan.names)

        def announce() -> None:
            if progress is not None:
                progress.update(progress.task_ids[0], description=escape(printable(next(waiting, ""))[:40]))

        announce()
        for outcome in run_study(plan, out):
            record = outcome.record
            case = record["case"]
            if case != outcome.name and not case.startswith("dicom-"):
                warn(f"{printable(outcome.name)} is called {printable(case)}: the name was already taken")
            if record["outcome"] == "done":
                print(_line(record) + _KEPT[outcome.kept], flush=True)
            elif outcome.error is not None:
                refused.append(outcome.error)
                warn(f"{printable(case)}: {outcome.error}")
            if outcome.set_aside is not None:
                warn(f"{printable(case)}: the corrected mask is now {printable(outcome.set_aside.name)}")
            if progress is not None:
                progress.advance(progress.task_ids[0])
            announce()
    if plan.note:
        warn(f"{plan.note}")
    print(out / "index.html")
    return code_of_cases(refused, len(plan.files))


def _line(record: ResultRecord) -> str:
    """Return the line for a case that was segmented."""
    count = record["lesion_count"]
    lesions = (
        f"{record['volume_ml']:.2f} ml in {count} lesion{'' if count == 1 else 's'}" if count else record["reason"]
    )
    warnings = sum(flag["severity"] == "warning" for flag in record["flags"])
    warning_count = f"  ({warnings} warning{'' if warnings == 1 else 's'})" if warnings else ""
    return f"{printable(record['case'])}: {lesions}{warning_count}"
