"""A study on the terminal: a line for each case, and the exit code of them all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insula.cli.console import bar
from insula.io import printable

if TYPE_CHECKING:
    from insula.study import StudyPlan

__all__ = ["print_study"]


def print_study(plan: StudyPlan, out: Path) -> int:
    """Run a study, print each case as it ends, then the index page.

    Args:
        plan: what to segment.
        out: the results' folder.

    Returns:
        0; 1 when some cases of several were refused; the refusal's own code when there was only one case.
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
            case = outcome.record["case"]
            if case != outcome.name and not case.startswith("dicom-"):
                print(
                    f"insula: {printable(outcome.name)} is called {printable(case)}: the name is taken", file=sys.stderr
                )
            if outcome.error is None:
                print(_line(outcome.record), flush=True)
            else:
                refused.append(outcome.error)
                print(f"insula: {printable(case)}: {outcome.error}", file=sys.stderr)
            if progress is not None:
                progress.advance(progress.task_ids[0])
            announce()
    if plan.note:
        print(f"insula: {plan.note}", file=sys.stderr)
    print(out / "index.html")
    if not refused:
        return 0
    return refused[0].code if len(plan.files) == 1 else 1


def _line(record: dict[str, Any]) -> str:
    """One case that was segmented."""
    count = record["lesion_count"]
    lesions = (
        f"{record['volume_ml']:.2f} ml in {count} lesion{'' if count == 1 else 's'}" if count else record["reason"]
    )
    warnings = sum(flag["severity"] == "warning" for flag in record["flags"])
    more = f"  ({warnings} warning{'' if warnings == 1 else 's'})" if warnings else ""
    return f"{printable(record['case'])}: {lesions}{more}"
