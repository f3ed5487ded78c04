"""Shows the progress of a run: lines on the terminal, and a page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from insula.config import Recipe
    from insula.train.loop import Progress
    from insula.volume import Case, Mask

__all__ = ["Follower", "write_folds"]

_EVERY_S = 300.0


class Follower:
    """Callback that shows every report of a run and keeps its page up to date.

    `training.html` is written at every validation, every five minutes and at the end. If TensorBoard is installed
    (`insula[train]`), the figures also go to the folder `tensorboard`.

    Args:
        folder: the folder of the run.
        recipe: the recipe that is trained.
        trained_on: description of the training data.
        show: called with every report, to print it.
    """

    def __init__(self, folder: Path, recipe: Recipe, trained_on: str, show: Callable[[Progress], None]) -> None:
        self._folder, self._recipe, self._trained_on, self._show = folder, recipe, trained_on, show
        self._written = time.monotonic()
        self._samples: tuple[tuple[Case, Mask], ...] = ()
        self._board = _open_board(folder)

    def __call__(self, progress: Progress) -> None:
        self._show(progress)
        if self._board is not None:
            for name, value in _figures(progress).items():
                self._board.add_scalar(name, value, progress.step)
        if progress.validation is not None:
            self._samples = progress.validation.samples
        due = time.monotonic() - self._written > _EVERY_S
        if due or progress.validation is not None or progress.step == progress.steps:
            self._write()
            self._written = time.monotonic()
            if self._board is not None:
                self._board.flush()

    def _write(self) -> None:
        from insula.io import write_bytes
        from insula.report import read_log, render_training

        train, recipe = self._recipe.train, self._recipe
        about = {
            "model": recipe.model.kind,
            "trained on": self._trained_on,
            "steps": f"{train.steps} of {train.batch} items, {' x '.join(map(str, train.crop))} voxels each",
            "whole volumes": f"{train.whole_fraction:.0%} of the steps" if train.whole_fraction else "no",
            "losses": " + ".join(f"{weight:g} {name}" for weight, name in train.losses),
            "learning rate": f"{train.lr:g}, AdamW, weight decay {train.weight_decay:g}",
            "seed": str(train.seed),
        }
        page = render_training(read_log(self._folder), name=recipe.name, about=about, samples=self._samples)
        write_bytes(self._folder / "training.html", page.encode(errors="replace"))


def _open_board(folder: Path) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def _figures(progress: Progress) -> dict[str, float]:
    """Return the figures for TensorBoard, by their names there."""
    figures = {
        "train/loss": progress.loss,
        "train/learning rate": progress.lr,
        "train/gradient norm": progress.gradient_norm,
        "machine/voxels per second": progress.voxels_per_second,
        "machine/memory [GiB]": progress.memory_gib,
    }
    if (validation := progress.validation) is not None:
        figures |= {"other cases/Dice": validation.dice, "other cases/lesion F1": validation.f1}
    return figures


def write_folds(out: Path, name: str) -> Path:
    """Write the overview of all folds that have begun, stored in `out` as fold0, fold1, ...; return its path."""
    from insula.io import write_bytes
    from insula.report import read_log, render_folds

    folders = sorted(out.glob("fold*"), key=lambda path: (len(path.name), path.name))
    logs = {folder.name: read_log(folder) for folder in folders if (folder / "log.jsonl").exists()}
    path = out / "index.html"
    write_bytes(
        path, render_folds({folder: log for folder, log in logs.items() if log}, name=name).encode(errors="replace")
    )
    return path
