"""The door: one call, a result on the scan's own grid, the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import insula
from geometry.orders import ORDERS, stored_as
from insula.config import SegmentConfig
from insula.errors import BadData
from insula.io import read_mask, read_scan
from insula.predict import Result, refusal, result_paths, segment, to_record, write_refusal, write_result
from insula.volume import Case, Scan

_CONFIG = SegmentConfig(device="cpu", precision="float32")


@pytest.fixture
def result(coarse_case: Case, tiny_weights: Path) -> Result:
    return segment(coarse_case.scan, _CONFIG, weights=str(tiny_weights))


def test_the_public_door_is_this_function() -> None:
    assert insula.segment is segment
    assert insula.Result is Result


def test_everything_is_on_the_scans_grid(result: Result, coarse_case: Case) -> None:
    assert result.mask.grid == coarse_case.scan.grid
    assert result.prob.shape == coarse_case.scan.grid.shape
    assert result.prob.dtype == np.float32
    assert result.volume_ml == pytest.approx(sum(lesion.volume_ml for lesion in result.lesions))
    assert result.volume_ml > 0
    assert result.reason is None
    assert np.array_equal(result.mask.voxels, result.prob >= result.threshold)


def test_an_empty_mask_has_its_reason(coarse_case: Case, tiny_weights: Path) -> None:
    none = segment(coarse_case.scan, SegmentConfig(device="cpu", threshold=1.0), weights=str(tiny_weights))
    assert none.reason is not None
    assert f"{none.prob.max():.2f}, below the threshold 1" in none.reason
    small = segment(coarse_case.scan, SegmentConfig(device="cpu", min_lesion_ml=1e6), weights=str(tiny_weights))
    assert small.reason is not None
    assert "smaller than the least lesion" in small.reason


def test_any_order_of_axes_gives_the_same_record(result: Result, coarse_case: Case, tiny_weights: Path) -> None:
    expected = to_record(result)
    for axes in ORDERS[5::9]:
        image, grid = stored_as(coarse_case.scan.image, coarse_case.scan.grid, axes)
        record = to_record(segment(Scan(image, grid, name="phantom"), _CONFIG, weights=str(tiny_weights)))
        assert record["volume_ml"] == expected["volume_ml"]
        assert record["lesions"] == expected["lesions"]


def test_the_record_is_json_and_tells_how(result: Result) -> None:
    record = json.loads(json.dumps(to_record(result), allow_nan=False))
    assert record["format"] == "insula-result/1"
    assert "not a medical device" in record["notice"]
    assert record["lesion_count"] == len(record["lesions"])
    volumes = list(record["confidence"]["volume_ml_at_threshold"].values())
    assert volumes == sorted(volumes, reverse=True)
    assert record["provenance"]["weights"]["name"] == "tiny"
    assert len(record["provenance"]["weights"]["sha256"]) == 64


def test_two_runs_write_the_same_bytes(coarse_case: Case, tiny_weights: Path, tmp_path: Path) -> None:
    written = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        paths = result_paths(tmp_path / run, "x")
        write_result(segment(coarse_case.scan, _CONFIG, weights=str(tiny_weights)), paths)
        written.append([p.read_bytes() for p in (paths.mask, paths.prob, paths.record)])
    assert written[0] == written[1]


def test_files_hold_what_the_result_says(result: Result, tmp_path: Path) -> None:
    paths = result_paths(tmp_path, "x")
    record = write_result(result, paths)
    assert np.array_equal(read_mask(paths.mask).voxels, result.mask.voxels)
    assert np.abs(read_scan(paths.prob).image - result.prob).max() < 1e-5
    assert json.loads(paths.record.read_text()) == json.loads(json.dumps(record))


def test_an_input_that_changed_meanwhile_is_refused(tiny_weights: Path, coarse_case: Case, tmp_path: Path) -> None:
    from insula.io import write_prob

    source = tmp_path / "scan.nii.gz"
    write_prob(source, coarse_case.scan.image, coarse_case.scan.grid)
    found = segment(read_scan(source), _CONFIG, weights=str(tiny_weights))
    source.write_bytes(source.read_bytes() + b"\0")
    with pytest.raises(BadData, match="changed while it was segmented"):
        write_result(found, result_paths(tmp_path, "x"), source=source)
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii.gz"]


def test_a_refusal_takes_yesterdays_mask_away(result: Result, tmp_path: Path) -> None:
    paths = result_paths(tmp_path, "x")
    write_result(result, paths)
    error = BadData("the file", "of 0 bytes", "is empty", "copy it again")
    assert write_refusal(error, "x", paths) == refusal("x", error)
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_names_too_long_are_cut_and_stay_apart(tmp_path: Path) -> None:
    names = ["ä" * 130 + end for end in ("1", "2")]
    masks = {result_paths(tmp_path, name).mask.name for name in names}
    assert len(masks) == 2
    assert all(len(name.encode()) <= 255 for name in masks)
