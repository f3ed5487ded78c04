"""Looks stay in the ranges that their sources give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from insula.simulate.looks import Acute, Chronic, Haemorrhagic, Lacune, Laminar, Subacute, draw_look

_CSF, _GREY = 0.2, 0.6


def _drawn(kind: Any, count: int = 400, **options: Any) -> list[Any]:
    rng = np.random.default_rng(0)
    return [kind.sample(rng, **options) for _ in range(count)]


_RANGES = [
    (Acute, "white_factor", 0.66, 0.82),
    (Acute, "grey_factor", 0.60, 0.78),
    (Acute, "swelling", 0.41, 0.79),
    (Acute, "push_mm", 0.0, 2.5),
    (Chronic, "gliosis_level", 0.55, 0.76),
    (Chronic, "cavity_share", 0.03, 0.97),
    (Chronic, "cavity_level", 0.15, 0.32),
    (Chronic, "widening_mm", 0.6, 2.2),
    (Subacute, "contrast", 0.1, 0.6),
    (Laminar, "ribbon_level", 1.1, 1.6),
    (Laminar, "ribbon_share", 0.3, 0.9),
    (Haemorrhagic, "blood_share", 0.04, 0.2),
    (Haemorrhagic, "iron_level", 0.1, 0.4),
]


@pytest.mark.parametrize(("kind", "name", "low", "high"), _RANGES)
def test_ranges_are_kept_and_filled(kind: Any, name: str, low: float, high: float) -> None:
    values = [getattr(look, name) for look in _drawn(kind)]
    assert low <= min(values) < low + 0.1 * (high - low)
    assert high - 0.1 * (high - low) < max(values) <= high


@pytest.mark.parametrize(
    ("kind", "chance", "share"),
    [
        (Lacune, lambda look: look.cavity, 0.61),
        (Laminar, lambda look: isinstance(look.beneath, Chronic), 0.6),
        (Haemorrhagic, lambda look: look.blood_level < 1, 0.6),
    ],
)
def test_shares(kind: Any, chance: Any, share: float) -> None:
    assert np.mean([chance(look) for look in _drawn(kind)]) == pytest.approx(share, abs=0.08)


@pytest.mark.parametrize("phase", ["acute", "chronic"])
def test_looks_are_of_the_phase_that_was_asked_for(phase: Any) -> None:
    rng = np.random.default_rng(0)
    looks = [draw_look(rng, phase=phase) for _ in range(200)]
    assert {look.phase for look in looks} == {phase}
    kinds = {type(look) for look in looks}
    assert kinds == ({Acute, Subacute, Haemorrhagic} if phase == "acute" else {Chronic, Laminar, Haemorrhagic})
    beneath = {type(look.beneath) for look in looks if isinstance(look, Haemorrhagic)}
    assert beneath == ({Acute, Subacute} if phase == "acute" else {Chronic})


def test_a_subacute_infarct_is_a_fainter_acute_one() -> None:
    for look in _drawn(Subacute, 50):
        acute = look.acute.ingredients(csf=_CSF, grey=_GREY)
        faded = look.ingredients(csf=_CSF, grey=_GREY)
        assert acute.white_factor < faded.white_factor < 1
        assert acute.grey_factor < faded.grey_factor < 1
        assert 0 < faded.swelling < acute.swelling
        for name in ("pull_mm", "widening_mm"):
            assert abs(getattr(faded, name)) == pytest.approx(0.3 * abs(getattr(acute, name)))


def test_a_lacune_is_a_cavity_throughout_or_a_scar() -> None:
    for look in _drawn(Lacune, 50):
        parts = look.ingredients(csf=_CSF, grey=_GREY)
        assert parts.gliosis_level == max(look.level, _CSF)
        assert (parts.csf_cut < -1) is look.cavity  # of unit variance: fluid nearly everywhere, or nowhere
        if look.cavity:
            assert 0.17 <= look.level <= 0.35
            assert parts.cavity_level == pytest.approx(_CSF, abs=0.12)
        else:
            assert 0.59 <= look.level <= 0.73
