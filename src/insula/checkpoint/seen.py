"""Which subjects weights were trained and calibrated on, kept as hashes: scores on those subjects are too good."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from insula.checkpoint.weights import Card

__all__ = ["hashed", "subjects_seen", "who_was_seen"]

_DIGITS = 16


def hashed(identity: str) -> str:
    """Returns a subject's name or a file's SHA-256 as cards hold it.

    The hash hides the plain text, but anyone who guesses the name can check the guess.

    Args:
        identity: a subject's name, or a file's SHA-256.
    """
    return hashlib.sha256(f"insula {identity}".encode()).hexdigest()[:_DIGITS]


def subjects_seen(card: Card, subjects: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Returns those of the given subjects that were used to make weights, as far as the weights' card tells.

    Two cohorts can use the same subject names. A card can also hold hashes of the scan files it was calibrated on.
    Where both the card and a subject have file hashes, these decide; otherwise the name does.

    Args:
        card: the weights' card.
        subjects: subject -> SHA-256 of its scan files, empty if there are none.

    Returns:
        `trained on` and `calibrated on`, each with its subjects; a key without subjects is left out.
    """
    trained, names, files = (_union(card, key) for key in ("subjects", "fitted_subjects", "fitted_scans"))
    by_file = [name for name, shas in subjects.items() if any(hashed(sha) in files for sha in shas)]
    unknown = [name for name, shas in subjects.items() if not shas or not files]
    subjects_by_use = {
        "trained on": [name for name in subjects if hashed(name) in trained],
        "calibrated on": by_file + [name for name in unknown if hashed(name) in names],
    }
    return {use: matches for use, matches in subjects_by_use.items() if matches}


def who_was_seen(card: Card) -> dict[str, list[str]]:
    """Returns the hashed subjects and scans of a card and of all weights it descends from, for use in another card.

    Args:
        card: the card of a network, or of several that are combined.
    """
    hashes = {key: sorted(_union(card, key)) for key in ("subjects", "fitted_subjects", "fitted_scans")}
    return {key: values for key, values in hashes.items() if values}


def _union(card: Card, key: str) -> set[str]:
    fitted = card.calibration.fitted_on or {}
    own = {"fitted_subjects": fitted.get("subjects"), "fitted_scans": fitted.get("scans")}.get(key)
    return _texts(own).union(*(_texts(provenance.get(key)) for provenance in _lineage(card.provenance)))


def _lineage(provenance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the provenance of a run, and of all weights that it started from, learned from or was combined from."""
    yield provenance
    parents = [provenance[key] for key in ("started_from", "taught_by") if key in provenance]
    for parent in (*parents, *provenance.get("mean_of", []), *provenance.get("members", [])):
        yield from _lineage(parent)


def _texts(value: object) -> set[str]:
    return set(value) if isinstance(value, Collection) and not isinstance(value, str) else set()
