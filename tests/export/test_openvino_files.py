from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from insula.checkpoint import load_weights
from insula.config import PrepareConfig, SegmentConfig, from_dict
from insula.errors import CannotCreate, UsageError
from insula.export import export_openvino
from insula.infer import openvino
from insula.postprocess import decide, find_brain, within_brain
from insula.predict import segment
from insula.prepare import prepare
from insula.volume import Case

_EXACT = SegmentConfig(device="cpu", precision="float32")


@pytest.fixture(scope="module", params=[pytest.param("quiet_weights", marks=pytest.mark.long), "brain_weights"])
def weights(request: pytest.FixtureRequest) -> Path:
    """Without and with a brain output."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_openvino(str(weights), tmp_path_factory.mktemp("export") / "tiny.xml")


def test_the_two_files_alone_are_enough_for_the_same_mask(exported: Path, weights: Path, coarse_case: Case) -> None:
    core = openvino().Core()
    model = core.read_model(exported)
    about = {
        key: model.get_rt_info(["insula", key]).astype(str)
        for key in ("prepare", "threshold", "min_lesion_ml", "notice", "weights_sha256", "outputs")
    }
    assert "not a medical device" in about["notice"]
    assert about["weights_sha256"] == load_weights(str(weights)).sha256
    prepared = prepare(coarse_case.scan, from_dict(PrepareConfig, json.loads(about["prepare"]), what="the metadata"))
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = dict(zip(json.loads(about["outputs"]), compiled(prepared.image.numpy())[0][0], strict=True))
    grid = coarse_case.scan.grid
    brain = find_brain(prepared.bring_home(outputs["brain"]), grid) if "brain" in outputs else None
    home = within_brain(prepared.bring_home(outputs["lesion"]), brain)
    mask = decide(
        home, grid, threshold=float(about["threshold"]), min_lesion_ml=float(about["min_lesion_ml"]), brain=brain
    )
    ours = segment(coarse_case.scan, _EXACT, weights=str(weights))
    assert ours.mask.voxels.any()
    assert np.array_equal(mask.voxels, ours.mask.voxels)
    assert np.abs(home - ours.prob).max() < 1e-3


@pytest.mark.long
def test_a_tile_if_wanted(weights: Path, tmp_path: Path) -> None:
    path = export_openvino(str(weights), tmp_path / "tile.xml", shape=(16, 32, 16))
    assert list(openvino().Core().read_model(path).input(0).shape) == [1, 1, 16, 32, 16]
    with pytest.raises(UsageError, match="not divisible"):
        export_openvino(str(weights), tmp_path / "odd.xml", shape=(16, 31, 16))


def test_neither_file_is_overwritten(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "it.bin").write_text("mine")
    with pytest.raises(CannotCreate, match="exists"):
        export_openvino(str(weights), tmp_path / "it.xml")
    assert [path.name for path in tmp_path.iterdir()] == ["it.bin"]
    with pytest.raises(UsageError, match=r"end in \.xml"):
        export_openvino(str(weights), tmp_path / "it.onnx")
