"""The decorator for classes of knobs: frozen, keyword-only, and closed to unknown keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

__all__ = ["knobs"]

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def knobs(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, keyword-only dataclass whose TOML form refuses unknown keys."""
    cls.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return dataclass(frozen=True, kw_only=True)(cls)
