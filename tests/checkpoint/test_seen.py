"""Whom weights have seen is known by hash, through everything that they descend from."""

from __future__ import annotations

from insula.checkpoint import Card, hashed, subjects_seen, who_was_seen
from insula.config import AttentionUNet, Calibration, PrepareConfig

_FILE = "a" * 64


def _card(*, fitted: dict[str, list[str]] | None = None, **provenance: object) -> Card:
    calibration = Calibration(fitted_on=None if fitted is None else {"cases": 30, **fitted})
    return Card(
        name="w", model=AttentionUNet(), prepare=PrepareConfig(), calibration=calibration, provenance=dict(provenance)
    )


def test_a_subject_of_any_ancestor_was_trained_on() -> None:
    card = _card(
        subjects=[hashed("sub-1")],
        started_from={"subjects": [hashed("sub-2")], "mean_of": [{"subjects": [hashed("sub-3")]}]},
        members=[{"subjects": [hashed("sub-4")]}],
        taught_by={"subjects": [hashed("sub-5")]},
    )
    subjects: dict[str, list[str]] = {f"sub-{n}": [] for n in range(1, 7)}
    assert subjects_seen(card, subjects) == {"trained on": ["sub-1", "sub-2", "sub-3", "sub-4", "sub-5"]}
    assert who_was_seen(card) == {"subjects": sorted(hashed(f"sub-{n}") for n in range(1, 6))}


def test_a_subject_was_calibrated_on_by_its_files_or_else_by_its_name() -> None:
    card = _card(fitted={"subjects": [hashed("sub-1")], "scans": [hashed(_FILE)]})
    assert subjects_seen(card, {"sub-1": [], "sub-2": []}) == {"calibrated on": ["sub-1"]}
    assert subjects_seen(card, {"sub-1": ["b" * 64], "sub-2": [_FILE]}) == {"calibrated on": ["sub-2"]}
    without_files = _card(fitted={"subjects": [hashed("sub-1")]})
    assert subjects_seen(without_files, {"sub-1": ["b" * 64]}) == {"calibrated on": ["sub-1"]}
    assert who_was_seen(card) == {"fitted_subjects": [hashed("sub-1")], "fitted_scans": [hashed(_FILE)]}


def test_weights_without_a_record_have_seen_nobody_that_is_known() -> None:
    assert subjects_seen(_card(), {"sub-1": [_FILE]}) == {}
    assert who_was_seen(_card(subjects="not a list")) == {}


def test_a_hash_stays_what_stored_cards_hold() -> None:
    assert hashed("sub-1") == "c3e97832be874361"
