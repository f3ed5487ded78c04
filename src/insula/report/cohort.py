"""Cohort report: contents, distributions and suspicious cases."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from insula.cohort import CheckedCase, CheckedCohort, Entry
from insula.cohort.check import CohortRecord
from insula.cohort.examination import MAP_MM, MAP_SHAPE
from insula.errors import InsulaError
from insula.geometry import ras_grid, ras_map
from insula.io import read_mask, read_scan
from insula.predict.record import DISCLAIMER
from insula.report.chart import ACCENT, LESION, chart
from insula.report.page import template
from insula.report.pictures import Picture, frame_of, picture

__all__ = ["Suspect", "render_cohort", "suspects"]

_MOST_SUSPECTS = 24
_MAP_SLICES = 8


Suspect = tuple[CheckedCase, Picture | None]
"""A case that someone should inspect, and its slice with the most lesion; None if the image cannot be read."""


def suspects(checked: CheckedCohort, entries: Sequence[Entry]) -> list[Suspect]:
    """Return the cases with faults and their pictures, errors first, at most 24."""
    files = {entry.case: entry for entry in entries}
    faulty = [case for case in checked.cases if case.faults]
    faulty.sort(key=lambda case: all(fault.severity == "warning" for fault in case.faults))
    return [(case, _draw(files[case.case])) for case in faulty[:_MOST_SUSPECTS]]


def render_cohort(checked: CheckedCohort, record: CohortRecord, suspicious: Sequence[Suspect]) -> str:
    """Render the report as HTML.

    Args:
        checked: the cohort.
        record: its JSON record.
        suspicious: from `suspects`.
    """
    return template("cohort.html").render(
        checked=checked,
        record=record,
        suspects=suspicious,
        notice=DISCLAIMER,
        volumes=_volumes(checked),
        days=_days(checked),
        frequency=_frequency(checked),
        faulty=[case for case in checked.cases if case.faults],
    )


def _volumes(checked: CheckedCohort) -> str:
    values = [case.lesion_ml for case in checked.cases if case.lesion_ml]
    with chart() as drawing:
        if values:
            low, high = np.log10(max(min(values), 1e-3)), np.log10(max(values))
            drawing.axes.hist(values, bins=np.logspace(low, max(high, low + 0.1), 25).tolist(), color=ACCENT)
            drawing.axes.set_xscale("log")
        drawing.axes.set_xlabel("lesion volume [ml]")
        drawing.axes.set_ylabel("cases")
    return drawing.svg


def _days(checked: CheckedCohort) -> str:
    values = [case.days for case in checked.cases if case.days]
    with chart() as drawing:
        if values:
            drawing.axes.hist(values, bins=np.logspace(0, max(np.log10(max(values)), 1), 25).tolist(), color=ACCENT)
            drawing.axes.axvline(180, color=LESION, lw=1)
            drawing.axes.set_xscale("log")
        drawing.axes.set_xlabel("days after the stroke (line: 180)")
        drawing.axes.set_ylabel("cases")
    return drawing.svg


def _frequency(checked: CheckedCohort) -> str:
    """Draw axial slices of the head box, coloured by the share of cases with a lesion there."""
    total, counted = np.zeros(MAP_SHAPE, np.int32), 0
    for case in checked.cases:
        if case.places:
            total += np.unpackbits(np.frombuffer(case.places, np.uint8), count=total.size).reshape(MAP_SHAPE)
            counted += 1
    levels = np.linspace(6, MAP_SHAPE[2] - 8, _MAP_SLICES).round().astype(int)
    row = np.concatenate([total[::-1, ::-1, k].T for k in levels], axis=1)
    with chart(width=9.6, height=1.9) as drawing:
        shown = drawing.axes.imshow(100 * row / max(counted, 1), cmap="inferno", interpolation="nearest")
        drawing.axes.grid(visible=False)
        drawing.axes.set_xticks([(n + 0.5) * MAP_SHAPE[0] for n in range(_MAP_SLICES)])
        drawing.axes.set_xticklabels([f"{(k - (MAP_SHAPE[2] - 1) / 2) * MAP_MM:+.0f} mm" for k in levels])
        drawing.axes.set_yticks([])
        bar = drawing.axes.figure.colorbar(shown, ax=drawing.axes, fraction=0.02, pad=0.01)
        bar.set_label("% of cases")
    return drawing.svg


def _draw(entry: Entry) -> Picture | None:
    if not entry.images:
        return None
    try:
        scan = read_scan(entry.images[0])
        axes, grid = ras_map(scan.grid), ras_grid(scan.grid)
        image = np.ascontiguousarray(axes.apply(scan.image))
        mask = np.zeros(image.shape, bool)
        if entry.masks:
            lesion = read_mask(entry.masks[0], label=entry.label)
            with suppress(InsulaError):  # a mask on another grid is reported; the scan is shown without it
                mask = np.ascontiguousarray(axes.apply(lesion.onto(scan.grid, what=f"the mask of {entry.case}").voxels))
        frame = frame_of(image, mask, grid.spacing_mm)
        return picture(frame, "axial", int(mask.sum((0, 1)).argmax()) if mask.any() else image.shape[2] // 2)
    except InsulaError:
        return None
