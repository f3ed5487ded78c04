"""Conversion between text and knobs: TOML files, plain data, and overrides such as `a.b=c`."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from insula.config.ranges import check_recipe
from insula.config.recipe import Recipe
from insula.errors import NoInput, UsageError

__all__ = ["from_dict", "load_knobs", "load_recipe", "to_dict"]

T = TypeVar("T")


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, e.g. from recipes/; see `load_knobs` and `check_recipe`."""
    recipe = load_knobs(Recipe, path, overrides, what="the recipe")
    check_recipe(recipe)
    return recipe


def load_knobs(cls: type[T], path: Path | None, overrides: Sequence[str] = (), *, what: str) -> T:
    """Read a file of knobs and apply overrides such as `train.lr=3e-4`.

    Args:
        cls: a knobs class.
        path: a TOML file; without a file, the defaults with the overrides.
        what: name of the file in messages.
        overrides: `key.key=value`, the value in TOML syntax; a bare word is a string.

    Raises:
        NoInput: the file does not exist.
        UsageError: the file is not TOML, or a key is unknown or its value of the wrong type; the message names the
            key.
    """
    try:
        tree = {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoInput(what, path, "does not exist", "name a TOML file, for a recipe one of recipes/*.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(what, path, f"is not TOML ({error})", "correct the line it names") from None
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise UsageError("`set`", override, "is not key=value", "write e.g. `set=train.lr=3e-4`")
        branch: dict[str, object] = tree
        *parents, leaf = key.split(".")
        for parent in parents:
            child = branch.setdefault(parent, {})
            if not isinstance(child, dict):
                raise UsageError("`set`", override, f"goes through {parent}, which is a value", "check the key")
            branch = child
        branch[leaf] = _value(text)
    return from_dict(cls, tree, what=what)


def from_dict(cls: type[T], tree: object, *, what: str) -> T:
    """Build knobs from plain data; data that does not fit is refused.

    Args:
        cls: a knobs class.
        tree: dictionaries, lists and values.
        what: name of the data in messages.

    Raises:
        UsageError: names the first key that does not fit, and why.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(cls).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            f"{what}: {key}",
            f"= {first['input']!r:.80}",
            f"is refused ({first['msg']})",
            "see docs/reference for the keys",
        ) from None


def to_dict(config: Any) -> dict[str, Any]:
    """Returns knobs as JSON-ready plain data, which `from_dict` reads back as an equal object."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
