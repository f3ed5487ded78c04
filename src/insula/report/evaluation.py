"""The page of an evaluation: one or several sets of predictions against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from insula.errors import InsulaError
from insula.evaluate import (
    HOPED,
    METRICS,
    CaseScore,
    Comparison,
    Pair,
    Preset,
    Row,
    coverage,
    curve,
    reliability,
    size_recall,
)
from insula.geometry import ras_grid, ras_map
from insula.io import read_mask, read_scan
from insula.predict.record import DISCLAIMER
from insula.report.chart import ACCENT, LESION, SOFT, chart, site_colours
from insula.report.page import template
from insula.report.pictures import Picture, frame_of, outline_of, picture

__all__ = ["Shown", "gallery", "render_evaluation"]

_EACH = 4
_FLOOR_ML = 0.01


class Shown:
    """A case of the gallery: its slice, the truth's outline and the prediction's."""

    def __init__(self, score: CaseScore, picture: Picture, truth: str) -> None:
        self.score, self.picture, self.truth = score, picture, truth


def gallery(scores: Sequence[CaseScore], pairs: Sequence[Pair]) -> dict[str, list[Shown]]:
    """Pictures of the best, the middle and the worst cases by Dice, and of the largest false alarms on controls."""
    files = {pair.case: pair for pair in pairs}
    ranked = sorted(
        (score for score in scores if score.truth_voxels), key=lambda s: (-(s.metrics["dice"] or 0.0), s.case)
    )
    alarms = sorted(
        (score for score in scores if not score.truth_voxels and score.predicted_ml), key=lambda s: -s.predicted_ml
    )
    middle = max(0, len(ranked) // 2 - _EACH // 2)
    chosen = {
        "Best": ranked[:_EACH],
        "Middle": ranked[middle : middle + _EACH] if len(ranked) >= 3 * _EACH else [],
        "Worst": ranked[_EACH:][-_EACH:],
        "False alarms on controls": alarms[:_EACH],
    }
    shown = {name: [one for score in some if (one := _show(score, files[score.case]))] for name, some in chosen.items()}
    return {name: some for name, some in shown.items() if some}


def render_evaluation(
    sets: Mapping[str, Sequence[CaseScore]],
    rows: Mapping[str, Sequence[Row]],
    comparisons: Sequence[Comparison],
    preset: Preset,
    pictures: Mapping[str, dict[str, list[Shown]]],
    *,
    hoped: float = HOPED,
) -> str:
    """The page as HTML.

    Args:
        sets: name of a prediction set -> its scores.
        rows: the same names -> their summaries.
        comparisons: between the sets; none for one set.
        preset: what was computed.
        pictures: the same names -> their galleries.
        hoped: the difference whose power the comparisons hold.
    """
    parts = []
    for name, scores in sets.items():
        reliable = reliability(scores)
        parts.append(
            {
                "name": name,
                "scores": scores,
                "rows": rows[name],
                "recall": size_recall(scores),
                "charts": [(title, svg) for title, svg in _charts(scores) if svg],
                "gallery": pictures.get(name, {}),
                "reliability": reliable,
                "coverage": coverage(scores),
            }
        )
    return template("evaluation.html").render(
        parts=parts,
        comparisons=comparisons,
        preset=preset,
        metrics=METRICS,
        notice=DISCLAIMER,
        headline=_headline(preset, rows),
        number=_number,
        basis=_basis(rows),
        hoped=hoped,
    )


def _headline(preset: Preset, rows: Mapping[str, Sequence[Row]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """For each group of cases one line for each metric, with one cell for each set."""
    every = {(row.group, row.metric, name): row for name, some in rows.items() for row in some if row.stratum == "all"}
    out = []
    for group in dict.fromkeys(group for group, _, _ in every):
        keys = [key for key in preset.metrics if any((group, key, name) in every for name in rows)]
        lines = [{"metric": METRICS[key], "cells": [every.get((group, key, name)) for name in rows]} for key in keys]
        out.append((group, lines))
    return out


def _basis(rows: Mapping[str, Sequence[Row]]) -> str:
    """Why some intervals are missing, if some are."""
    means = [row.mean for some in rows.values() for row in some if row.stratum == "all" and row.mean is not None]
    if any(mean.centre_values for mean in means):
        return "Two or three centres are too few for an interval: their own means stand in brackets."
    if any(mean.low is None for mean in means):
        return "Under five cases there is no interval."
    return (
        "All cases are of one centre: the intervals are of this centre only."
        if any(mean.centres == 1 for mean in means)
        else ""
    )


def _number(value: float) -> str:
    """Three digits after the point, fewer where the number is large."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def _charts(scores: Sequence[CaseScore]) -> list[tuple[str, str]]:
    lesions = [score for score in scores if score.truth_voxels]
    return [
        ("Dice against lesion volume, one colour a centre", _dice_by_volume(lesions)),
        ("Predicted against true volume", _volumes(scores)),
        ("Bland-Altman of volume: mean and 95 % limits", _bland_altman(scores)),
        ("Lesions found, by size", _recall(scores)),
        ("Dice by centre", _centres(lesions)),
        ("Precision and recall over all voxels", _curve(scores)),
        ("Reliability of the probabilities", _reliability(scores)),
    ]


