from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from insula.checkpoint import load_weights
from insula.config import PrepareConfig, from_dict
from insula.data import prepare
from insula.errors import CannotCreate, UsageError
from insula.export import export_onnx
from insula.postprocess import decide
from insula.predict import segment
from insula.volume import Case


@pytest.fixture(scope="module")
def exported(quiet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(str(quiet_weights), tmp_path_factory.mktemp("export") / "tiny.onnx")


def test_the_file_alone_is_enough_for_the_same_mask(exported: Path, quiet_weights: Path, coarse_case: Case) -> None:
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    config = from_dict(PrepareConfig, json.loads(about["prepare"]), what="the metadata")
    prepared = prepare(coarse_case.scan, config)
    (prob,) = session.run(None, {"image": prepared.image.numpy()})
    home = prepared.bring_home(prob[0, 0])
    mask = decide(
        home, coarse_case.scan.grid, threshold=float(about["threshold"]), min_lesion_ml=float(about["min_lesion_ml"])
    )
    ours = segment(coarse_case.scan, weights=str(quiet_weights))
    assert ours.mask.voxels.any()
    assert np.array_equal(mask.voxels, ours.mask.voxels)
    assert np.abs(home - ours.prob).max() < 1e-3


def test_the_metadata_say_what_it_is_and_what_it_is_not(exported: Path, quiet_weights: Path) -> None:
    graph = onnx.load(str(exported))
    onnx.checker.check_model(graph, full_check=True)
    about = {one.key: one.value for one in graph.metadata_props}
    assert about["weights_sha256"] == load_weights(str(quiet_weights)).sha256
    assert "not a medical device" in about["notice"]
    assert about["before"].startswith("Reorder")
    assert [d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim] == [1, 1, 48, 56, 44]


def test_a_batch_of_any_size_if_wanted(quiet_weights: Path, tmp_path: Path) -> None:
    path = export_onnx(str(quiet_weights), tmp_path / "tiny.onnx", any_batch=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = torch.randn(3, 1, 48, 56, 44)
    (three,) = session.run(None, {"image": images.numpy()})
    ones = np.concatenate([session.run(None, {"image": images[n : n + 1].numpy()})[0] for n in range(3)])
    assert np.abs(three - ones).max() < 1e-4


def test_what_is_there_stays_and_ensembles_are_refused(exported: Path, quiet_weights: Path, tmp_path: Path) -> None:
    before = exported.read_bytes()
    with pytest.raises(CannotCreate, match="exists"):
        export_onnx(str(quiet_weights), exported)
    assert exported.read_bytes() == before
    with pytest.raises(UsageError, match="ensemble"):
        export_onnx("ensemble", tmp_path / "new.onnx")
