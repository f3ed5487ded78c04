"""What the terminal shows of long work: a bar for a person, plain lines for a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from insula.train.loop import Progress

__all__ = ["bar", "plain_progress"]


def plain_progress(progress: Progress) -> None:
    """One line per hundred steps."""
    if progress.step % 100 == 1 or progress.step == progress.steps:
        minutes = progress.seconds / 60
        print(
            f"step {progress.step:6d}/{progress.steps}  loss {progress.loss:.4f}  lr {progress.lr:.2e}  {minutes:.1f} min",
            flush=True,
        )


@contextmanager
def bar(total: int, what: str = "segmenting") -> Iterator[Bar | None]:
    """A rich progress bar on a terminal; None when the output goes to a file."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns: list[Any] = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        progress.add_task(what, total=total)
        yield progress
