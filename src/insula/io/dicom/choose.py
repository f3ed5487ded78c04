"""Which series is the T1w scan: by rule, with the others listed, never two merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from insula.errors import BadData, UsageError
from insula.io.dicom.evidence import evidence, has_agent, unfit
from insula.io.dicom.slices import Slice
from insula.io.dicom.volumes import Volume, volumes_of
from insula.types import Flag

__all__ = ["Choice", "choose_series"]

_MOST_LISTED = 12
_AGENT_POINTS = (
    3  # as many as a name that says something else loses: any plain T1w series goes before one with an agent
)


@dataclass(frozen=True)
class Choice:
    """The volume that was taken."""

    slices: tuple[Slice, ...]
    flags: tuple[Flag, ...]


def choose_series(slices: Iterable[Slice], *, number: int | None = None) -> Choice:
    """The T1w volume among all that were found.

    A series can hold several volumes (echoes, repetitions, magnitude and phase): `volumes_of` tells them apart. Passed over are what is
    not MR, localisers, projections, maps, phase images, single inversions of an MP2RAGE, and volumes of fewer than 20 images. Of the
    others each gets points for attributes, timings and names that speak of T1w, and loses some for what speaks against it, a contrast
    agent among them (`evidence`). The most points win, then the most images, then the lowest number, then the first echo or acquisition.

    Args:
        slices: of all files.
        number: SeriesNumber of the one to take; then only that one is looked at.

    Returns:
        Its slices, in no order, and flags that say why it was taken and list what was passed over.

    Raises:
        BadData: nothing is left, nothing speaks of T1w among several, or the scans are of several patients.
        UsageError: no series has the number, or several have.
    """
    series: dict[str, list[Slice]] = {}
    for one in slices:
        series.setdefault(one.series, []).append(one)
    if number is not None:
        found = [some for some in series.values() if some[0].series_number == number]
        if len(found) != 1:
            rule = "is of none" if not found else f"is of {len(found)} series"
            remedy = "name the folder of one of them" if found else f"there are {_listed(series.values())}"
            raise UsageError("--series", number, rule, remedy)
        series = {"": found[0]}
    fit: list[Volume] = []
    passed: list[str] = []
    for some in series.values():
        for volume in volumes_of(some):
            reason = unfit(volume.slices, asked=number is not None)
            (passed.append(f"{_name(volume)}: {reason}") if reason else fit.append(volume))
    if not fit and number is not None:
        raise BadData("series", ", ".join(passed[:4]), "cannot be the scan", "take another")
    if not fit:
        listed = "; ".join(sorted(passed)[:8])
        remedy = "give the T1w series, or name it with --series if it is among them"
        raise BadData("the DICOM files", f"({listed})", "hold no MR series of a head", remedy)
    if len({volume.slices[0].patient for volume in fit}) > 1:
        rule = "are of several patients"
        raise BadData("the DICOM files", f"of {len(fit)} series", rule, "give one patient's at a time")
    ranked = sorted(fit, key=lambda one: (-_points(one), -len(one.slices), one.slices[0].series_number or 0))
    if not _is_told(ranked[0]) and number is None and len({volume.slices[0].series for volume in fit}) > 1:
        rule = "hold no series that its header, name or timings tell to be T1w"
        raise BadData("the DICOM files", "", rule, f"choose with --series: {', '.join(sorted(map(_name, fit)))}")
    return Choice(ranked[0].slices, tuple(_flags(ranked, passed, len(series), asked=number is not None)))


def _flags(ranked: list[Volume], passed: list[str], count: int, *, asked: bool) -> Iterator[Flag]:
    best = ranked[0]
    first = best.slices[0]
    if not _is_told(best) and not asked:
        text = "Neither header, name nor timings of the series say that it is T1-weighted."
        yield Flag("not-told-to-be-t1w", text)
    if has_agent(first):
        yield Flag("contrast-agent", "The series was made with a contrast agent, which the weights never saw.")
    if "DERIVED" in first.kind:
        yield Flag("derived", "The series was computed from others, as uniform images and reformats are.", "note")
    if best.strays:
        text = (
            f"{best.strays} of the series' images lie in another direction, as planning slices do, and were left out."
        )
        yield Flag("strays-left-out", text)
    others = [*(f"{_name(volume)}: not chosen" for volume in ranked[1:]), *sorted(passed)]
    if others:
        reasons = [why for points, why in evidence(first) if points > 0]
        because = " because it was asked for" if asked else f" because {' and '.join(reasons)}" if reasons else ""
        more = " ..." if len(others) > _MOST_LISTED else ""
        text = f"{_name(best)} was taken{because}, of {count} series; {'; '.join(others[:_MOST_LISTED])}{more}."
        yield Flag("series-chosen", text[0].upper() + text[1:], "note")


def _points(volume: Volume) -> int:
    first = volume.slices[0]
    return sum(points for points, _ in evidence(first)) - _AGENT_POINTS * has_agent(first)


def _is_told(volume: Volume) -> bool:
    """Whether the series says that it is T1w, with an agent or without."""
    return sum(points for points, _ in evidence(volume.slices[0])) > 0


def _name(volume: Volume) -> str:
    number = volume.slices[0].series_number
    label = f", {volume.label}" if volume.label else ""
    return f"series {'without a number' if number is None else number} ({len(volume.slices)} images{label})"


def _listed(all_series: Iterable[Sequence[Slice]]) -> str:
    return ", ".join(sorted(_name(Volume(tuple(some))) for some in all_series))
