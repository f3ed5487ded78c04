from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from insula.checkpoint import load_weights
from insula.config import PrepareConfig, SegmentConfig, from_dict
from insula.errors import CannotCreate, UsageError
from insula.export import export_onnx
from insula.io import read_scan
from insula.postprocess import decide, find_brain, within_brain
from insula.predict import segment
from insula.prepare import prepare
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid
from insula.volume import Case

_EXACT = SegmentConfig(device="cpu", precision="float32")
_CONSUMER = Path(__file__).parents[2] / "docs" / "how-to" / "onnx_consumer.py"


@pytest.fixture(scope="module", params=[pytest.param("quiet_weights", marks=pytest.mark.long), "brain_weights"])
def weights(request: pytest.FixtureRequest) -> Path:
    """Without and with a brain output."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_onnx(str(weights), tmp_path_factory.mktemp("export") / "tiny.onnx")


def test_the_file_alone_is_enough_for_the_same_mask(exported: Path, weights: Path, coarse_case: Case) -> None:
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    config = from_dict(PrepareConfig, json.loads(about["prepare"]), what="the metadata")
    prepared = prepare(coarse_case.scan, config)
    (prob,) = session.run(None, {"image": prepared.image.numpy()})
    home, grid = prepared.bring_home(prob[0, 0]), coarse_case.scan.grid
    names = json.loads(about["outputs"])
    assert prob.shape[1] == len(names)
    brain = find_brain(prepared.bring_home(prob[0, 1]), grid) if "brain" in names else None
    home = within_brain(home, brain)
    mask = decide(
        home, grid, threshold=float(about["threshold"]), min_lesion_ml=float(about["min_lesion_ml"]), brain=brain
    )
    ours = segment(coarse_case.scan, _EXACT, weights=str(weights))
    assert ours.mask.voxels.any()
    assert np.array_equal(mask.voxels, ours.mask.voxels)
    assert np.abs(home - ours.prob).max() < 1e-3


def test_the_metadata_say_what_it_is_and_what_it_is_not(exported: Path, weights: Path) -> None:
    graph = onnx.load(str(exported))
    onnx.checker.check_model(graph, full_check=True)
    about = {prop.key: prop.value for prop in graph.metadata_props}
    assert about["weights_sha256"] == load_weights(str(weights)).sha256
    assert "not a medical device" in about["notice"]
    assert about["before"].startswith("Reorder")
    assert [d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim] == [1, 1, 48, 56, 44]


@pytest.mark.long
def test_a_batch_of_any_size_if_wanted(weights: Path, tmp_path: Path) -> None:
    path = export_onnx(str(weights), tmp_path / "tiny.onnx", any_batch=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = torch.randn(3, 1, 48, 56, 44)
    (three,) = session.run(None, {"image": images.numpy()})
    ones = np.concatenate([session.run(None, {"image": images[n : n + 1].numpy()})[0] for n in range(3)])
    assert np.abs(three - ones).max() < 1e-4


@pytest.mark.long
def test_a_tile_if_wanted(weights: Path, tmp_path: Path) -> None:
    path = export_onnx(str(weights), tmp_path / "tile.onnx", shape=(16, 32, 16))
    shape = onnx.load(str(path)).graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [1, 1, 16, 32, 16]


def test_what_is_there_stays_and_ensembles_are_refused(
    exported: Path, weights: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    before = exported.read_bytes()
    with pytest.raises(CannotCreate, match="exists"):
        export_onnx(str(weights), exported)
    assert exported.read_bytes() == before
    with pytest.raises(UsageError, match="ensemble"):
        export_onnx(f"{weights},{tiny_weights}", tmp_path / "new.onnx")


@pytest.mark.long
def test_the_consumer_of_the_documentation_needs_nothing_of_insula(
    exported: Path, weights: Path, coarse_case: Case, tmp_path: Path
) -> None:
    """In any orientation; run by an interpreter to which insula, torch, scipy and nibabel do not exist."""
    hidden = (
        "import sys; sys.modules.update(dict.fromkeys(('insula', 'torch', 'scipy', 'nibabel'))); "
        "import runpy; runpy.run_path(sys.argv.pop(1))"
    )
    case = phantom_case(phantom_grid(spacing_mm=(4.0, 4.0, 4.5)))  # where no centre lies just between two voxels
    image = nib.Nifti1Image((3000 * case.scan.image / case.scan.image.max()).astype(np.int16), case.scan.grid.affine)
    for name, axes in (("ras.nii", "RAS"), ("pil.nii.gz", "PIL"), ("lsa.nii", "LSA")):
        turn = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes)
        )
        nib.save(image.as_reoriented(turn), tmp_path / name)
        command = [
            sys.executable,
            "-c",
            hidden,
            str(_CONSUMER),
            str(exported),
            str(tmp_path / name),
            str(tmp_path / "prob.npy"),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        ours = segment(read_scan(tmp_path / name), _EXACT, weights=str(weights))
        prob = np.load(tmp_path / "prob.npy")
        if ours.brain is not None:  # it knows nothing of pieces and holes
            assert not prob.all()
            hole, apart = ours.brain.voxels & (prob == 0), ~ours.brain.voxels
            assert 0 < hole.sum() + (prob[apart] > 0).sum() < 0.2 * ours.brain.voxels.sum()
            prob = np.where(hole | apart, ours.prob, prob)
        assert np.abs(prob - ours.prob).max() < 2e-3
        volume_ml = (prob >= ours.threshold).sum() * ours.scan.grid.voxel_ml
        if ours.brain is not None:
            continue
        assert done.stdout.startswith(f"{volume_ml:.2f} ml") or abs(float(done.stdout.split()[0]) - volume_ml) < 1
    assert len([line for line in _CONSUMER.read_text().splitlines() if line.strip()]) <= 70
