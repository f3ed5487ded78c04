"""Every way is measured alone, and compared with PyTorch in float32."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from insula.bench import bench_predict, parse_combination
from insula.bench.predict import _compare
from insula.checkpoint import load_weights
from insula.cohort import find_cohort
from insula.config import SegmentConfig
from insula.errors import UsageError
from insula.volume import Case


@pytest.fixture
def cohort(coarse_case: Case, tmp_path: Path) -> Path:
    for kind, voxels in (("T1w", coarse_case.scan.image), ("label-L_mask", coarse_case.truth.voxels.astype(np.uint8))):
        name = tmp_path / "cohort" / "sub-1" / "anat" / f"sub-1_{'space-orig_' if kind != 'T1w' else ''}{kind}.nii.gz"
        name.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, coarse_case.scan.grid.affine), name)
    return tmp_path / "cohort"


def test_each_way_is_timed_scored_and_compared(
    cohort: Path, quiet_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path / "cache"))
    entries = find_cohort(cohort).entries
    spellings = ("openvino:float32", "tensorrt:float16")
    results = list(bench_predict([str(quiet_weights)], spellings, entries, device="cpu", repeats=2))
    assert [result.combination.spelling for result in results] == ["torch:float32", *spellings]
    exact, other, never = results
    for result in (exact, other):
        assert min(result.seconds, result.network_s, result.cold_s) > 0  # how long is for a benchmark to say
        assert 0 < result.peak_gib < 8
        assert result.parameters > 0
    [(case, alone)] = exact.cases.items()
    assert (alone.apart, alone.same, alone.precision) == (0.0, 1.0, "float32")
    assert 0 < other.cases[case].apart < 1e-3
    assert other.cases[case].same > 0.999
    assert alone.dice is not None
    assert never.why_not is not None
    assert "GPUs" in never.why_not


def test_without_the_exact_way_nothing_is_compared(cohort: Path, quiet_weights: Path, tmp_path: Path) -> None:
    entry, loaded = find_cohort(cohort).entries[0], load_weights(str(quiet_weights))
    config = SegmentConfig(device="cpu", precision="float32")
    alone = _compare(entry, loaded, config, tmp_path, exact=False)
    assert (alone.apart, alone.same) == (None, None)
    assert _compare(entry, loaded, config, tmp_path, exact=True).same == 1.0
    assert _compare(entry, loaded, config, tmp_path, exact=False).apart == 0.0


def test_ways_are_pairs() -> None:
    assert parse_combination("openvino:bfloat16") == ("openvino", "bfloat16")
    for wrong in (
        "openvino",
        "onnxruntime:bfloat16",
        "openvino:int4",
        "caffe:float32",
        "tensorrt:bfloat16",
        "openvino:float16",
        "",
    ):
        with pytest.raises(UsageError, match="`ways`"):
            parse_combination(wrong)


def test_an_unknown_engine_is_told_which_there_are() -> None:
    with pytest.raises(UsageError, match="write one of torch, aoti, tensorrt, openvino, onnxruntime, a colon and a"):
        parse_combination("pytorch:float32")
