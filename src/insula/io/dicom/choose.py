"""Which series is the T1w scan: by rule, with the others listed, never two merged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from insula.errors import BadData, UsageError
from insula.io.dicom.slices import Slice
from insula.types import Flag

__all__ = ["Choice", "choose_series"]

_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.4.1",  # enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.4",  # legacy converted enhanced MR
}
_NOT_A_HEAD = {"LOCALIZER", "LOCALISER", "PROJECTION IMAGE", "MIP", "MINIP"}
_T1 = re.compile(r"t1|mp-?rage|mp2rage|spgr|bravo|\btfe|tfl3d|\bflash|\bvibe|\bmdeft")
_NOT_T1 = re.compile(
    r"t2|flair|\bdwi|\badc|diff|\bdti|\bep2d|\bepi|swi|swan|tof|angio|perf|\basl|bold|fmri|fieldmap|field_map|\bgre_field|\bpd\b|"
    r"scout|local|survey|3.?pl|gado|\bgd\b|\+c\b|\bpost|\bce\b|contrast|phase"
)
_SHORT_ECHO_MS, _LONG_ECHO_MS = 15.0, 60.0
_SHORT_REPETITION_MS = 900.0
_INVERSION_MS = (500.0, 1500.0)
_LEAST_SLICES = 20


@dataclass(frozen=True)
class Choice:
    """The series that was taken."""

    slices: tuple[Slice, ...]
    flags: tuple[Flag, ...]


def choose_series(slices: Iterable[Slice], *, number: int | None = None) -> Choice:
    """The T1w series among all that were found.

    Passed over are what is not MR, derived images, localisers, projections, and series of fewer than 20 images. Of the others each gets
    points for a name and for timings that speak of T1w (short echo; an inversion or a short repetition), and loses some for what speaks
    against it, a contrast agent among them. The most points win, then the most images, then the lowest number.

    Args:
        slices: of all files.
        number: SeriesNumber of the one to take; then only that one is looked at.

    Returns:
        Its slices, in no order, and flags that list what was passed over.

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
            raise UsageError("--series", number, rule, f"there are {_listed(series.values())}")
        if reason := _unfit(found[0], least=1):
            raise BadData("series", _name(found[0]), f"is {reason}", "take another")
        return Choice(tuple(found[0]), ())
    fit: list[list[Slice]] = []
    passed: list[str] = []
    for some in series.values():
        reason = _unfit(some, least=_LEAST_SLICES)
        (passed.append(f"{_name(some)}: {reason}") if reason else fit.append(some))
    if not fit:
        listed = "; ".join(sorted(passed)[:8])
        raise BadData("the DICOM files", f"({listed})", "hold no MR series of a head", "give the T1w series")
    if len({some[0].patient for some in fit}) > 1:
        rule = "are of several patients"
        raise BadData("the DICOM files", f"of {len(fit)} series", rule, "give one patient's at a time")
    ranked = sorted(fit, key=lambda some: (-_points(some[0]), -len(some), some[0].series_number or 0))
    best = ranked[0]
    flags = []
    if _points(best[0]) <= 0:
        if len(fit) > 1:
            rule = "hold no series that its name or timings tell to be T1w"
            raise BadData("the DICOM files", "", rule, f"choose with --series: {_listed(fit)}")
        flags.append(Flag("not-told-to-be-t1w", "Neither name nor timings of the series say that it is T1-weighted."))
    if best[0].contrast:
        flags.append(Flag("contrast-agent", "The series was made with a contrast agent, which the weights never saw."))
    others = [*(f"{_name(some)}: not chosen" for some in ranked[1:]), *sorted(passed)]
    if others:
        text = (
            f"{_name(best)} was taken of {len(series)}; {'; '.join(others[:12])}{' ...' if len(others) > 12 else ''}."
        )
        flags.append(Flag("series-chosen", text[0].upper() + text[1:], "note"))
    return Choice(tuple(best), tuple(flags))


def _unfit(some: Sequence[Slice], *, least: int) -> str:
    """Why a series cannot be the scan; empty if it can."""
    first = some[0]
    if first.modality != "MR":
        return f"{first.modality[:8] or 'no modality'}, not MR"
    if first.sop_class not in _IMAGES:
        return "not of MR images"
    kinds = {word for one in some for word in one.kind}
    if kinds & _NOT_A_HEAD:
        return "a localiser or projection"
    if "DERIVED" in first.kind and "ORIGINAL" not in first.kind and least > 1:
        return "derived from others"
    return f"only {len(some)} images" if len(some) < least else ""


def _points(one: Slice) -> int:
    points = 2 * bool(_T1.search(one.words)) - 3 * bool(_NOT_T1.search(one.words)) - 2 * one.contrast
    if one.echo_ms is not None:
        points -= 3 * (one.echo_ms > _LONG_ECHO_MS)
        inverted = one.inversion_ms is not None and _INVERSION_MS[0] <= one.inversion_ms <= _INVERSION_MS[1]
        quick = one.repetition_ms is not None and one.repetition_ms <= _SHORT_REPETITION_MS
        points += one.echo_ms <= _SHORT_ECHO_MS and (inverted or quick)
    return points


def _name(some: Sequence[Slice]) -> str:
    number = some[0].series_number
    return f"series {'without a number' if number is None else number} ({len(some)} images)"


def _listed(all_series: Iterable[Sequence[Slice]]) -> str:
    return ", ".join(sorted(_name(some) for some in all_series))
