"""The rows of a study that have been run, and how they compare case by case."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import wilcoxon

from insula.evaluate.compare import holm


def read_rows(out: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What lies there of these names, in their order."""
    paths = {name: out / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()}


def compared(found: Mapping[str, dict[str, Any]], against: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Mean difference of Dice over the same cases, and the p of Wilcoxon's signed-rank test, corrected by Holm's method.

    Args:
        found: rows by name.
        against: the row that each is compared with; pairs of which one is missing are left out.
    """
    pairs = {name: _paired(found[name], found[other]) for name, other in against.items() if {name, other} <= set(found)}
    p = holm([raw for _, raw in pairs.values()])
    return {name: (change, corrected) for (name, (change, _)), corrected in zip(pairs.items(), p, strict=True)}


def told(pair: tuple[float, float] | None) -> tuple[str, str]:
    """A difference and its p, as cells."""
    return ("-", "-") if pair is None else (f"{pair[0]:+.3f}", f"{pair[1]:.2g}")


def _paired(trial: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    change = [a["dice"] - b["dice"] for a, b in zip(trial["held_out"], other["held_out"], strict=True)]
    return statistics.mean(change), chance(change)


def chance(change: Sequence[float]) -> float:
    """The p of Wilcoxon's signed-rank test; 1 where nothing changes."""
    return float(wilcoxon(change).pvalue) if any(change) else 1.0


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def lesions_found(cases: Sequence[Mapping[str, Any]], bins: Iterable[str]) -> str:
    """How many true lesions of these sizes are touched, of how many."""
    pairs = [case["found"][name] for name in bins for case in cases]
    return f"{sum(hit for hit, _ in pairs)}/{sum(total for _, total in pairs)}"
