"""Results of a study's rows: how to read them, compare them case by case and print them as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from insula.evaluate import HOPED
from insula.stats import Difference, Interval, difference_of, holm, mean_interval, median_interval


def read_rows(out: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Results in a folder by name, in the order of `names`; a row that has not been run is left out."""
    paths = {name: out / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}


def compared(
    trials: Mapping[str, dict[str, Any]], against: Mapping[str, str], *, hoped: float = HOPED
) -> dict[str, tuple[Difference, float | None]]:
    """Paired difference of Dice on cases with a lesion, clustered by host, and its p after Holm's correction.

    Args:
        trials: rows by name.
        against: the row that each row is compared with; a pair with a missing row is left out.
        hoped: the smallest difference that would matter.
    """
    pairs = {
        name: _paired(trials[name], trials[other], hoped)
        for name, other in against.items()
        if {name, other} <= set(trials)
    }
    corrected = corrected_p(pairs)
    return {name: (pair, corrected.get(name)) for name, pair in pairs.items()}


def corrected_p(pairs: Mapping[str, Difference]) -> dict[str, float]:
    """Holm-corrected p of every pair that has a p."""
    known = {name: pair.p for name, pair in pairs.items() if pair.p is not None}
    return dict(zip(known, holm(list(known.values())), strict=True))


def difference_cells(pair: tuple[Difference, float | None] | None) -> tuple[str, str]:
    """Table cells of a difference: the mean with its interval, and p."""
    if pair is None:
        return "-", "-"
    difference, p = pair
    return difference.mean.figures(signed=True), "-" if p is None else f"{p:.2g}"


def mean_dice(cases: Sequence[Mapping[str, Any]]) -> Interval:
    """Mean Dice of cases with a lesion; heads made from one host form a cluster."""
    return mean_interval([case["dice"] for case in cases], hosts_of(cases), least=0, most=1)


def median_dice(cases: Sequence[Mapping[str, Any]]) -> Interval:
    """Median Dice of cases with a lesion; heads made from one host form a cluster."""
    return median_interval([case["dice"] for case in cases], hosts_of(cases))


def hosts_of(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """The host that each case was made from."""
    return [str(case["host"]) for case in cases]


def _paired(trial: dict[str, Any], other: dict[str, Any], hoped: float) -> Difference:
    both = [(a, b) for a, b in zip(trial["held_out"], other["held_out"], strict=True) if a["voxels"]]
    return difference_of([a["dice"] - b["dice"] for a, b in both], hosts_of([a for a, _ in both]), hoped=hoped, reach=1)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join([_line(head), f"|{'---|' * len(head)}", *map(_line, rows)])


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def lesions_found(cases: Sequence[Mapping[str, Any]], bins: Iterable[str]) -> str:
    """Detected lesions of these sizes out of all of them, as `hit/total`."""
    pairs = [case["found"][name] for name in bins for case in cases]
    return f"{sum(hit for hit, _ in pairs)}/{sum(total for _, total in pairs)}"
