"""Which values of a recipe make sense."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from insula.config.recipe import Recipe
from insula.errors import UsageError

__all__ = ["check_recipe", "names_files"]

_LEAST = {
    "model.widths": 1,
    "prepare.clip": 0.01,
    "prepare.spacing_mm": 0.1,
    "simulate.most_lesions": 1,
    "train.accumulate": 1,
    "train.batch": 1,
    "train.clip_norm": 1e-9,
    "train.crop": 1,
    "train.whole_batch": 1,
}
"""Least value of a number; of all others 0."""
_SHARES = ("_fraction", "_chance", "_share", ".ema", ".warmup")
_MOST_PERCENT = 100.0
_LONGEST_NAME = 200


def names_files(name: str) -> bool:
    """Tell whether weights of that name can be files on every system."""
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and not set(name) & set("/\\")


def check_recipe(recipe: Recipe) -> None:
    """Refuse values that no run could use.

    Args:
        recipe: settings of a run.

    Raises:
        UsageError: names the first such key and what it may be.
    """
    if not names_files(recipe.name):
        raise UsageError("name", repr(recipe.name), "is not the name of a file", 'write e.g. `name = "mine"`')
    for key, number in _numbers(recipe):
        least = _LEAST.get(key, 0)
        if key.endswith(_SHARES) and not 0 <= number <= 1:
            raise UsageError(key, number, "is not from 0 to 1", "use e.g. 0.5")
        if number < least:
            raise UsageError(key, number, f"is less than {least:g}", "choose a larger one")
    if len(recipe.model.widths) < 2:
        raise UsageError("model.widths", list(recipe.model.widths), "has less than two stages", "write e.g. [16, 32]")
    if not recipe.train.losses:
        raise UsageError("train.losses", "", "names no loss", 'write e.g. [[1.0, "dice"], [1.0, "cross_entropy"]]')
    low, high = recipe.prepare.low_percentile, recipe.prepare.high_percentile
    if not low < high <= _MOST_PERCENT:
        raise UsageError("prepare.high_percentile", high, f"is not above {low:g} and at most 100", "use e.g. 90")


def _numbers(recipe: Recipe) -> Iterator[tuple[str, float]]:
    """Yield the key of every number, those of a list one by one."""
    for part in dataclasses.fields(recipe):
        if not dataclasses.is_dataclass(knobs := getattr(recipe, part.name)):
            continue
        for knob in dataclasses.fields(knobs):
            value = getattr(knobs, knob.name)
            for number in value if isinstance(value, tuple) else (value,):
                if isinstance(number, int | float) and not isinstance(number, bool):
                    yield f"{part.name}.{knob.name}", number
