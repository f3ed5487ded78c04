"""Checks the types and array shapes of every call into insula: `CHECK_SHAPES=1 pytest`."""

from __future__ import annotations

from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintException

_decorate = beartype(conf=BeartypeConf(is_pep484_tower=True))  # whole numbers may stand for floats

unchecked: list[str] = []
"""Functions whose annotations beartype does not know."""


def checked(function: Any) -> Any:
    """Return a function, or class, that checks its arguments and results."""
    try:
        return _decorate(function)
    except BeartypeDecorHintException:
        unchecked.append(f"{function.__module__}.{function.__qualname__}")
        return function


def install() -> None:
    """Check everything that is imported from insula from now on."""
    from jaxtyping import install_import_hook

    install_import_hook("insula", "shapes.checked")
