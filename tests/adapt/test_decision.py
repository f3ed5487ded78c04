"""New weights are taken only where the left-out cases show a gain."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from insula.adapt import Adaptation, CaseChange, OldTest, decide


def _changes(gains: Sequence[float], subjects: Sequence[str] | None = None) -> list[CaseChange]:
    return [
        CaseChange(
            case=f"c{n}",
            subject=f"s{n}" if subjects is None else subjects[n],
            truth_ml=1.0,
            before=0.5,
            after=0.5 + gain,
            before_ml=1.0,
            after_ml=1.0,
        )
        for n, gain in enumerate(gains)
    ]


def test_a_clear_gain_counts_and_chance_does_not() -> None:
    clear = decide(_changes([0.1, 0.12, 0.08, 0.11, 0.09]))
    assert clear.gained
    assert clear.difference.mean.value == pytest.approx(0.1)
    assert clear.before.value == pytest.approx(0.5)
    assert not decide(_changes([0.3, -0.1, 0.2, -0.15, 0.1])).gained
    assert not decide(_changes([-0.1, -0.12, -0.08, -0.11, -0.09])).gained


def test_the_reason_tells_a_loss_from_a_gain_and_from_chance() -> None:
    reasons = {
        "left-out cases gain": [0.1, 0.12, 0.08, 0.11, 0.09],
        "the interval of the difference includes zero: no gain is shown": [0.3, -0.1, 0.2, -0.15, 0.1],
        "left-out cases lose": [-0.1, -0.12, -0.08, -0.11, -0.09],
    }
    for reason, gains in reasons.items():
        decision = decide(_changes(gains))
        assert Adaptation(changes=(), decision=decision, old_test=None, weights=None).reason == reason


def test_no_difference_at_all_is_no_gain() -> None:
    assert not decide(_changes([0.0] * 6)).gained


def test_scans_of_one_subject_are_not_independent() -> None:
    gains = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, -0.02, 0.01, 0.0]
    alone = decide(_changes(gains))
    together = decide(_changes(gains, ["a"] * 7 + ["b", "c", "d"]))
    assert alone.gained
    assert not together.gained


def test_the_old_test_allows_two_points_and_a_tenth_of_a_millilitre() -> None:
    assert OldTest(before=0.6, after=0.585, heads=12).holds
    assert not OldTest(before=0.6, after=0.575, heads=12).holds
    assert OldTest(before=0.6, after=0.6, heads=12, false_ml_before=0.2, false_ml_after=0.25).holds
    assert not OldTest(before=0.6, after=0.7, heads=12, false_ml_before=0.2, false_ml_after=0.35).holds
