"""The bundle, run by MONAI itself in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from insula.checkpoint import load_weights
from insula.config import SegmentConfig
from insula.errors import CannotCreate, UsageError
from insula.export import export_monai_bundle
from insula.io import read_mask, read_scan
from insula.predict import segment
from insula.volume import Case


@pytest.fixture(scope="module", params=["quiet_weights", "brain_weights"])
def weights(request: pytest.FixtureRequest) -> Path:
    """Without and with a brain output."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="module")
def bundle(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_monai_bundle(str(weights), tmp_path_factory.mktemp("export") / "bundle")


def test_monai_runs_it_to_the_same_masks(bundle: Path, weights: Path, coarse_case: Case, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, axes in (("a", "RAS"), ("b", "PIL")):
        image = nib.Nifti1Image(
            (3000 * coarse_case.scan.image / coarse_case.scan.image.max()).astype(np.int16),
            coarse_case.scan.grid.affine,
        )
        turn = nib.orientations.ornt_transform(
            nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes)
        )
        nib.save(image.as_reoriented(turn), tmp_path / "in" / f"{name}.nii.gz")
    command = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        "--config_file",
        str(bundle / "configs" / "inference.json"),
        "--meta_file",
        str(bundle / "configs" / "metadata.json"),
        "--bundle_root",
        str(bundle),
        "--dataset_dir",
        str(tmp_path / "in"),
        "--output_dir",
        str(tmp_path / "out"),
        "--device",
        "$torch.device('cpu')",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("a", "b"):
        ours = segment(
            read_scan(tmp_path / "in" / f"{name}.nii.gz"),
            SegmentConfig(device="cpu", precision="float32"),
            weights=str(weights),
        )
        theirs = nib.load(tmp_path / "out" / f"{name}_mask.nii.gz")
        assert ours.mask.voxels.any()
        assert np.array_equal(np.asarray(theirs.dataobj).astype(bool), ours.mask.voxels)
        assert np.allclose(theirs.affine, ours.scan.grid.affine, atol=1e-4)
        prob = nib.load(tmp_path / "out" / f"{name}_prob.nii.gz").get_fdata()
        assert np.abs(prob - ours.prob).max() < 1e-4
        brain = tmp_path / "out" / f"{name}_brain.nii.gz"
        assert brain.exists() == (ours.brain is not None)
        if ours.brain is not None:
            assert np.array_equal(read_mask(brain).voxels, ours.brain.voxels)


def test_the_metadata_have_what_the_specification_asks_for(bundle: Path, weights: Path) -> None:
    """MONAI's own check fetches its schema from the network, so its required keys stand here."""
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    required = {
        "version",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "task",
        "description",
        "authors",
        "copyright",
        "network_data_format",
    }
    assert required <= set(metadata)
    assert metadata["schema"].endswith(".json")
    for kind, name in (("inputs", "image"), ("outputs", "pred")):
        form = metadata["network_data_format"][kind][name]
        assert {
            "type",
            "format",
            "num_channels",
            "spatial_shape",
            "dtype",
            "value_range",
            "is_patch_data",
            "channel_def",
        } <= set(form)
        assert form["spatial_shape"] == [48, 56, 44]
        assert form["num_channels"] == len(form["channel_def"])
    brain = load_weights(str(weights)).card.model.brain
    assert form["channel_def"] == ({"0": "lesion", "1": "brain"} if brain else {"0": "lesion"})
    assert ("NAME_brain.nii.gz" in (bundle / "docs" / "README.md").read_text()) == brain
    assert "not a medical device" in metadata["intended_use"]
    assert (bundle / "LICENSE").is_file()


def test_the_weights_in_it_are_the_weights(bundle: Path, weights: Path) -> None:
    inside, outside = load_weights(str(bundle / "models" / "tiny.json")), load_weights(str(weights))
    assert inside.sha256 == outside.sha256
    assert inside.card == outside.card


def test_an_ensemble_and_a_full_folder_are_refused(quiet_weights: Path, tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    with pytest.raises(CannotCreate, match="not empty"):
        export_monai_bundle(str(tiny_weights), tmp_path)
    with pytest.raises(UsageError, match="ensemble"):
        export_monai_bundle(f"{quiet_weights},{tiny_weights}", tmp_path / "new")
    assert not (tmp_path / "new").exists()
