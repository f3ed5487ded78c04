"""Evaluation report: one or several sets of predictions compared with the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from insula.errors import InsulaError
from insula.evaluate import (
    HOPED,
    METRICS,
    CaseScore,
    Comparison,
    Pair,
    Preset,
    ScoreRow,
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
from insula.report.pictures import Picture, frame_of, picture

__all__ = ["Gallery", "gallery", "render_evaluation"]

_EACH = 4
_FLOOR_ML = 0.01


Gallery = dict[str, list[tuple[CaseScore, Picture]]]
"""Title of a group -> its cases, each with a slice that shows the outlines of prediction and truth."""


def gallery(scores: Sequence[CaseScore], pairs: Sequence[Pair]) -> Gallery:
    """Return pictures of the best, middle and worst cases by Dice, and of the largest false positives on controls."""
    files = {pair.entry.case: pair for pair in pairs}
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
    shown = {
        name: [(score, drawn) for score in members if (drawn := _draw(files[score.case]))]
        for name, members in chosen.items()
    }
    return {name: examples for name, examples in shown.items() if examples}


def render_evaluation(
    sets: Mapping[str, Sequence[CaseScore]],
    rows: Mapping[str, Sequence[ScoreRow]],
    comparisons: Sequence[Comparison],
    preset: Preset,
    pictures: Mapping[str, Gallery],
    *,
    hoped: float = HOPED,
    notes: Sequence[str] = (),
) -> str:
    """Render the report as HTML.

    Args:
        sets: name of a prediction set -> its scores.
        rows: name -> summary rows.
        comparisons: comparisons between the sets; empty for one set.
        preset: the preset of metrics that was computed.
        pictures: name -> gallery.
        hoped: relevant difference for which the comparisons give the power.
        notes: what the reader has to know of the evaluation as a whole, e.g. masks that were passed over.
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
                "flagged": sorted((score for score in scores if score.flags), key=_by_severity),
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
        notes=notes,
    )


def _by_severity(score: CaseScore) -> tuple[bool, str]:
    """Return a key that sorts cases with a warning before those with notes only."""
    return all(flag.severity == "note" for flag in score.flags), score.case


def _headline(preset: Preset, rows: Mapping[str, Sequence[ScoreRow]]) -> list[tuple[str, list[dict[str, object]]]]:
    """Return, for each group of cases, one line per metric with one cell per set."""
    every = {
        (row.group, row.metric, name): row
        for name, set_rows in rows.items()
        for row in set_rows
        if row.stratum == "all"
    }
    out = []
    for group in dict.fromkeys(group for group, _, _ in every):
        keys = [key for key in preset.metrics if any((group, key, name) in every for name in rows)]
        lines: list[dict[str, object]] = [
            {"metric": METRICS[key], "cells": [every.get((group, key, name)) for name in rows]} for key in keys
        ]
        out.append((group, lines))
    return out


def _basis(rows: Mapping[str, Sequence[ScoreRow]]) -> str:
    """Return why some intervals are missing or limited; empty if none are."""
    means = [
        row.mean for set_rows in rows.values() for row in set_rows if row.stratum == "all" and row.mean is not None
    ]
    if any(mean.centre_values for mean in means):
        return "Two or three centres are too few for an interval; the means of the centres are given in brackets."
    if any(mean.low is None for mean in means):
        return "No interval is given for fewer than five cases."
    return (
        "All cases are from one centre, so the intervals hold for this centre only."
        if any(mean.centres == 1 for mean in means)
        else ""
    )


