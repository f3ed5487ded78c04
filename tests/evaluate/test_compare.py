"""Comparisons: paired, corrected, and against scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import wilcoxon

from evaluate.test_summary import score
from insula.evaluate import compare
from insula.evaluate.compare import holm


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1, which may not fall below the one before."""
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_are_made_by_case_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(30), rng.random(30)
    one = [score(f"c{n}", before[n]) for n in range(30)]
    two = [score(f"c{n}", after[n]) for n in rng.permutation(30)]
    (found,) = compare({"one": one, "two": two}, ["dice"])
    assert found.difference == pytest.approx((after - before).mean())
    assert found.p == pytest.approx(wilcoxon(after - before).pvalue)
    assert found.n == 30
    assert found.better == (after > before).sum()
    assert found.better + found.worse == 30
    largest = np.argsort(-np.abs(after - before))[:10]
    assert [case for case, _ in found.moved] == [f"c{n}" for n in largest]


def test_lower_is_better_for_distances() -> None:
    one = [replace(score(str(n), 0.0), metrics={"hd95_mm": 10.0 + n}) for n in range(8)]
    two = [replace(score(str(n), 0.0), metrics={"hd95_mm": 5.0 + n}) for n in range(8)]
    (found,) = compare({"one": one, "two": two}, ["hd95_mm"])
    assert (found.better, found.worse, found.difference) == (8, 0, -5)


def test_three_sets_make_three_comparisons_each_corrected() -> None:
    rng = np.random.default_rng(3)
    sets = {
        name: [score(str(n), float(v)) for n, v in enumerate(rng.random(20) + shift)]
        for name, shift in (("a", 0), ("b", 0.4), ("c", 0.4))
    }
    found = compare(sets, ["dice"])
    assert [(one.first, one.second) for one in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [one.p_holm for one in found] == pytest.approx(holm([one.p for one in found]))
    assert all(one.p_holm >= one.p for one in found)
    assert found[0].p_holm < 0.05 < found[2].p_holm


def test_the_same_predictions_twice_differ_in_nothing() -> None:
    scores = [score(str(n), n / 10) for n in range(5)]
    (found,) = compare({"a": scores, "b": scores}, ["dice"])
    assert (found.difference, found.p, found.p_holm, found.moved) == (0, 1, 1, ())


def test_undefined_cases_leave_the_comparison() -> None:
    (found,) = compare({"a": [score("x", None), score("y", 0.1)], "b": [score("x", 0.5), score("y", 0.3)]}, ["dice"])
    assert (found.n, found.difference) == (1, pytest.approx(0.2))
    assert found.moved == (("y", pytest.approx(0.2)),)


def test_what_cannot_be_compared_corrects_nothing() -> None:
    """A metric that is undefined everywhere has no p, and does not make the others' larger."""
    sets = {
        name: [replace(score(str(n), v), metrics={"dice": v, "pr_auc": None}) for n, v in enumerate(values)]
        for name, values in (("a", [0.1, 0.2, 0.4, 0.3]), ("b", [0.2, 0.4, 0.9, 0.3]))
    }
    dice, area = compare(sets, ["dice", "pr_auc"])
    assert (area.n, area.p, area.p_holm) == (0, None, None)
    assert dice.p_holm == dice.p
