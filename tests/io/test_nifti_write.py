"""What is written comes back, in our reader and in two others."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from geometry.orders import turned
from insula.geometry import Grid
from insula.io import read_mask, read_scan, write_mask, write_prob
from insula.volume import FileFacts, Mask

_SHEAR = np.array([[2.0, 0.4, 0, 5], [0, 2.0, 0, -7], [0, 0, 3.0, 9], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "affine",
    [np.diag([-1.0, 1, 2, 1]), turned(Grid((9, 8, 7), np.eye(4)), 17).affine, _SHEAR],
    ids=["flipped", "oblique", "sheared"],
)
def test_there_and_back(affine: np.ndarray, tmp_path: Path) -> None:
    grid = Grid((9, 8, 7), affine)
    mask = Mask(np.random.default_rng(0).random(grid.shape) > 0.5, grid)
    write_mask(tmp_path / "m.nii.gz", mask)
    again = read_mask(tmp_path / "m.nii.gz")
    assert np.array_equal(again.voxels, mask.voxels)
    assert again.grid.close_to(grid, tolerance_mm=1e-4)
    assert np.allclose(nib.load(tmp_path / "m.nii.gz").affine, affine, atol=1e-4)
    if affine is not _SHEAR:  # SimpleITK has no shear
        image = sitk.ReadImage(str(tmp_path / "m.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(image).T.astype(bool), mask.voxels)
        assert np.allclose(np.array(image.GetOrigin()) * [-1, -1, 1], affine[:3, 3], atol=1e-4)


def test_the_same_result_is_the_same_bytes(tmp_path: Path) -> None:
    grid = Grid((9, 8, 7), np.eye(4))
    prob = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    for name in ("a", "b"):
        write_prob(tmp_path / f"{name}.nii.gz", prob, grid)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert np.abs(read_scan(tmp_path / "a.nii.gz").image - prob).max() <= 2**-17


def test_the_codes_of_the_spaces_are_kept(tmp_path: Path) -> None:
    facts = FileFacts(sha256="", bytes=0, modified_ns=0, sform_code=4, qform_code=0)
    write_mask(tmp_path / "m.nii.gz", Mask(np.ones((4, 4, 4), bool), Grid((4, 4, 4), np.eye(4))), file=facts)
    header = nib.load(tmp_path / "m.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (4, 4)
