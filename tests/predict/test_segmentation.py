"""The door: one call, a result on the scan's own grid, the same every time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from geometry.orders import ORDERS, stored_as, turned
from insula.checkpoint import load_weights
from insula.config import Calibration, SegmentConfig
from insula.errors import BadData, IOFault
from insula.geometry import label_components
from insula.infer import InferFacts, Probabilities
from insula.io import atomic, nifti_write, read_mask, read_scan, read_values
from insula.predict import Result, refusal, result_paths, segment, to_record, write_refusal, write_result
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
from insula.types import Flag
from insula.volume import Case, Scan

_CONFIG = SegmentConfig(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def result(coarse_case: Case, tiny_weights: Path) -> Result:
    return segment(coarse_case.scan, _CONFIG, weights=str(tiny_weights))


@pytest.fixture(scope="module")
def brained(coarse_case: Case, brain_weights: Path) -> Result:
    """What weights with a brain output give."""
    return segment(coarse_case.scan, _CONFIG, weights=str(brain_weights))


def test_everything_is_on_the_scans_grid(result: Result, coarse_case: Case) -> None:
    assert result.mask.grid == coarse_case.scan.grid
    assert result.prob.shape == coarse_case.scan.grid.shape
    assert result.prob.dtype == np.float32
    assert result.volume_ml == pytest.approx(sum(lesion.volume_ml for lesion in result.lesions))
    assert result.volume_ml > 0
    assert result.reason is None
    assert np.array_equal(result.mask.voxels, result.prob >= result.threshold)


def _with_spacing(spacing_mm: tuple[float, float, float], degrees: float = 0.0) -> Scan:
    scan = phantom_case(phantom_grid(spacing_mm=spacing_mm)).scan
    return Scan(scan.image, turned(scan.grid, degrees), name="phantom")


@pytest.mark.parametrize("tta", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "scan",
    [_with_spacing((4, 4, 4)), _with_spacing((3, 3, 3)), _with_spacing((2, 5, 8)), _with_spacing((3, 4, 5), 11.0)],
    ids=["the box's grid", "finer", "thick slices", "oblique"],
)
def test_no_lesion_lies_outside_the_brain(scan: Scan, tta: bool, brain_weights: Path) -> None:
    config = SegmentConfig(device="cpu", precision="float32", tta=tta, threshold=0.1)
    result = segment(scan, config, weights=str(brain_weights))
    assert result.brain is not None
    assert result.mask.voxels.any()
    outside = ~result.brain.voxels
    assert outside.any()
    assert not result.mask.voxels[outside].any()
    assert not result.prob[outside].any()
    assert result.prob[result.brain.voxels].any()
    pieces, count = label_components(result.brain.voxels)
    assert (count, int(pieces.max())) == (1, 1)
    assert np.array_equal(ndimage.binary_fill_holes(result.brain.voxels), result.brain.voxels)


def test_nor_does_one_where_a_member_of_an_ensemble_has_no_brain(
    coarse_case: Case, brain_weights: Path, tiny_weights: Path
) -> None:
    result = segment(coarse_case.scan, _CONFIG, weights=f"{brain_weights},{tiny_weights}")
    assert result.brain is not None
    assert result.mask.voxels.any()
    assert not result.mask.voxels[~result.brain.voxels].any()
    assert not result.prob[~result.brain.voxels].any()


def test_the_brain_is_measured_and_the_lesions_share_of_it(brained: Result) -> None:
    assert brained.brain is not None
    assert brained.brain_volume_ml == pytest.approx(brained.brain.voxels.sum() * 0.064)
    assert brained.lesion_share == pytest.approx(brained.mask.voxels.sum() / brained.brain.voxels.sum())
    record = to_record(brained)
    assert record["brain"] == {
        "volume_ml": pytest.approx(brained.brain_volume_ml, abs=1e-4),
        "lesion_share": pytest.approx(brained.lesion_share, abs=1e-6),
    }
    assert 600 < record["brain"]["volume_ml"] < 2200
    assert "brain-volume-odd" not in {flag["code"] for flag in record["flags"]}


def test_a_volume_interval_ends_at_the_brain(brained: Result) -> None:
    assert brained.brain_volume_ml is not None
    wild = replace(brained, calibration=Calibration(volume=(-0.1, 50.0)))
    interval = wild.volume_interval_ml
    assert interval is not None
    assert interval[0] < interval[1] == brained.brain_volume_ml


@pytest.mark.parametrize(("code", "given"), [("motion", True), ("spin-echo", False), ("grey-like-white", False)])
def test_a_spin_echo_gets_no_volume_interval_and_is_told_why(code: str, given: bool, brained: Result) -> None:
    fitted = Calibration(volume=(-0.1, 0.1), fitted_on={"cases": 64})
    flagged = replace(brained, calibration=fitted, flags=(Flag(code, "It looks odd."),))
    assert (flagged.volume_interval_ml is not None) is given
    confidence = to_record(flagged)["confidence"]
    assert (confidence["volume_interval_ml"] is None, confidence["volume_interval_level"] is None) == (not given,) * 2
    assert ("no interval of the volume" in confidence["note"]) is not given


def test_weights_without_a_brain_give_none(result: Result) -> None:
    assert (result.brain, result.brain_volume_ml, result.lesion_share) == (None, None, None)
    assert to_record(result)["brain"] is None


def test_a_scan_without_a_brain_says_so(coarse_case: Case, brain_weights: Path) -> None:
    loaded = load_weights(str(brain_weights))
    with torch.no_grad():
        loaded.model.head.bias[1] -= 1000
    result = segment(coarse_case.scan, _CONFIG, weights=loaded)
    record = to_record(result)
    assert record["reason"] == "no lesion found: the network sees no brain in this scan"
    assert record["brain"] == {"volume_ml": 0.0, "lesion_share": None}
    assert "brain-volume-odd" in {flag["code"] for flag in record["flags"]}
    assert not result.prob.any()


@pytest.mark.parametrize(("before", "flagged"), [((), True), (("spin-echo",), False), (("contrast-inverted",), False)])
def test_a_spin_echos_contrast_is_flagged_unless_the_scan_is_known_to_be_one(
    before: tuple[str, ...], flagged: bool, coarse_case: Case, brain_weights: Path, monkeypatch: Any
) -> None:
    seen = []

    def flat(image: np.ndarray, brain: np.ndarray) -> tuple[Flag, ...]:
        seen.append((image, brain))
        return (Flag("grey-like-white", "Grey matter is bright."),)

    monkeypatch.setattr("insula.predict.segmentation.flat_contrast", flat)
    scan = replace(coarse_case.scan, flags=tuple(Flag(code, "") for code in before))
    codes = [flag.code for flag in segment(scan, _CONFIG, weights=str(brain_weights)).flags]
    assert ("grey-like-white" in codes) is flagged
    assert len(seen) == flagged
    for image, brain in seen:
        assert image[brain > 0.5].mean() > image[brain < 0.5].mean()


_SIDES = [(True, 0), (False, 1), (True, 2)]


@pytest.mark.parametrize(("depth", "flagged"), [(0, True), (1, True), (2, False)])
@pytest.mark.parametrize(
    ("far", "axis"),
    [(False, 0), (True, 1), (False, 2), *(pytest.param(*side, marks=pytest.mark.long) for side in _SIDES)],
)
def test_a_lesion_within_two_voxels_of_the_boxs_edge_is_flagged(
    far: bool, axis: int, depth: int, flagged: bool, coarse_case: Case, tiny_weights: Path, monkeypatch: Any
) -> None:
    weights = load_weights(str(tiny_weights))
    lesion = torch.zeros(weights.card.prepare.box)
    place = [n // 2 for n in lesion.shape]
    place[axis] = lesion.shape[axis] - 1 - depth if far else depth
    lesion[tuple(place)] = weights.card.threshold
    facts = InferFacts(device="cpu", precision="float32", passes="whole", why="", tta=False)
    monkeypatch.setattr("insula.predict.segmentation.infer_mean", lambda *_, **__: (Probabilities(lesion), facts))
    codes = [flag.code for flag in segment(coarse_case.scan, _CONFIG, weights=weights).flags]
    assert ("lesion-at-box-rim" in codes) is flagged
    lesion *= 0.99  # nothing reaches the threshold
    codes = [flag.code for flag in segment(coarse_case.scan, _CONFIG, weights=weights).flags]
    assert "lesion-at-box-rim" not in codes


def test_an_empty_mask_has_its_reason(coarse_case: Case, tiny_weights: Path) -> None:
    none = segment(coarse_case.scan, SegmentConfig(device="cpu", threshold=1.0), weights=str(tiny_weights))
    assert none.reason is not None
    assert f"{none.prob.max():.2f}, below the threshold 1" in none.reason
    small = segment(coarse_case.scan, SegmentConfig(device="cpu", min_lesion_ml=1e6), weights=str(tiny_weights))
    assert small.reason is not None
    assert "too small or too unlikely" in small.reason


@pytest.mark.long
@pytest.mark.parametrize("name", ["tiny_weights", "brain_weights"])
def test_any_order_of_axes_gives_the_same_record(name: str, coarse_case: Case, request: pytest.FixtureRequest) -> None:
    weights = str(request.getfixturevalue(name))
    expected = to_record(segment(coarse_case.scan, _CONFIG, weights=weights))
    for axes in ORDERS[5::9]:
        image, grid = stored_as(coarse_case.scan.image, coarse_case.scan.grid, axes)
        record = to_record(segment(Scan(image, grid, name="phantom"), _CONFIG, weights=weights))
        assert record["volume_ml"] == expected["volume_ml"]
        assert record["lesions"] == expected["lesions"]
        assert record["brain"] == expected["brain"]


def test_the_record_is_json_and_tells_how(result: Result) -> None:
    record = json.loads(json.dumps(to_record(result), allow_nan=False))
    assert record["format"] == "insula-result/1"
    assert "not a medical device" in record["notice"]
    assert record["lesion_count"] == len(record["lesions"])
    volumes = list(record["confidence"]["volume_ml_at_threshold"].values())
    assert volumes == sorted(volumes, reverse=True)
    assert record["provenance"]["weights"]["name"] == "tiny"
    assert len(record["provenance"]["weights"]["sha256"]) == 64


def test_two_runs_write_the_same_bytes(coarse_case: Case, brain_weights: Path, tmp_path: Path) -> None:
    written = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        paths = result_paths(tmp_path / run, "x")
        write_result(segment(coarse_case.scan, _CONFIG, weights=str(brain_weights)), paths)
        written.append([p.read_bytes() for p in (paths.mask, paths.brain, paths.prob, paths.record)])
    assert written[0] == written[1]


def test_files_hold_what_the_result_says(result: Result, tmp_path: Path) -> None:
    paths = result_paths(tmp_path, "x")
    record = write_result(result, paths)
    assert np.array_equal(read_mask(paths.mask).voxels, result.mask.voxels)
    written = read_values(paths.prob)[0]
    assert np.abs(written - result.prob).max() <= 2**-16
    assert np.array_equal(written >= result.threshold, result.prob >= result.threshold)
    assert json.loads(paths.record.read_text()) == json.loads(json.dumps(record))
    for name in ("mask", "prob"):
        assert record["sha256"][name] == hashlib.sha256(getattr(paths, name).read_bytes()).hexdigest()


def test_everything_is_made_then_the_old_record_goes_then_files_and_the_record_last(
    brained: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = result_paths(tmp_path, "x")
    write_result(brained, paths)
    order: list[str] = []
    unlink, write = Path.unlink, atomic.write_bytes

    def removed(path: Path, missing_ok: bool = False) -> None:
        order.append(f"remove {path.name}")
        unlink(path, missing_ok=missing_ok)

    def written(path: Path, data: bytes) -> None:
        order.append(f"write {path.name}")
        write(path, data)

    def page(_: dict[str, Any]) -> dict[Path, str]:
        order.append("make the page")
        return {paths.page: "<p>"}

    monkeypatch.setattr(Path, "unlink", removed)
    monkeypatch.setattr(atomic, "write_bytes", written)
    monkeypatch.setattr(nifti_write, "write_bytes", written)
    record = write_result(brained, paths, further=page)
    assert order == [
        "make the page",
        "remove x.json",
        "write x_mask.nii.gz",
        "write x_prob.nii.gz",
        "write x_brain.nii.gz",
        "remove x_network_mask.nii.gz",
        "write x.html",
        "write x.json",
    ]
    assert set(record["sha256"]) == {"mask", "prob", "brain", "page"}


def test_a_page_that_cannot_be_made_leaves_the_earlier_result(brained: Result, tmp_path: Path) -> None:
    paths = result_paths(tmp_path, "x")
    write_result(brained, paths)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(_: dict[str, Any]) -> dict[Path, str]:
        raise ValueError("no page")

    with pytest.raises(ValueError, match="no page"):
        write_result(brained, paths, further=broken)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_brain_mask_is_written_and_listed_only_where_there_is_one(
    brained: Result, result: Result, tmp_path: Path
) -> None:
    paths = result_paths(tmp_path, "x")
    record = write_result(brained, paths)
    assert record["files"]["brain"] == "x_brain.nii.gz"
    written = read_mask(paths.brain)
    assert brained.brain is not None
    assert np.array_equal(written.voxels, brained.brain.voxels)
    assert written.grid.close_to(brained.scan.grid)
    assert json.loads(paths.record.read_text())["brain"] == record["brain"]
    again = write_result(result, paths)  # of weights that know no brain
    assert "brain" not in again["files"]
    assert not paths.brain.exists()


def test_an_input_that_changed_meanwhile_is_refused(tiny_weights: Path, coarse_case: Case, tmp_path: Path) -> None:
    from insula.io import write_prob

    source = tmp_path / "scan.nii.gz"
    write_prob(source, coarse_case.scan.image, coarse_case.scan.grid)
    result = segment(read_scan(source), _CONFIG, weights=str(tiny_weights))
    source.write_bytes(source.read_bytes() + b"\0")
    with pytest.raises(BadData, match="changed while it was segmented"):
        write_result(result, result_paths(tmp_path, "x"), source=source)
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_a_refusal_takes_yesterdays_masks_away(brained: Result, tmp_path: Path) -> None:
    paths = result_paths(tmp_path, "x")
    write_result(brained, paths)
    assert paths.brain.exists()
    error = BadData("the file", "of 0 bytes", "is empty", "copy it again")
    assert write_refusal(error, "x", paths) == refusal("x", error)
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_names_too_long_are_cut_and_stay_apart(tmp_path: Path) -> None:
    names = ["ä" * 130 + end for end in ("1", "2")]
    for part in ("mask", "brain", "prob", "prob_seg"):
        files = {getattr(result_paths(tmp_path, name), part).name for name in names}
        assert len(files) == 2
        assert all(len(name.encode()) <= 255 for name in files)


def test_a_run_that_fails_leaves_no_record_beside_another_runs_mask(
    tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs into one folder: the second writes its mask and then meets a full disk."""
    scan = phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.0))).scan
    paths = result_paths(tmp_path, "x")
    write_result(segment(scan, SegmentConfig(device="cpu"), weights=str(tiny_weights)), paths)
    assert paths.record.is_file()
    written: list[str] = []

    def full(path: Path, *_: object, **__: object) -> None:
        written.append(path.name)
        raise IOFault("the disk", "", "is full", "make room")

    monkeypatch.setattr("insula.predict.write.write_prob", full)
    other = segment(scan, SegmentConfig(device="cpu", threshold=0.9), weights=str(tiny_weights))
    with pytest.raises(IOFault):
        write_result(other, paths)
    assert written == ["x_prob.nii.gz"]
    assert not paths.record.exists()
