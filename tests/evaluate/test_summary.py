"""From cases to a cohort: strata, recall by size, reliability, coverage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from insula.config import Scaling
from insula.evaluate import (
    CaseScore,
    PredictedLesion,
    Preset,
    TrueLesion,
    coverage,
    curve,
    reliability,
    size_recall,
    summarise,
)
from insula.evaluate.summary import log_loss, pooled, strata_of
from insula.metrics import average_precision, count_logits
from insula.stats import mean_interval

_DICE = Preset("dice", "1", ("dice",), "Dice alone, as challenges take it.")


def score(case: str, dice: float | None, **facts: object) -> CaseScore:
    defaults: dict[str, object] = {
        "truth_voxels": 500,
        "truth_ml": 0.5,
        "predicted_ml": 0.4,
        "true_lesions": (),
        "predicted_lesions": (),
        "voxel_ml": 1e-3,
    }
    return CaseScore(case=case, metrics={"dice": dice}, **(defaults | facts))  # type: ignore[arg-type]


def test_every_stratum_holds_its_cases_and_all_of_them() -> None:
    scores = [
        score(
            str(n),
            n / 10,
            centre=f"R{n % 3}",
            chronicity=("acute", "chronic")[n % 2],
            truth_voxels=(0, 5, 50, 5000)[n % 4],
        )
        for n in range(10)
    ]
    for apart in (False, True):
        for groups in strata_of(scores, controls_apart=apart).values():
            assert sorted(s.case for members in groups.values() for s in members) == sorted(s.case for s in scores)
    rows = {(row.stratum, row.group): row for row in summarise(scores, _DICE)}
    assert rows["all", "all"].mean.value == pytest.approx(0.45)  # type: ignore[union-attr]
    assert rows["all", "all"].median.value == pytest.approx(0.45)  # type: ignore[union-attr]
    assert rows["all", "all"].quartiles == pytest.approx((0.225, 0.675))
    assert rows["lesion voxels", "control"].n == 3
    assert [group for stratum, group in rows if stratum == "lesion voxels"] == ["control", "<10", "10-100", "1k-10k"]
    assert rows["centre", "R1"].mean.value == pytest.approx((0.1 + 0.4 + 0.7) / 3)  # type: ignore[union-attr]


def test_no_mean_mixes_controls_with_the_others_where_a_preset_sets_them_apart() -> None:
    scores = [
        score("a", 0.2),
        score("b", 0.6),
        score("c", None, truth_voxels=0),
        score("d", None, truth_voxels=0),
    ]
    for case_score, empty in zip(scores, (None, None, 1.0, 0.0), strict=True):
        case_score.metrics["empty"] = empty
    apart = replace(_DICE, metrics=("dice", "empty"), controls_apart=True)
    rows = {(row.stratum, row.group, row.metric): row for row in summarise(scores, apart)}
    everything = [(group, metric) for stratum, group, metric in rows if stratum == "all"]
    assert everything == [("with a lesion", "dice"), ("controls", "empty")]
    assert rows["all", "with a lesion", "dice"].mean.value == pytest.approx(0.4)  # type: ignore[union-attr]
    assert (rows["all", "with a lesion", "dice"].n, rows["all", "with a lesion", "dice"].undefined) == (2, 0)
    assert rows["all", "controls", "empty"].mean.value == 0.5  # type: ignore[union-attr]
    assert rows["centre", "unknown", "dice"].n == 2


def test_intervals_end_where_the_metric_does_and_know_centres() -> None:
    scores = [score(str(n), 1.0 - 0.4 * (n % 10 == 0), centre=f"R{n % 5}") for n in range(40)]
    (row, *_) = summarise(scores, _DICE)
    assert row.mean is not None
    assert row.mean.centres == 5
    assert row.mean.high == 1.0
    values, centres = [1.0 - 0.4 * (n % 10 == 0) for n in range(40)], [f"R{n % 5}" for n in range(40)]
    assert row.mean == mean_interval(values, centres, least=0, most=1)


def test_undefined_is_counted_and_never_a_number() -> None:
    (row, *_) = summarise([score("a", None), score("b", 0.5), score("c", None)], _DICE)
    assert (row.n, row.undefined, row.mean.value) == (1, 2, 0.5)  # type: ignore[union-attr]
    (row, *_) = summarise([score("a", None)], _DICE)
    assert (row.n, row.undefined, row.mean, row.median, row.quartiles) == (0, 1, None, None, None)


def test_recall_by_size_counts_lesions_not_cases() -> None:
    true = (TrueLesion(5, False, False), TrueLesion(50, True, False), TrueLesion(60, True, True))
    predicted = (PredictedLesion(40, 0.04, True, None), PredictedLesion(30, 0.03, False, None))
    rows = {row["bin"]: row for row in size_recall([score("a", 0, true_lesions=true, predicted_lesions=predicted)])}
    assert (rows["<10"]["lesions"], rows["<10"]["recall_any"], rows["<10"]["precision_any"]) == (1, 0, None)
    assert rows["10-100"] == {
        "bin": "10-100",
        "lesions": 2,
        "recall_any": 1,
        "recall_iou25": 0.5,
        "predicted": 2,
        "precision_any": 0.5,
    }
    assert rows[">=10k"]["recall_any"] is None


def _map_score(case: str, prob: np.ndarray, truth: np.ndarray) -> CaseScore:
    return score(case, 0.5, counts=count_logits(truth, prob))


def test_a_calibrated_map_is_reliable_and_an_overconfident_one_is_not() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-2, 2, 400_000)
    prob = 1 / (1 + np.exp(-logits))
    truth = rng.random(prob.shape) < prob
    good, bad = (reliability([_map_score("a", p, truth)]) for p in (prob, 1 / (1 + np.exp(-2 * logits))))
    assert good is not None
    assert bad is not None
    assert good.error < 0.005
    assert bad.error > 0.05
    assert np.allclose(good.predicted, good.true, atol=0.02)
    assert good.log_loss < bad.log_loss
    direct = -np.log(np.where(truth, prob, 1 - prob)).mean()
    assert good.log_loss == pytest.approx(1000 * direct, rel=1e-3)
    counts = pooled([_map_score("a", 1 / (1 + np.exp(-2 * logits)), truth)])
    assert log_loss(counts, scaling=Scaling(2)) == pytest.approx(direct, rel=1e-3)  # type: ignore[arg-type]


def test_the_curve_is_that_of_all_voxels() -> None:
    rng = np.random.default_rng(1)
    prob = rng.random((2, 3000))
    truth = rng.random(prob.shape) < prob**2
    points = curve([_map_score("a", prob[0], truth[0]), _map_score("b", prob[1], truth[1])])
    assert points is not None
    recall, precision = points
    area = float((np.diff(recall, prepend=0) * precision).sum())
    assert area == pytest.approx(average_precision(truth, prob), abs=0.01)
    assert curve([score("a", 0.5)]) is None
    assert reliability([score("a", 0.5)]) is None


def test_coverage_counts_the_intervals_that_hold() -> None:
    scores = [
        score("a", 0, truth_ml=1.0, interval_ml=(0.5, 2.0)),
        score("b", 0, truth_ml=3.0, interval_ml=(0.5, 2.0)),
        score("c", 0),
    ]
    assert coverage(scores) == (1, 2)
