from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from insula.checkpoint import load_weights
from insula.config import PrepareConfig, SegmentConfig, from_dict
from insula.data import prepare
from insula.errors import CannotCreate, UsageError
from insula.export import export_openvino
from insula.infer import openvino
from insula.postprocess import decide
from insula.predict import segment
from insula.volume import Case

_EXACT = SegmentConfig(device="cpu", precision="float32")


@pytest.fixture(scope="module")
def exported(quiet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_openvino(str(quiet_weights), tmp_path_factory.mktemp("export") / "tiny.xml")


def test_the_two_files_alone_are_enough_for_the_same_mask(exported: Path, quiet_weights: Path, coarse_case: Case) -> None:  # fmt: skip
    core = openvino().Core()
    model = core.read_model(exported)
    about = {key: model.get_rt_info(["insula", key]).astype(str) for key in ("prepare", "threshold", "min_lesion_ml", "notice", "weights_sha256")}  # fmt: skip
    assert "not a medical device" in about["notice"]
    assert about["weights_sha256"] == load_weights(str(quiet_weights)).sha256
    prepared = prepare(coarse_case.scan, from_dict(PrepareConfig, json.loads(about["prepare"]), what="the metadata"))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    home = prepared.bring_home(compiled(prepared.image.numpy())[0][0, 0])
    mask = decide(home, coarse_case.scan.grid, threshold=float(about["threshold"]), min_lesion_ml=float(about["min_lesion_ml"]))  # fmt: skip
    ours = segment(coarse_case.scan, _EXACT, weights=str(quiet_weights))
    assert ours.mask.voxels.any()
    assert np.array_equal(mask.voxels, ours.mask.voxels)
    assert np.abs(home - ours.prob).max() < 1e-3


def test_a_tile_if_wanted(quiet_weights: Path, tmp_path: Path) -> None:
    path = export_openvino(str(quiet_weights), tmp_path / "tile.xml", shape=(16, 32, 16))
    assert list(openvino().Core().read_model(path).input(0).shape) == [1, 1, 16, 32, 16]
    with pytest.raises(UsageError, match="not divisible"):
        export_openvino(str(quiet_weights), tmp_path / "odd.xml", shape=(16, 31, 16))


def test_neither_file_is_overwritten(quiet_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "it.bin").write_text("mine")
    with pytest.raises(CannotCreate, match="exists"):
        export_openvino(str(quiet_weights), tmp_path / "it.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["it.bin"]
    with pytest.raises(UsageError, match=r"end in \.xml"):
        export_openvino(str(quiet_weights), tmp_path / "it.onnx")