def _dice_by_volume(scores: Sequence[CaseScore]) -> str:
    colours = site_colours(sorted({score.centre for score in scores}))
    with chart() as made:
        for centre, colour in colours.items():
            mine = [score for score in scores if score.centre == centre]
            made.axes.scatter(
                [s.truth_ml for s in mine],
                [s.metrics["dice"] or 0.0 for s in mine],
                s=16,
                color=colour,
                alpha=0.85,
                linewidths=0,
            )
        made.axes.set_xscale("log")
        made.axes.set_ylim(-0.03, 1.03)
        made.axes.set_xlabel("true volume [ml]")
        made.axes.set_ylabel("Dice")
    return made.svg


def _volumes(scores: Sequence[CaseScore]) -> str:
    true, found = (np.maximum([getattr(s, key) for s in scores], _FLOOR_ML) for key in ("truth_ml", "predicted_ml"))
    with chart() as made:
        made.axes.plot([_FLOOR_ML, 1000], [_FLOOR_ML, 1000], color=SOFT, lw=1)
        made.axes.scatter(true, found, s=16, color=ACCENT, alpha=0.8, linewidths=0)
        made.axes.set_xscale("log")
        made.axes.set_yscale("log")
        made.axes.set_xlabel("true volume [ml] (0 is drawn at 0.01)")
        made.axes.set_ylabel("predicted volume [ml]")
    return made.svg


def _bland_altman(scores: Sequence[CaseScore]) -> str:
    true, found = (np.array([getattr(s, key) for s in scores]) for key in ("truth_ml", "predicted_ml"))
    gap = found - true
    middle, spread = float(gap.mean()), 1.96 * float(gap.std(ddof=1)) if len(gap) > 1 else 0.0
    with chart() as made:
        made.axes.scatter((true + found) / 2, gap, s=16, color=ACCENT, alpha=0.8, linewidths=0)
        for level, colour in ((middle, LESION), (middle - spread, SOFT), (middle + spread, SOFT)):
            made.axes.axhline(level, color=colour, lw=1)
        made.axes.set_xlabel("mean of both volumes [ml]")
        made.axes.set_ylabel("predicted - true [ml]")
        made.axes.set_title(f"{middle:+.1f} ml, limits {middle - spread:+.1f} to {middle + spread:+.1f}")
    return made.svg


def _recall(scores: Sequence[CaseScore]) -> str:
    rows = size_recall(scores)
    places = np.arange(len(rows))
    with chart() as made:
        for shift, key, colour, label in (
            (-0.2, "recall_any", ACCENT, "any overlap"),
            (0.2, "recall_iou25", LESION, "IoU ≥ 0.25"),
        ):
            made.axes.bar(places + shift, [row[key] or 0 for row in rows], width=0.38, color=colour, label=label)
        made.axes.set_xticks(places)
        made.axes.set_xticklabels([f"{row['bin']}\nn = {row['lesions']}" for row in rows])
        made.axes.set_ylim(0, 1.03)
        made.axes.set_xlabel("voxels of the true lesion")
        made.axes.set_ylabel("recall")
        made.axes.legend(loc="upper left")
    return made.svg


def _centres(scores: Sequence[CaseScore]) -> str:
    names = sorted({score.centre for score in scores})
    if not names:
        return ""
    with chart(width=max(4.6, 0.3 * len(names))) as made:
        made.axes.boxplot(
            [[s.metrics["dice"] or 0.0 for s in scores if s.centre == name] for name in names],
            widths=0.6,
            medianprops={"color": LESION},
            boxprops={"color": SOFT},
            whiskerprops={"color": SOFT},
            capprops={"color": SOFT},
            flierprops={"markersize": 3, "markeredgecolor": SOFT},
        )
        made.axes.set_xticks(range(1, len(names) + 1))
        made.axes.set_xticklabels(names, rotation=60 if len(names) > 6 else 0)
        made.axes.set_ylim(-0.03, 1.03)
        made.axes.set_ylabel("Dice")
    return made.svg


def _curve(scores: Sequence[CaseScore]) -> str:
    points = curve(scores)
    if points is None:
        return ""
    with chart() as made:
        made.axes.plot(*points, color=ACCENT, lw=1.6)
        made.axes.set_xlim(-0.02, 1.02)
        made.axes.set_ylim(-0.02, 1.02)
        made.axes.set_xlabel("recall")
        made.axes.set_ylabel("precision")
    return made.svg


def _reliability(scores: Sequence[CaseScore]) -> str:
    found = reliability(scores)
    if found is None:
        return ""
    with chart() as made:
        made.axes.plot([0, 1], [0, 1], color=SOFT, lw=1)
        made.axes.plot(found.said, found.true, color=ACCENT, marker="o", ms=4)
        made.axes.set_xlabel("probability said")
        made.axes.set_ylabel("share that is lesion")
        made.axes.set_title(f"expected calibration error {found.error:.3f}")
    return made.svg


def _show(score: CaseScore, pair: Pair) -> Shown | None:
    if pair.image is None:
        return None
    try:
        scan = read_scan(pair.image)
        truth = read_mask(pair.truth, label=pair.label).onto(scan.grid, what=f"the mask of {pair.case}")
        found = read_mask(pair.mask).onto(scan.grid, what=f"the mask of {pair.case}")
    except InsulaError:
        return None
    axes, grid = ras_map(scan.grid), ras_grid(scan.grid)
    image, one, two = (np.ascontiguousarray(axes.apply(v)) for v in (scan.image, truth.voxels, found.voxels))
    frame = frame_of(image, two, grid.spacing_mm)
    index = int((one if one.any() else two).sum((0, 1)).argmax())
    return Shown(score, picture(frame, "axial", index), outline_of(frame, "axial", index, one))
