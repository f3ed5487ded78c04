"""The rows of a study that have been run, and how they compare case by case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from insula.evaluate import HOPED
from insula.stats import Difference, Interval, difference_of, holm, mean_interval, median_interval


def read_rows(out: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What lies there of these names, in their order."""
    paths = {name: out / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}


def compared(
    found: Mapping[str, dict[str, Any]], against: Mapping[str, str], *, hoped: float = HOPED
) -> dict[str, tuple[Difference, float | None]]:
    """Difference of Dice on the same cases with a lesion, by host; and its p after Holm's correction over the pairs.

    Args:
        found: rows by name.
        against: the row that each is compared with; pairs of which one is missing are left out.
        hoped: the difference that would matter.
    """
    pairs = {
        name: _paired(found[name], found[other], hoped)
        for name, other in against.items()
        if {name, other} <= set(found)
    }
    corrected = corrected_p(pairs)
    return {name: (pair, corrected.get(name)) for name, pair in pairs.items()}


def corrected_p(pairs: Mapping[str, Difference]) -> dict[str, float]:
    """After Holm, of those that have a p."""
    known = {name: pair.p for name, pair in pairs.items() if pair.p is not None}
    return dict(zip(known, holm(list(known.values())), strict=True))


def told(pair: tuple[Difference, float | None] | None) -> tuple[str, str]:
    """A difference with its interval, and its p, as cells."""
    if pair is None:
        return "-", "-"
    found, p = pair
    return found.mean.figures(signed=True), "-" if p is None else f"{p:.2g}"


def mean_dice(cases: Sequence[Mapping[str, Any]]) -> Interval:
    """Mean Dice of cases with a lesion; heads made of one host are alike."""
    return mean_interval([case["dice"] for case in cases], hosts_of(cases), least=0, most=1)


def median_dice(cases: Sequence[Mapping[str, Any]]) -> Interval:
    """Median Dice of cases with a lesion; heads made of one host are alike."""
    return median_interval([case["dice"] for case in cases], hosts_of(cases))


def hosts_of(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whose head each case was made of."""
    return [str(case["host"]) for case in cases]


def _paired(trial: dict[str, Any], other: dict[str, Any], hoped: float) -> Difference:
    both = [(a, b) for a, b in zip(trial["held_out"], other["held_out"], strict=True) if a["voxels"]]
    return difference_of([a["dice"] - b["dice"] for a, b in both], hosts_of([a for a, _ in both]), hoped=hoped, reach=1)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def lesions_found(cases: Sequence[Mapping[str, Any]], bins: Iterable[str]) -> str:
    """How many true lesions of these sizes are touched, of how many."""
    pairs = [case["found"][name] for name in bins for case in cases]
    return f"{sum(hit for hit, _ in pairs)}/{sum(total for _, total in pairs)}"
