"""Choose the T1w series by rule; the others are listed, and two are never merged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from insula.errors import BadData, UsageError
from insula.io.dicom.evidence import evidence, has_agent, unfit
from insula.io.dicom.slices import Slice
from insula.io.dicom.volumes import Volume, volumes_of
from insula.io.naming import flags_by_sequence
from insula.types import Flag

__all__ = ["Choice", "choose_series"]

_MOST_LISTED = 12
# The same penalty as for a name that indicates another contrast: a plain T1w series precedes any with an agent.
_AGENT_POINTS = 3


@dataclass(frozen=True)
class Choice:
    """The chosen volume and the reasons for the choice."""

    slices: tuple[Slice, ...]
    flags: tuple[Flag, ...]


def choose_series(slices: Iterable[Slice], *, number: int | None = None) -> Choice:
    """Choose the T1w volume among the slices of an examination.

    A series can hold several volumes (echoes, repetitions, magnitude and phase); `volumes_of` separates them. Excluded
    are non-MR images, localisers, projections, maps, phase images, single inversions of an MP2RAGE, and volumes of
    fewer than 20 images. Each remaining volume gains points for attributes, timings and names that indicate T1w, and
    loses points for evidence against it, including a contrast agent (`evidence`). The highest score wins; ties go to
    the most images, then the lowest series number, then the first echo or acquisition.

    Args:
        slices: the slices of all files.
        number: SeriesNumber of the series to take; all other series are then ignored.

    Returns:
        The slices of the chosen volume, unordered, and flags that give the reason and list what was excluded.

    Raises:
        BadData: no volume is left, none of several indicates T1w, or the scans are of several patients.
        UsageError: no series has the number, or several have it.
    """
    series: dict[str, list[Slice]] = {}
    for slice_ in slices:
        series.setdefault(slice_.series, []).append(slice_)
    if number is not None:
        matches = [group for group in series.values() if group[0].series_number == number]
        if len(matches) != 1:
            rule = "matches no series" if not matches else f"matches {len(matches)} series"
            remedy = "name the folder of one of them" if matches else f"there are {_listed(series.values())}"
            raise UsageError("`series`", number, rule, remedy)
        series = {"": matches[0]}
    candidates: list[Volume] = []
    excluded: list[str] = []
    for group in series.values():
        for volume in volumes_of(group):
            reason = unfit(volume.slices, by_number=number is not None)
            (excluded.append(f"{_name(volume)}: {reason}") if reason else candidates.append(volume))
    if not candidates and number is not None:
        raise BadData("series", ", ".join(excluded[:4]), "cannot be the scan", "choose another series")
    if not candidates:
        listed = "; ".join(sorted(excluded)[:8])
        remedy = "give the T1w series, or name it with `series` if it is among them"
        raise BadData("the DICOM files", f"({listed})", "hold no MR series of a head", remedy)
    if len({volume.slices[0].patient for volume in candidates}) > 1:
        rule = "come from several patients"
        raise BadData("the DICOM files", f"of {len(candidates)} series", rule, "give one patient's files at a time")
    ranked = sorted(
        candidates, key=lambda volume: (-_points(volume), -len(volume.slices), volume.slices[0].series_number or 0)
    )
    if not _indicates_t1w(ranked[0]) and number is None and len({volume.slices[0].series for volume in candidates}) > 1:
        rule = "hold no series whose header, name or timings indicate T1w"
        raise BadData("the DICOM files", "", rule, f"choose with `series`: {', '.join(sorted(map(_name, candidates)))}")
    return Choice(ranked[0].slices, tuple(_flags(ranked, excluded, len(series), by_number=number is not None)))


def _flags(ranked: list[Volume], excluded: list[str], count: int, *, by_number: bool) -> Iterator[Flag]:
    best = ranked[0]
    first = best.slices[0]
    if not _indicates_t1w(best) and not by_number:
        text = "Neither the header, the name nor the timings of the series indicate T1 weighting."
        yield Flag("not-told-to-be-t1w", text)
    if has_agent(first):
        yield Flag(
            "contrast-agent",
            "The series was acquired with a contrast agent; the weights were not trained on such scans.",
        )
    yield from flags_by_sequence(first.sequence)
    if "DERIVED" in first.kind:
        yield Flag("derived", "The series was computed from other images, as uniform images and reformats are.", "note")
    if best.strays:
        text = f"{best.strays} images of the series have another orientation, as planning slices do, and were left out."
        yield Flag("strays-left-out", text)
    others = [*(f"{_name(volume)}: not chosen" for volume in ranked[1:]), *sorted(excluded)]
    if others:
        reasons = [why for points, why in evidence(first) if points > 0]
        because = (
            " because its number was given" if by_number else f" because {' and '.join(reasons)}" if reasons else ""
        )
        more = " ..." if len(others) > _MOST_LISTED else ""
        text = f"{_name(best)} was taken{because}, out of {count} series; {'; '.join(others[:_MOST_LISTED])}{more}."
        yield Flag("series-chosen", text[0].upper() + text[1:], "note")


def _points(volume: Volume) -> int:
    return _evidence_points(volume) - _AGENT_POINTS * has_agent(volume.slices[0])


def _indicates_t1w(volume: Volume) -> bool:
    """Whether the evidence indicates T1w, with or without a contrast agent."""
    return _evidence_points(volume) > 0


def _evidence_points(volume: Volume) -> int:
    return sum(points for points, _ in evidence(volume.slices[0]))


def _name(volume: Volume) -> str:
    number = volume.slices[0].series_number
    label = f", {volume.label}" if volume.label else ""
    return f"series {'without a number' if number is None else number} ({len(volume.slices)} images{label})"


def _listed(all_series: Iterable[Sequence[Slice]]) -> str:
    return ", ".join(sorted(_name(Volume(tuple(group))) for group in all_series))
