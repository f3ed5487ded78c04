"""Training report of a run, and the overview of all folds of a cross-validation."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from insula.predict.record import DISCLAIMER
from insula.report.chart import ACCENT, LESION, SOFT, chart
from insula.report.page import template
from insula.report.pictures import Picture, frame_of, outline_of, picture
from insula.train.validate import Sample

__all__ = ["current_lines", "read_log", "render_folds", "render_training"]

_POINTS = 120  # per curve; values in between are averaged


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Read the lines of a run's `log.jsonl`, skipping any that a killed run left incomplete."""
    lines = []
    for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def current_lines(log: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a log without the lines of steps that were later repeated after a rewind."""
    lines: list[dict[str, Any]] = []
    for line in log:
        while lines and lines[-1]["step"] >= line["step"]:
            lines.pop()
        lines.append(line)
    return lines


def render_training(
    log: Sequence[dict[str, Any]], *, name: str, about: dict[str, str], samples: Sequence[Sample] = ()
) -> str:
    """Render a self-contained page: curves of loss, Dice, learning rate and gradient, and the latest masks.

    Args:
        log: lines of `log.jsonl`, at least one; steps that were repeated after a rewind are left out.
        name: name of the run.
        about: facts to show, name -> text.
        samples: whole cases of the last validation.
    """
    lines = current_lines(log)
    last, exams = lines[-1], [line for line in lines if line["validation"] is not None]
    return template("training.html").render(
        name=name,
        about=about,
        notice=DISCLAIMER,
        last=last,
        left_minutes=_left(last),
        exam=exams[-1] if exams else None,
        best=max(exams, key=lambda line: line["validation"]["dice"]) if exams else None,
        loss=_curve(lines, "loss", "loss", LESION),
        dice=_dice(exams) if exams else "",
        rate=_curve(lines, "lr", "learning rate", SOFT),
        norm=_curve(lines, "gradient_norm", "gradient norm", SOFT),
        samples=[(sample.case, sample.dice, *_sample(sample)) for sample in samples],
    )


def render_folds(folds: dict[str, Sequence[dict[str, Any]]], *, name: str) -> str:
    """Render a page with the progress of every fold, and the mean over folds.

    Args:
        folds: folder -> lines of its log, at least one each.
        name: name of the recipe.
    """
    rows: list[dict[str, Any]] = []
    for folder, log in folds.items():
        exams = [line["validation"] for line in log if line["validation"] is not None]
        rows.append({"folder": folder, "last": log[-1], "exam": exams[-1] if exams else None})
    scored = [row["exam"]["dice"] for row in rows if row["exam"] is not None]
    return template("folds.html").render(
        name=name, notice=DISCLAIMER, rows=rows, mean=statistics.mean(scored) if scored else None, count=len(scored)
    )


def _left(last: dict[str, Any]) -> float:
    """Return the remaining minutes at the average pace so far."""
    return last["seconds"] / last["step"] * (last["steps"] - last["step"]) / 60


def _curve(lines: Sequence[dict[str, Any]], key: str, label: str, colour: str) -> str:
    points = [(line["step"], line[key]) for line in lines if line[key] is not None]
    width = max(1, len(points) // _POINTS)
    groups = [points[n : n + width] for n in range(0, len(points), width)]
    with chart(height=2.4) as drawing:
        x, y = ([statistics.mean(p[n] for p in group) for group in groups] for n in (0, 1))
        drawing.axes.plot(x, y, color=colour, lw=1.5, marker="o" if len(x) < 3 else None, ms=3)
        drawing.axes.set_xlabel("step")
        drawing.axes.set_ylabel(label)
    return drawing.svg


def _dice(exams: Sequence[dict[str, Any]]) -> str:
    steps, validations = [line["step"] for line in exams], [line["validation"] for line in exams]
    with chart(height=2.4) as drawing:
        dice = [v["dice"] for v in validations]
        spread = [[0 if v["low"] is None else abs(v["dice"] - v[end]) for v in validations] for end in ("low", "high")]
        drawing.axes.errorbar(steps, dice, yerr=spread, color=ACCENT, marker="o", ms=3, capsize=2, label="Dice")
        drawing.axes.plot(
            steps, [v["f1"] for v in validations], color=LESION, marker="o", ms=3, ls="--", label="lesion F1"
        )
        drawing.axes.set_xlabel("step")
        drawing.axes.set_ylim(0, 1.02)
        drawing.axes.legend(fontsize=7)
    return drawing.svg


def _sample(sample: Sample) -> tuple[Picture, str]:
    """Return the axial slice with the most true lesion, showing the prediction, and the outline of the truth."""
    frame = frame_of(sample.image, sample.found, (sample.spacing_mm,) * 3)
    index = int(sample.truth.sum((0, 1)).argmax())
    return picture(frame, "axial", index), outline_of(frame, "axial", index, sample.truth)
