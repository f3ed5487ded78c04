"""Whether a saved state belongs to the run that is resumed."""

from __future__ import annotations

from typing import Any

from insula.checkpoint import Weights

__all__ = ["difference", "lasting", "teacher_facts"]


def lasting(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe without the settings that may change when a run resumes."""
    passing = {
        "accumulate",
        "cohort",
        "compile",
        "device",
        "graph",
        "minutes",
        "recompute",
        "save_minutes",
        "validations",
    }
    kept = {name: value for name, value in recipe["train"].items() if name not in passing}
    simulate = {name: value for name, value in recipe["simulate"].items() if name != "compile"}
    return {**recipe, "train": kept, "simulate": simulate}


def difference(kept: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Return the first setting that two different recipes differ in, with both values."""
    before, now = _flat(kept), _flat(wanted)
    name = next(name for name in before | now if before.get(name) != now.get(name))
    return f"{name} was {before.get(name)} and is {now.get(name)}"


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's settings by dotted name, such as `train.lr`."""
    flat: dict[str, Any] = {}
    for name, part in recipe.items():
        flat |= {f"{name}.{key}": value for key, value in part.items()} if isinstance(part, dict) else {name: part}
    return flat


def teacher_facts(teacher: Weights | None) -> dict[str, object] | None:
    """Return what identifies a teacher when a run resumes; None without one."""
    if teacher is None:
        return None
    scalings = [*(own for _, own in teacher.networks), teacher.card.calibration.scaling]
    facts: dict[str, object] = {
        "name": teacher.card.name,
        "sha256": teacher.sha256,
        "temperatures": [scaling.temperature for scaling in scalings],
    }
    if any(scaling.bias for scaling in scalings):
        facts["biases"] = [scaling.bias for scaling in scalings]
    return facts
