"""Comparisons: paired, by centre, one metric that decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from evaluate.test_summary import score
from insula.evaluate import compare
from insula.stats import difference_of, holm


def test_pairs_are_made_by_case_whatever_their_order() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.random(30), rng.random(30)
    scores_a = [score(f"c{n}", before[n]) for n in range(30)]
    scores_b = [score(f"c{n}", after[n]) for n in rng.permutation(30)]
    (comparison,) = compare({"one": scores_a, "two": scores_b}, ["dice"])
    assert comparison.difference is not None
    assert comparison.difference.mean.value == pytest.approx((after - before).mean())
    assert comparison.difference.p == pytest.approx(ttest_1samp(after - before, 0).pvalue)  # all of one centre
    assert comparison.n == 30
    assert comparison.better == (after > before).sum()
    assert comparison.better + comparison.worse == 30
    largest = np.argsort(-np.abs(after - before))[:10]
    assert [case for case, _ in comparison.moved] == [f"c{n}" for n in largest]


def test_cases_of_one_centre_are_alike_in_comparisons_too() -> None:
    rng = np.random.default_rng(1)
    values, centres = rng.normal(0.02, 0.1, 24), [f"R{n % 6}" for n in range(24)]
    scores_a = [score(str(n), 0.5, centre=centres[n]) for n in range(24)]
    scores_b = [score(str(n), 0.5 + values[n], centre=centres[n]) for n in range(24)]
    (comparison,) = compare({"one": scores_a, "two": scores_b}, ["dice"], hoped=0.05)
    wanted = difference_of(values.tolist(), centres, hoped=0.05)
    assert comparison.difference is not None
    assert comparison.difference.p == pytest.approx(wanted.p)
    assert comparison.difference.power == pytest.approx(wanted.power)
    assert comparison.difference.mean.centres == 6


def test_lower_is_better_for_distances() -> None:
    scores_a = [replace(score(str(n), 0.0), metrics={"hd95_mm": 10.0 + n}) for n in range(8)]
    scores_b = [replace(score(str(n), 0.0), metrics={"hd95_mm": 5.0 + n}) for n in range(8)]
    (comparison,) = compare({"one": scores_a, "two": scores_b}, ["hd95_mm"], primary="hd95_mm")
    assert comparison.difference is not None
    assert (comparison.better, comparison.worse, comparison.difference.mean.value) == (8, 0, -5)


def test_three_sets_make_three_tests_each_corrected_whatever_else_is_compared() -> None:
    rng = np.random.default_rng(3)
    sets = {
        name: [
            replace(score(str(n), float(v)), metrics={"dice": float(v), "f1_any": float(v) / 2})
            for n, v in enumerate(rng.random(20) + shift)
        ]
        for name, shift in (("a", 0), ("b", 0.4), ("c", 0.4))
    }
    comparisons = compare(sets, ["f1_any", "dice"])
    assert [(row.first, row.second, row.metric) for row in comparisons if row.primary] == [
        ("a", "b", "dice"),
        ("a", "c", "dice"),
        ("b", "c", "dice"),
    ]
    p = [row.difference.p for row in comparisons if row.primary and row.difference is not None]
    corrected = [row.p_holm for row in comparisons if row.primary]
    assert corrected == pytest.approx(holm([row for row in p if row is not None]))
    assert corrected == [row.p_holm for row in compare(sets, ["dice"])]
    described = [row for row in comparisons if not row.primary]
    assert len(described) == 3
    assert all(row.p_holm is None and row.difference.p is None for row in described if row.difference is not None)


def test_the_same_predictions_twice_differ_in_nothing() -> None:
    scores = [score(str(n), n / 10) for n in range(5)]
    (comparison,) = compare({"a": scores, "b": scores}, ["dice"])
    assert comparison.difference is not None
    assert (comparison.difference.mean.value, comparison.difference.p, comparison.p_holm, comparison.moved) == (
        0,
        None,
        None,
        (),
    )
    assert comparison.difference.same == 5


def test_undefined_cases_leave_the_comparison_and_few_cases_have_no_test() -> None:
    (comparison,) = compare(
        {"a": [score("x", None), score("y", 0.1)], "b": [score("x", 0.5), score("y", 0.3)]}, ["dice"]
    )
    assert comparison.difference is not None
    assert (comparison.n, comparison.difference.mean.value) == (1, pytest.approx(0.2))
    assert (comparison.difference.mean.low, comparison.difference.p, comparison.p_holm) == (None, None, None)
    assert comparison.moved == (("y", pytest.approx(0.2)),)


def test_controls_are_compared_by_their_own_metrics_only() -> None:
    sets = {
        name: [
            replace(score("lesion", 0.5), metrics={"dice": dice, "false_ml": None}),
            replace(score("control", None, truth_voxels=0), metrics={"dice": 1.0, "false_ml": false}),
        ]
        for name, dice, false in (("a", 0.5, 3.0), ("b", 0.6, 1.0))
    }
    dice, false = compare(sets, ["dice", "false_ml"])
    assert (dice.n, false.n) == (1, 1)  # a control's Dice of 0 or 1 is no overlap
    assert (false.better, false.worse) == (1, 0)


def test_what_cannot_be_compared_is_none() -> None:
    sets = {
        name: [replace(score(str(n), v), metrics={"dice": v, "pr_auc": None}) for n, v in enumerate(values)]
        for name, values in (("a", [0.1, 0.2, 0.4, 0.3]), ("b", [0.2, 0.4, 0.9, 0.3]))
    }
    _, area = compare(sets, ["dice", "pr_auc"])
    assert (area.n, area.difference, area.p_holm) == (0, None, None)
