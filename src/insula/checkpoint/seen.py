"""Whose cases weights have seen: kept as hashes, for a score on them is too good."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from insula.checkpoint.weights import Card

__all__ = ["hashed", "subjects_seen", "who_was_seen"]

_DIGITS = 16


def hashed(identity: str) -> str:
    """A name or a file's SHA-256 as cards hold it: not in plain text, but whoever guesses it can check the guess.

    Args:
        identity: a subject's name, or a file's SHA-256.
    """
    return hashlib.sha256(f"insula {identity}".encode()).hexdigest()[:_DIGITS]


def subjects_seen(card: Card, subjects: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Which of some cases have been used to make weights, as far as the weights' card tells.

    Names of subjects can be the same in two cohorts. Of cases that were calibrated on the card knows the scans' files too: where
    some of those are found again, they decide; otherwise names do.

    Args:
        card: of the weights.
        subjects: subject -> SHA-256 of the files of its scans, none where there are none.

    Returns:
        `trained on` and `calibrated on`, each with its subjects; only those that have some.
    """
    trained, names, files = (_union(card, key) for key in ("subjects", "fitted_subjects", "fitted_scans"))
    by_file = [name for name, shas in subjects.items() if any(hashed(sha) in files for sha in shas)]
    unknown = [name for name, shas in subjects.items() if not shas or not files]
    found = {
        "trained on": [name for name in subjects if hashed(name) in trained],
        "calibrated on": by_file + [name for name in unknown if hashed(name) in names],
    }
    return {how: some for how, some in found.items() if some}


def who_was_seen(card: Card) -> dict[str, list[str]]:
    """All that a card and those it came from tell of this, to be kept in another card.

    Args:
        card: of one network.
    """
    found = {key: sorted(_union(card, key)) for key in ("subjects", "fitted_subjects", "fitted_scans")}
    return {key: values for key, values in found.items() if values}


def _union(card: Card, key: str) -> set[str]:
    fitted = card.calibration.fitted_on or {}
    own = {"fitted_subjects": fitted.get("subjects"), "fitted_scans": fitted.get("scans")}.get(key)
    return _texts(own).union(*(_texts(provenance.get(key)) for provenance in _line(card.provenance)))


def _line(provenance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The provenance of this run, of all that it went on from, and of all that it is put together from."""
    yield provenance
    before = [*([provenance["started_from"]] if "started_from" in provenance else []), *provenance.get("mean_of", [])]
    for one in (*before, *provenance.get("members", [])):
        yield from _line(one)


def _texts(value: Any) -> set[str]:
    return set(value) if isinstance(value, Collection) and not isinstance(value, str) else set()
