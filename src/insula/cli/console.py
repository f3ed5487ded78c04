"""Output on the terminal: progress bars for a person, plain lines for a log, and tables for both."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from insula.cli.flags import with_flags

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn

    from insula.train.loop import Progress as Report
    from insula.train.validate import Validation

__all__ = ["bar", "plain_progress", "table", "tell", "training", "warn"]

_LOG_WIDTH = 160


@contextmanager
def training(title: str) -> Iterator[Callable[[Report], None]]:
    """Yield a function that shows a run's reports: as a bar on a terminal, as plain lines in a file."""
    if not (sys.stderr.isatty() and sys.stdout.isatty()):
        yield plain_progress
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("to go"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[now]}"),
    ]
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600) as shown:
        task, best = shown.add_task(title, total=None, now=""), ""

        def show(progress: Report) -> None:
            nonlocal best
            if progress.validation is not None:
                best = f"  Dice {progress.validation.dice:.3f}"
                shown.console.print(f"step {progress.step}: {_scores(progress.validation)}", highlight=False)
            shown.update(task, total=progress.steps, completed=progress.step, now=_figures(progress) + best)

        yield show


def plain_progress(progress: Report) -> None:
    """Print a line every hundred steps, and one for each validation."""
    if progress.step % 100 == 1 or progress.step == progress.steps or progress.validation is not None:
        left = progress.seconds / progress.step * (progress.steps - progress.step) / 60
        took = f"{progress.seconds / 60:.1f} min, {left:.1f} to go"
        print(f"step {progress.step:6d}/{progress.steps}  {_figures(progress)}  {took}", flush=True)
    if progress.validation is not None:
        print(f"  {_scores(progress.validation)}", flush=True)


def _figures(progress: Report) -> str:
    memory = f"  {progress.memory_gib:.1f} GiB" if progress.memory_gib else ""
    pace = f"{progress.voxels_per_second / 1e6:.1f} Mvoxel/s"
    return f"loss {progress.loss:.4f}  lr {progress.lr:.2e}  {pace}{memory}"


def _scores(validation: Validation) -> str:
    interval = (
        "" if validation.low is None or validation.high is None else f" [{validation.low:.3f}, {validation.high:.3f}]"
    )
    cases = "1 other case" if validation.cases == 1 else f"{validation.cases} other cases"
    controls = "" if validation.empty is None else f", {validation.empty:.0%} of the controls empty"
    return (
        f"{cases}: Dice {validation.dice:.3f}{interval} ({validation.basis}), lesion F1 {validation.f1:.3f}{controls}"
    )


@contextmanager
def bar(total: int, what: str = "segmenting") -> Iterator[Bar | None]:
    """Yield a progress bar on a terminal; None when the output goes to a file."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns: list[ProgressColumn] = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        progress.add_task(what, total=total)
        yield progress


def warn(text: str) -> None:
    """Print one line on stderr, with parameter names in backticks replaced by flags."""
    print(f"insula: {with_flags(text)}", file=sys.stderr)


def tell(sheets: Sequence[str], notes: Sequence[str]) -> None:
    """Print one line for each sheet that was read of a cohort, and for each note on oddities and files passed over."""
    for line in sheets:
        print(f"  sheet: {with_flags(line)}")
    for line in notes:
        print(f"  note: {with_flags(line)}")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns: text to the left, numbers to the right, a dash for None."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(head):
        numbers = all(isinstance(row[place], int | float | None) for row in rows)
        grid.add_column(Text(name), justify="right" if numbers else "left")
    for row in rows:
        grid.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else _LOG_WIDTH).print(grid)
