"""Training report of a run, and the overview of all folds of a cross-validation."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict

from insula.metrics import dice_score
from insula.predict.record import DISCLAIMER
from insula.report.chart import ACCENT, LESION, SOFT, chart
from insula.report.page import template
from insula.report.pictures import Picture, frame_of, picture
from insula.volume import Case, Mask

__all__ = ["Figures", "LogLine", "current_lines", "read_log", "render_folds", "render_training"]

_POINTS = 120  # per curve; values in between are averaged


class Figures(TypedDict):
    """Those figures of a logged validation that the pages show."""

    dice: float
    """Mean Dice of the cases with a lesion."""
    low: float | None
    """Lower end of its 95 % interval; None if no valid interval exists."""
    high: float | None
    f1: float
    """Mean lesion F1 of the same cases."""
    cases: int


class LogLine(TypedDict):
    """What the pages show of a line of `log.jsonl`."""

    step: int
    steps: int
    """Number of steps of the whole run."""
    loss: float | None
    """None if it was not finite, like the gradient's norm."""
    lr: float
    gradient_norm: float | None
    seconds: float
    """Training time so far [s]."""
    validation: Figures | None
    """None for a step without a validation."""


def read_log(folder: Path) -> list[LogLine]:
    """Read the lines of a run's `log.jsonl`, skipping any that a killed run left incomplete."""
    lines = []
    for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def current_lines(log: Sequence[LogLine]) -> list[LogLine]:
    """Return a log without the lines of steps that were later repeated after a rewind."""
    lines: list[LogLine] = []
    for line in log:
        while lines and lines[-1]["step"] >= line["step"]:
            lines.pop()
        lines.append(line)
    return lines


def render_training(
    log: Sequence[LogLine], *, name: str, about: dict[str, str], samples: Sequence[tuple[Case, Mask]] = ()
) -> str:
    """Render a self-contained page: curves of loss, Dice, learning rate and gradient, and the latest masks.

    Args:
        log: lines of `log.jsonl`, at least one; steps that were repeated after a rewind are left out.
        name: name of the run.
        about: facts to show, name -> text.
        samples: whole cases of the last validation in RAS+ order, and their predicted masks.
    """
    lines = current_lines(log)
    last, exams = lines[-1], _exams(lines)
    return template("training.html").render(
        name=name,
        about=about,
        notice=DISCLAIMER,
        last=last,
        left_minutes=_left(last),
        exam=exams[-1][0] if exams else None,
        best=max(exams, key=lambda exam: exam[1]["dice"])[0] if exams else None,
        loss=_curve(lines, "loss", "loss", LESION),
        dice=_dice(exams) if exams else "",
        rate=_curve(lines, "lr", "learning rate", SOFT),
        norm=_curve(lines, "gradient_norm", "gradient norm", SOFT),
        samples=[_sample(case, mask) for case, mask in samples],
    )


def render_folds(folds: Mapping[str, Sequence[LogLine]], *, name: str) -> str:
    """Render a page with the progress of every fold, and the mean over folds.

    Args:
        folds: folder -> lines of its log, at least one each.
        name: name of the recipe.
    """
    rows, scored = [], []
    for folder, log in folds.items():
        exams = _exams(log)
        rows.append({"folder": folder, "last": log[-1], "exam": exams[-1][1] if exams else None})
        scored += [figures["dice"] for _, figures in exams[-1:]]
    return template("folds.html").render(
        name=name, notice=DISCLAIMER, rows=rows, mean=statistics.mean(scored) if scored else None, count=len(scored)
    )


def _exams(lines: Sequence[LogLine]) -> list[tuple[LogLine, Figures]]:
    """Return the lines with a validation, each with its figures."""
    return [(line, line["validation"]) for line in lines if line["validation"] is not None]


def _left(last: LogLine) -> float:
    """Return the remaining minutes at the average pace so far."""
    return last["seconds"] / last["step"] * (last["steps"] - last["step"]) / 60


def _curve(lines: Sequence[LogLine], key: Literal["loss", "lr", "gradient_norm"], label: str, colour: str) -> str:
    points = [(line["step"], value) for line in lines if (value := line[key]) is not None]
    width = max(1, len(points) // _POINTS)
    groups = [points[n : n + width] for n in range(0, len(points), width)]
    with chart(height=2.4) as drawing:
        x, y = ([statistics.mean(p[n] for p in group) for group in groups] for n in (0, 1))
        drawing.axes.plot(x, y, color=colour, lw=1.5, marker="o" if len(x) < 3 else None, ms=3)
        drawing.axes.set_xlabel("step")
        drawing.axes.set_ylabel(label)
    return drawing.svg


def _dice(exams: Sequence[tuple[LogLine, Figures]]) -> str:
    steps, validations = [line["step"] for line, _ in exams], [figures for _, figures in exams]
    with chart(height=2.4) as drawing:
        dice = [v["dice"] for v in validations]
        below = [0 if v["low"] is None else abs(v["dice"] - v["low"]) for v in validations]
        above = [0 if v["high"] is None else abs(v["dice"] - v["high"]) for v in validations]
        drawing.axes.errorbar(steps, dice, yerr=[below, above], color=ACCENT, marker="o", ms=3, capsize=2, label="Dice")
        drawing.axes.plot(
            steps, [v["f1"] for v in validations], color=LESION, marker="o", ms=3, ls="--", label="lesion F1"
        )
        drawing.axes.set_xlabel("step")
        drawing.axes.set_ylim(0, 1.02)
        drawing.axes.legend(fontsize=7)
    return drawing.svg


def _sample(case: Case, mask: Mask) -> tuple[str, float, Picture]:
    """Return the name, the Dice, and the axial slice with the most true lesion, with the outlines of both masks."""
    truth = case.truth.voxels
    frame = frame_of(case.scan.image, mask.voxels, case.scan.grid.spacing_mm)
    drawn = picture(frame, "axial", int(truth.sum((0, 1)).argmax()), truth=truth)
    return case.scan.name, dice_score(truth, mask.voxels), drawn
