"""Lesion by lesion: hand-made cases, a brute-force reference, and panoptica."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from panoptica import ConnectedComponentsInstanceApproximator, InputType, NaiveThresholdMatching, Panoptica_Evaluator
from panoptica.metrics import Metric

from insula.geometry import label_components
from insula.metrics import SIZE_BINS, cc_dice, match_lesions, size_bin
from metrics.grids import GRIDS

_SHAPE = (24, 26, 22)


def _mask(*boxes: tuple[slice, slice, slice]) -> NDArray[np.bool_]:
    mask = np.zeros(_SHAPE, bool)
    for box in boxes:
        mask[box] = True
    return mask


def _cube(at: int, size: int) -> tuple[slice, slice, slice]:
    return (slice(at, at + size),) * 3


def _blobs(rng: np.random.Generator) -> NDArray[np.bool_]:
    mask = np.zeros(_SHAPE, bool)
    for _ in range(int(rng.integers(3, 11))):
        corner, size = rng.integers(0, 18, 3), rng.integers(1, 5, 3)
        mask[tuple(slice(int(c), int(c + s)) for c, s in zip(corner, size, strict=True))] = True
    return mask


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    mask = _mask(_cube(2, 2), _cube(4, 2))
    assert label_components(mask)[1] == 1
    mask.flags.writeable = False
    assert label_components(mask)[1] == 1
    assert label_components(_mask(_cube(2, 2), _cube(5, 2)))[1] == 2


def test_one_voxel_is_enough_for_one_f1_and_not_for_the_other() -> None:
    """8 and 8 voxels with one in common: IoU 1/15. Any overlap: found. IoU 0.25: missed and false."""
    match = match_lesions(_mask(_cube(2, 2)), _mask(_cube(3, 2)))
    assert match.f1_any == 1
    assert match.recognition_quality == 0
    assert match.count_difference == 0


def test_iou_of_exactly_a_quarter_counts() -> None:
    """2 of 4 and 6: IoU 2 / 8."""
    truth, predicted = np.zeros(_SHAPE, bool), np.zeros(_SHAPE, bool)
    truth[0:4, 0, 0] = True
    predicted[2:8, 0, 0] = True
    assert match_lesions(truth, predicted).pairs == ((0, 0, 0.25),)
    assert match_lesions(truth, predicted, least_iou=0.2500001).pairs == ()


def test_each_lesion_is_used_once_the_best_pair_first() -> None:
    """A bridge over two true lesions: it is the partner of the larger one, the other is missed."""
    truth = _mask((slice(0, 6), slice(0, 2), slice(0, 2)), (slice(8, 12), slice(0, 2), slice(0, 2)))
    match = match_lesions(truth, _mask((slice(0, 12), slice(0, 2), slice(0, 2))))
    assert [(a, b) for a, b, _ in match.pairs] == [(0, 0)]
    assert match.recognition_quality == pytest.approx(2 / 3)
    assert match.f1_any == 1
    assert match.count_difference == -1


@pytest.mark.parametrize(("truth", "predicted", "f1"), [((), (), 1), ((3,), (), 0), ((), (3,), 0)])
def test_empty_masks(truth: tuple[int, ...], predicted: tuple[int, ...], f1: float) -> None:
    match = match_lesions(_mask(*(_cube(at, 3) for at in truth)), _mask(*(_cube(at, 3) for at in predicted)))
    assert match.f1_any == match.recognition_quality == f1


def test_equals_panoptica_on_random_masks() -> None:
    judge = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=NaiveThresholdMatching(matching_metric=Metric.IOU, matching_threshold=0.25),
        instance_metrics=[Metric.IOU],
    )
    rng = np.random.default_rng(5)
    seen = set()
    for _ in range(40):
        truth = _blobs(rng)
        predicted = np.roll(truth, tuple(rng.integers(-2, 3, 3)), (0, 1, 2)) if rng.random() < 0.6 else _blobs(rng)
        theirs = judge.evaluate(predicted.astype(np.uint8), truth.astype(np.uint8), verbose=False)["ungrouped"]
        ours = match_lesions(truth, predicted)
        assert ours.recognition_quality == pytest.approx(theirs.rq, abs=1e-9)
        assert len(ours.pairs) == theirs.tp
        assert (len(ours.truth_sizes), len(ours.predicted_sizes)) == (
            theirs.n_ref_instances,
            theirs.n_pred_instances,
        )
        if ours.pairs:
            assert np.mean([iou for *_, iou in ours.pairs]) == pytest.approx(theirs.sq, abs=1e-9)
        seen.add(round(ours.recognition_quality, 2))
    assert len(seen) > 5, "the masks have to differ for this to mean anything"


@pytest.mark.parametrize("kind", GRIDS)
def test_cc_dice_equals_a_slow_reference(kind: str) -> None:
    """Every voxel of the volume is given to its nearest true lesion, the first of equals; each region scores alone."""
    axes_mm, rng = GRIDS[kind], np.random.default_rng(6)
    indices = np.stack(np.meshgrid(*map(np.arange, _SHAPE), indexing="ij"), axis=-1)
    by_voxels = []
    for _ in range(8):
        truth, predicted = _blobs(rng), _blobs(rng)
        labels, count = label_components(truth)
        far = []
        for number in range(1, count + 1):
            steps = [(indices - point) @ axes_mm.T for point in np.argwhere(labels == number)]
            far.append(np.min([(step**2).sum(-1) for step in steps], axis=0))
        region = np.argmin(np.round(far, 6), axis=0)  # equals are equal up to rounding
        dice = []
        for number in range(count):
            true_part, predicted_part = truth & (region == number), predicted & (region == number)
            dice.append(2 * (true_part & predicted_part).sum() / (true_part.sum() + predicted_part.sum()))
        assert cc_dice(truth, predicted, axes_mm) == pytest.approx(np.mean(dice), abs=1e-9)
        by_voxels.append(cc_dice(truth, predicted, np.eye(3)) == pytest.approx(np.mean(dice), abs=1e-9))
    assert all(by_voxels) == (kind == "cubic"), "millimetres have to matter for this to mean anything"
    assert cc_dice(truth, truth, axes_mm) == 1
    assert cc_dice(np.zeros(_SHAPE, bool), truth, axes_mm) == 0
    assert cc_dice(np.zeros(_SHAPE, bool), np.zeros(_SHAPE, bool), axes_mm) == 1


def test_cc_dice_gives_a_voxel_halfway_to_the_lower_label() -> None:
    """Two lesions 4 steps apart on oblique axes, a prediction in the middle: the first lesion alone is charged."""
    truth, predicted = np.zeros(_SHAPE, bool), np.zeros(_SHAPE, bool)
    truth[3, 5, 5] = truth[7, 5, 5] = True
    predicted[[3, 5, 7], 5, 5] = True
    assert cc_dice(truth, predicted, GRIDS["oblique"]) == pytest.approx((2 / 3 + 1) / 2)
    low, high = label_components(truth)[0][[3, 7], 5, 5]
    assert low < high
    predicted[3, 5, 5] = False
    assert cc_dice(truth, predicted, GRIDS["oblique"]) == pytest.approx((0 + 1) / 2)


def test_cc_dice_of_empty_masks() -> None:
    empty, lesion = _mask(), _mask(_cube(0, 2))
    assert cc_dice(empty, empty, np.eye(3)) == 1.0
    assert cc_dice(empty, lesion, np.eye(3)) == cc_dice(lesion, empty, np.eye(3)) == 0.0


def test_a_large_lesion_hides_nothing_from_cc_dice() -> None:
    truth = _mask(_cube(0, 10), _cube(16, 2))
    assert cc_dice(truth, _mask(_cube(0, 10)), np.eye(3)) == 0.5


def test_size_bins_take_their_lower_edge() -> None:
    assert [size_bin(n) for n in (1, 9, 10, 99, 100, 999, 1000, 9999, 10_000)] == [
        SIZE_BINS[0],
        SIZE_BINS[0],
        SIZE_BINS[1],
        SIZE_BINS[1],
        SIZE_BINS[2],
        SIZE_BINS[2],
        SIZE_BINS[3],
        SIZE_BINS[3],
        SIZE_BINS[4],
    ]
