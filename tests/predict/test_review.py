"""The review score of a record: its range, its order and its reasons."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest

from insula.errors import BadData
from insula.predict import CaseRecord, ReviewScore, refusal, review_score


def _record(**changes: object) -> dict[str, Any]:
    """A plain result: a lesion of 20 ml that hardly depends on the threshold."""
    record: dict[str, Any] = {
        "outcome": "done",
        "volume_ml": 20.0,
        "lesion_count": 1,
        "brain": {"volume_ml": 1300.0, "lesion_share": 20 / 1300},
        "sides": {"left_ml": 20.0, "right_ml": 0.0},
        "reason": None,
        "lesions": [{"volume_ml": 20.0, "mean_probability": 0.9, "confidence": 0.99}],
        "confidence": {
            "mean_probability": 0.9,
            "peak_probability": 0.99,
            "volume_ml_at_threshold": {"0.1": 22.0, "0.3": 20.0, "0.5": 19.0, "0.7": 18.0, "0.9": 15.0},
        },
        "flags": [],
        "threshold": 0.2,
    }
    return record | changes


def _flagged(*codes: str, severity: str = "warning") -> dict[str, Any]:
    return _record(flags=[{"code": code, "text": "", "severity": severity} for code in codes])


def _score(record: dict[str, Any]) -> ReviewScore:
    before = copy.deepcopy(record)
    review = review_score(cast(CaseRecord, record))
    assert record == before
    assert 0 <= review.score <= 1
    return review


def test_a_plain_result_has_no_reason() -> None:
    assert _score(_record()).reasons == ()
    assert _score(_record()).score < 0.05


def test_a_refused_case_comes_first() -> None:
    assert review_score(refusal("sub-a", BadData("the image", "", "shows no head", ""))) == ReviewScore(
        1.0, ("refused",)
    )


def test_a_corrected_mask_needs_no_look() -> None:
    correction = {"network_volume_ml": None, "added_ml": None, "removed_ml": None, "dice": None}
    record = _flagged("motion", "brain-volume-odd") | {"correction": correction}
    assert _score(record) == ReviewScore(0.0, ("corrected by a person",))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("contrast-assumed", "contrast unlike T1w"),
        ("contrast-inverted", "contrast unlike T1w"),
        ("motion", "motion"),
        ("low-signal", "noise"),
        ("lesion-at-box-rim", "lesion at the edge of the box"),
        ("field-of-view-cut", "head cut by the field of view"),
        ("thick-slices", "thick slices"),
    ],
)
def test_each_warning_is_a_reason(code: str, reason: str) -> None:
    review = _score(_flagged(code))
    assert review.reasons == (reason,)
    assert review.score > _score(_record()).score


def test_another_flag_is_no_reason() -> None:
    assert _score(_flagged("packed-twice", severity="note")) == _score(_record())


def _certain(**changes: object) -> dict[str, Any]:
    return _record(confidence=_record()["confidence"] | changes)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (_certain(mean_probability=0.5), "low probability"),
        (_record(volume_ml=1.0), "small lesion"),
        (_record(brain={"volume_ml": 1300.0, "lesion_share": 0.5}), "lesion fills much of the brain"),
        (_record(brain={"volume_ml": 4300.0, "lesion_share": 0.01}), "brain volume implausible"),
        (_record(brain={"volume_ml": 0.0, "lesion_share": None}), "brain volume implausible"),
        (
            _certain(volume_ml_at_threshold={"0.1": 60.0, "0.3": 20.0, "0.5": 10.0, "0.7": 2.0, "0.9": 0.0}),
            "volume depends on the threshold",
        ),
    ],
)
def test_doubt_about_the_mask_is_a_reason(record: dict[str, Any], reason: str) -> None:
    assert _score(record).reasons == (reason,)


def _empty(peak: float) -> dict[str, Any]:
    certain = {"mean_probability": None, "peak_probability": peak}
    volumes = dict.fromkeys(("0.1", "0.3", "0.5", "0.7", "0.9"), 0.0)
    return _certain(**certain, volume_ml_at_threshold=volumes) | {"volume_ml": 0.0, "lesion_count": 0, "lesions": []}


def test_an_empty_mask_is_a_reason_the_more_the_nearer_it_was_to_a_lesion() -> None:
    assert _score(_empty(0.19)).reasons == ("no lesion found",)
    assert 0 < _score(_empty(0.0)).score < _score(_empty(0.1)).score < _score(_empty(0.19)).score


def test_no_signal_lowers_the_score_and_the_strongest_reason_is_first() -> None:
    codes = ("thick-slices", "motion", "contrast-assumed")
    scores = [_score(_flagged(*codes[:n])).score for n in range(4)]
    assert scores == sorted(scores) and len(set(scores)) == 4
    assert _score(_flagged(*codes)).reasons == ("contrast unlike T1w", "motion", "thick slices")


def test_weights_without_a_brain_output_have_a_score() -> None:
    assert _score(_record(brain=None, sides=None)).reasons == ()
