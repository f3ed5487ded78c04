"""Whose cases weights have seen: kept as hashes, for a score on them is too good."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from insula.checkpoint.weights import Card

__all__ = ["hashed", "subjects_seen"]

_DIGITS = 16


def hashed(identity: str) -> str:
    """A name or a file's SHA-256 as cards hold it: it can be recognised by who knows it, and not be read."""
    return hashlib.sha256(f"insula {identity}".encode()).hexdigest()[:_DIGITS]


def subjects_seen(card: Card, subjects: Mapping[str, str]) -> dict[str, list[str]]:
    """Which of some cases have been used to make weights, as far as the weights' card tells.

    Names of subjects can be the same in two cohorts. Of cases that were calibrated on the card knows the scan's file too, and
    that decides.

    Args:
        card: of the weights.
        subjects: subject -> SHA-256 of the scan's file, empty where there is none.

    Returns:
        `trained on` and `calibrated on`, each with its subjects; only those that have some.
    """
    fitted = card.calibration.fitted_on or {}
    files = _texts(fitted.get("scans"))
    found = {
        "trained on": [name for name in subjects if hashed(name) in _trained(card.provenance)],
        "calibrated on": [
            name for name, sha in subjects.items()
            if (hashed(sha) in files if files and sha else hashed(name) in _texts(fitted.get("subjects")))
        ],
    }  # fmt: skip
    return {how: names for how, names in found.items() if names}


def _trained(provenance: Mapping[str, Any]) -> set[str]:
    """By this run and all that it went on from."""
    found, left = set[str](), [provenance]
    while left:
        told = left.pop()
        found |= _texts(told.get("subjects"))
        left += [
            *([told["started_from"]] if "started_from" in told else []),
            *told.get("mean_of", []),
            *told.get("members", []),
        ]
    return found


def _texts(value: Any) -> set[str]:
    return set(value) if isinstance(value, Collection) and not isinstance(value, str) else set()
