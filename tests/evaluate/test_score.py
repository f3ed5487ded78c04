"""One case: every metric on a hand-computed phantom, every edge case as the presets state it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from cohort.tree import save
from corpus.files import nifti, packed
from insula.cohort import Entry
from insula.errors import BadData
from insula.evaluate import METRICS, PRESETS, Pair, score_masks, score_pair
from insula.geometry import AxisMap, Grid, reordered
from insula.types import Flag
from insula.volume import Mask

_GRID = Grid((20, 20, 20), np.diag([1.0, 1.0, 2.0, 1.0]))
_NONE = np.zeros(_GRID.shape, bool)


def _box(low: int, high: int) -> np.ndarray:
    mask = _NONE.copy()
    mask[low:high, 4:8, 4:8] = True
    return mask


def test_a_case_computed_by_hand() -> None:
    """Truth: 4x4x4 at 2; prediction: the same moved by two along i, and a single voxel far away. Voxels of 2 mm3."""
    truth, predicted = _box(2, 6), _box(4, 8)
    predicted[18, 18, 18] = True
    score = score_masks(Mask(truth, _GRID), Mask(predicted, _GRID))
    values = score.metrics
    assert values["dice"] == pytest.approx(2 * 32 / (64 + 65), abs=1e-12)
    assert values["f1_any"] == pytest.approx(2 / 3, abs=1e-12)
    assert values["f1_iou25"] == pytest.approx(2 / 3, abs=1e-12)  # IoU 32 / 96
    assert values["volume_difference_ml"] == pytest.approx(0.002, abs=1e-12)
    assert values["volume_difference_voxels"] == 1
    assert values["count_difference"] == 1
    assert values["pr_auc"] is None
    assert (score.truth_voxels, score.truth_ml) == (64, pytest.approx(0.128))
    assert [(lesion.voxels, lesion.touched, lesion.paired) for lesion in score.true_lesions] == [(64, True, True)]
    assert sorted((lesion.voxels, lesion.touches, lesion.mean_logit) for lesion in score.predicted_lesions) == [
        (1, False, None),
        (64, True, None),
    ]


@pytest.mark.parametrize("key", METRICS)
@pytest.mark.parametrize("kind", ["both empty", "truth empty", "prediction empty"])
def test_edge_cases_are_what_the_presets_say(key: str, kind: str) -> None:
    metric = METRICS[key]
    full = _box(2, 6)
    first, second = {
        "both empty": (_NONE, _NONE),
        "truth empty": (_NONE, full),
        "prediction empty": (full, _NONE),
    }[kind]
    prob = second.astype(np.float32)
    apart = score_masks(Mask(first, _GRID), Mask(second, _GRID), prob).metrics[key]
    value = score_masks(Mask(first, _GRID), Mask(second, _GRID), prob, controls_apart=False).metrics[key]
    assert apart == (value if metric.of == ("lesion" if first.any() else "control") else None)
    if metric.of == "control" and first.any():
        return
    stated = metric.both_empty if kind == "both empty" else metric.one_empty
    expected: float | None = {
        "0": 0.0,
        "1": 1.0,
        "undefined, counted apart": None,
        "the other's volume": 64 * (0.002 if "ml" in key else 1),
        "the other's count": 1.0,
        "the predicted volume": 64 * 0.002,
        "1 if the map is constant, else 0": 1.0,
        "empty truth: as both empty; else as computed": 0.0 if kind == "truth empty" else 64 / 8000,
    }[stated]
    assert value == (None if expected is None else pytest.approx(expected, abs=1e-12))


def test_presets_name_known_metrics_and_have_versions() -> None:
    for preset in PRESETS.values():
        assert set(preset.metrics) <= set(METRICS)
        assert preset.version
        assert preset.note
        score = score_masks(Mask(_NONE, _GRID), Mask(_NONE, _GRID), metrics=preset.metrics)
        assert tuple(score.metrics) == preset.metrics
    assert PRESETS["full"].metrics == tuple(METRICS)


def test_another_grid_is_refused() -> None:
    other = Grid(_GRID.shape, _GRID.affine + np.array([[0, 0, 0, 0.03], [0] * 4, [0] * 4, [0] * 4]))
    with pytest.raises(BadData, match=r"up to 0.03 mm apart\) does not lie on the truth's grid"):
        score_masks(Mask(_NONE, _GRID), Mask(_NONE, other))
    near = Grid(_GRID.shape, _GRID.affine + np.array([[0, 0, 0, 0.01], [0] * 4, [0] * 4, [0] * 4]))
    assert score_masks(Mask(_box(2, 6), _GRID), Mask(_box(2, 6), near)).metrics["dice"] == 1
    with pytest.raises(BadData, match=r"the origin, by 0.03 mm: the same voxel"):
        score_masks(Mask(_NONE, _GRID), Mask(_NONE, other))
    turned = Grid(_GRID.shape, np.diag([-1.0, 1.0, 2.0, 1.0]))
    with pytest.raises(BadData, match=r"axes LAS against RAS"):
        score_masks(Mask(_NONE, _GRID), Mask(_NONE, turned))


@pytest.mark.parametrize(
    ("prob", "message"),
    [
        (np.zeros((20, 20, 19), np.float32), r"20, 20, 19"),
        (np.full(_GRID.shape, np.nan, np.float32), "not finite"),
        (np.full(_GRID.shape, 2.5, np.float32), "2.5 is not a probability"),
        (np.full(_GRID.shape, -0.5, np.float32), "-0.5"),
    ],
)
def test_what_is_no_map_is_refused(prob: np.ndarray, message: str) -> None:
    with pytest.raises(BadData, match=message):
        score_masks(Mask(_NONE, _GRID), Mask(_NONE, _GRID), prob, case="r001")


def test_a_pair_of_files_with_its_record(tmp_path: Path) -> None:
    truth, predicted = _box(2, 6), _box(3, 7)
    image = np.zeros(_GRID.shape, np.int16)
    for name, voxels in (("truth", truth), ("x_mask", predicted)):
        (tmp_path / f"{name}.nii.gz").write_bytes(packed(nifti(voxels.astype(np.uint8), _GRID)))
    (tmp_path / "x_prob.nii.gz").write_bytes(packed(nifti((predicted * 0.75).astype(np.float32), _GRID)))
    (tmp_path / "x_T1w.nii.gz").write_bytes(packed(nifti(image + np.arange(20, dtype=np.int16), _GRID)))
    flags = [Flag("motion", "It shows motion."), Flag("resampled", "It was resampled.", "note")]
    record = {"confidence": {"volume_interval_ml": [0.1, 0.4]}, "flags": [asdict(flag) for flag in flags]}
    (tmp_path / "x.json").write_text(json.dumps(record))
    entry = Entry(
        case="x",
        subject="x",
        session="",
        centre="R007",
        chronicity="acute",
        images=(tmp_path / "x_T1w.nii.gz",),
        masks=(tmp_path / "truth.nii.gz",),
    )
    files = {name: tmp_path / f"x_{name}.nii.gz" for name in ("mask", "prob")}
    pair = Pair(entry=entry, **files, record=tmp_path / "x.json")
    score = score_pair(pair, PRESETS["full"])
    assert score.metrics["dice"] == pytest.approx(0.75)
    assert (score.centre, score.chronicity, score.interval_ml) == ("R007", "acute", (0.1, 0.4))
    assert score.flags == tuple(flags)
    assert score.hemisphere == "unknown"  # no head of 4 cm
    assert score.predicted_lesions[0].mean_logit == pytest.approx(np.log(3))
    assert score.counts is not None
    assert score.counts.voxels_above(0.5) == 64
    for text in ("{", "[]", "3", '{"flags": 3, "confidence": []}', '{"flags": [3, {"code": "x"}], "confidence": {}}'):
        (tmp_path / "x.json").write_text(text)
        unrecorded = score_pair(pair, PRESETS["atlas2022"])
        assert (unrecorded.interval_ml, unrecorded.flags) == (None, ())


def test_a_prediction_in_another_axis_order_scores_as_in_the_truths_order(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    grid, axes = Grid((20, 20, 20), affine), AxisMap(order=(1, 2, 0), flip=(True, False, True))
    truth, soft = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.float32)
    truth[2:6, 4:9, 5:7], soft[2:6, 4:9, 4:7] = 1, 0.75
    names = {"truth": (truth, grid), "mask": (soft > 0.5, grid), "prob": (soft, grid)}
    for name, (voxels, where) in names.items():
        save(tmp_path / f"{name}.nii.gz", np.asarray(voxels, np.float32), where.affine)
        save(
            tmp_path / f"{name}2.nii.gz",
            np.ascontiguousarray(axes.apply(np.asarray(voxels, np.float32))),
            reordered(where, axes).affine,
        )
    entry = Entry.of_files("x", (), (tmp_path / "truth.nii.gz",))
    scores = [
        score_pair(
            Pair(entry=entry, mask=tmp_path / f"mask{end}.nii.gz", prob=tmp_path / f"prob{end}.nii.gz"),
            PRESETS["full"],
        )
        for end in ("", "2")
    ]
    assert [score.reordered for score in scores] == [False, True]
    assert scores[0].metrics == pytest.approx(scores[1].metrics)
    assert scores[0].metrics["dice"] == pytest.approx(2 * 40 / (40 + 60))