def _number(value: float) -> str:
    """Format a number with three decimals, or fewer if it is large."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def _charts(scores: Sequence[CaseScore]) -> list[tuple[str, str]]:
    lesions = [score for score in scores if score.truth_voxels]
    return [
        ("Dice against lesion volume, coloured by centre", _dice_by_volume(lesions)),
        ("Predicted against true volume", _volumes(scores)),
        ("Bland-Altman plot of volume: mean and 95 % limits of agreement", _bland_altman(scores)),
        ("Lesion recall by size", _recall(scores)),
        ("Dice by centre", _centres(lesions)),
        ("Precision against recall over all voxels", _curve(scores)),
        ("Reliability of the probabilities", _reliability(scores)),
    ]


def _dice_by_volume(scores: Sequence[CaseScore]) -> str:
    colours = site_colours(sorted({score.centre for score in scores}))
    with chart() as drawing:
        for centre, colour in colours.items():
            members = [score for score in scores if score.centre == centre]
            drawing.axes.scatter(
                [s.truth_ml for s in members],
                [s.metrics["dice"] or 0.0 for s in members],
                s=16,
                color=colour,
                alpha=0.85,
                linewidths=0,
            )
        drawing.axes.set_xscale("log")
        drawing.axes.set_ylim(-0.03, 1.03)
        drawing.axes.set_xlabel("true volume [ml]")
        drawing.axes.set_ylabel("Dice")
    return drawing.svg


def _volumes(scores: Sequence[CaseScore]) -> str:
    true, predicted = (np.maximum([getattr(s, key) for s in scores], _FLOOR_ML) for key in ("truth_ml", "predicted_ml"))
    with chart() as drawing:
        drawing.axes.plot([_FLOOR_ML, 1000], [_FLOOR_ML, 1000], color=SOFT, lw=1)
        drawing.axes.scatter(true, predicted, s=16, color=ACCENT, alpha=0.8, linewidths=0)
        drawing.axes.set_xscale("log")
        drawing.axes.set_yscale("log")
        drawing.axes.set_xlabel("true volume [ml] (0 is shown at 0.01)")
        drawing.axes.set_ylabel("predicted volume [ml]")
    return drawing.svg


def _bland_altman(scores: Sequence[CaseScore]) -> str:
    true, predicted = (np.array([getattr(s, key) for s in scores]) for key in ("truth_ml", "predicted_ml"))
    gap = predicted - true
    middle, spread = float(gap.mean()), 1.96 * float(gap.std(ddof=1)) if len(gap) > 1 else 0.0
    with chart() as drawing:
        drawing.axes.scatter((true + predicted) / 2, gap, s=16, color=ACCENT, alpha=0.8, linewidths=0)
        for level, colour in ((middle, LESION), (middle - spread, SOFT), (middle + spread, SOFT)):
            drawing.axes.axhline(level, color=colour, lw=1)
        drawing.axes.set_xlabel("mean of both volumes [ml]")
        drawing.axes.set_ylabel("predicted - true [ml]")
        drawing.axes.set_title(f"{middle:+.1f} ml, limits {middle - spread:+.1f} to {middle + spread:+.1f}")
    return drawing.svg


def _recall(scores: Sequence[CaseScore]) -> str:
    rows = size_recall(scores)
    places = np.arange(len(rows))
    with chart() as drawing:
        for shift, recalls, colour, label in (
            (-0.2, [row["recall_any"] or 0 for row in rows], ACCENT, "any overlap"),
            (0.2, [row["recall_iou25"] or 0 for row in rows], LESION, "IoU ≥ 0.25"),
        ):
            drawing.axes.bar(places + shift, recalls, width=0.38, color=colour, label=label)
        drawing.axes.set_xticks(places)
        drawing.axes.set_xticklabels([f"{row['bin']}\nn = {row['lesions']}" for row in rows])
        drawing.axes.set_ylim(0, 1.03)
        drawing.axes.set_xlabel("voxels of the true lesion")
        drawing.axes.set_ylabel("recall")
        drawing.axes.legend(loc="upper left")
    return drawing.svg


def _centres(scores: Sequence[CaseScore]) -> str:
    names = sorted({score.centre for score in scores})
    if not names:
        return ""
    with chart(width=max(4.6, 0.3 * len(names))) as drawing:
        drawing.axes.boxplot(
            [[s.metrics["dice"] or 0.0 for s in scores if s.centre == name] for name in names],
            widths=0.6,
            medianprops={"color": LESION},
            boxprops={"color": SOFT},
            whiskerprops={"color": SOFT},
            capprops={"color": SOFT},
            flierprops={"markersize": 3, "markeredgecolor": SOFT},
        )
        drawing.axes.set_xticks(range(1, len(names) + 1))
        drawing.axes.set_xticklabels(names, rotation=60 if len(names) > 6 else 0)
        drawing.axes.set_ylim(-0.03, 1.03)
        drawing.axes.set_ylabel("Dice")
    return drawing.svg


def _curve(scores: Sequence[CaseScore]) -> str:
    points = curve(scores)
    if points is None:
        return ""
    with chart() as drawing:
        drawing.axes.plot(*points, color=ACCENT, lw=1.6)
        drawing.axes.set_xlim(-0.02, 1.02)
        drawing.axes.set_ylim(-0.02, 1.02)
        drawing.axes.set_xlabel("recall")
        drawing.axes.set_ylabel("precision")
    return drawing.svg


def _reliability(scores: Sequence[CaseScore]) -> str:
    reliable = reliability(scores)
    if reliable is None:
        return ""
    with chart() as drawing:
        drawing.axes.plot([0, 1], [0, 1], color=SOFT, lw=1)
        drawing.axes.plot(reliable.predicted, reliable.true, color=ACCENT, marker="o", ms=4)
        drawing.axes.set_xlabel("predicted probability")
        drawing.axes.set_ylabel("fraction that is lesion")
        drawing.axes.set_title(f"expected calibration error {reliable.error:.3f}")
    return drawing.svg


def _draw(pair: Pair) -> Picture | None:
    entry = pair.entry
    if not entry.images:
        return None
    try:
        scan = read_scan(entry.images[0])
        truth = read_mask(entry.mask, label=entry.label).onto(scan.grid, what=f"the mask of {entry.case}")
        predicted = read_mask(pair.mask).onto(scan.grid, what=f"the mask of {entry.case}")
    except InsulaError:
        return None
    axes, grid = ras_map(scan.grid), ras_grid(scan.grid)
    image = np.ascontiguousarray(axes.apply(scan.image))
    true_voxels, predicted_voxels = (np.ascontiguousarray(axes.apply(mask.voxels)) for mask in (truth, predicted))
    frame = frame_of(image, predicted_voxels, grid.spacing_mm)
    index = int((true_voxels if true_voxels.any() else predicted_voxels).sum((0, 1)).argmax())
    return picture(frame, "axial", index, truth=true_voxels)
