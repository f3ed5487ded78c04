"""What is written comes back, in our reader and in two others."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from geometry.orders import turned
from insula.geometry import Grid
from insula.io import read_mask, read_scan, read_values, write_labels, write_mask, write_prob, write_scan
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


@pytest.mark.parametrize("threshold", [0.5, 0.58270001, 0.2, 1.0, 1e-6])
def test_a_map_on_disk_gives_exactly_its_mask(tmp_path: Path, threshold: float) -> None:
    grid = Grid((9, 8, 7), np.eye(4))
    near = threshold + np.random.default_rng(0).normal(0, 2**-17, grid.shape)
    prob = np.clip(near, 0, 1).astype(np.float32)
    assert (prob >= threshold).any()
    write_prob(tmp_path / "p.nii.gz", prob, grid, threshold=threshold)
    written = np.asarray(nib.load(tmp_path / "p.nii.gz").dataobj, np.float32)
    assert np.array_equal(written >= threshold, prob >= threshold)
    assert np.abs(written - prob).max() <= 2**-16 and (written * 65536 % 1 == 0).all()


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(("sform_code", "qform_code"), [(1, 0), (0, 1), (4, 1), (2, 3)])
@pytest.mark.parametrize("units", ["mm", "meter", "unknown"])
def test_what_leaves_says_of_its_place_what_the_scan_says(
    kind: type[nib.Nifti1Image], sform_code: int, qform_code: int, units: str, tmp_path: Path
) -> None:
    """Both forms, codes and units are kept although they differ, so the mask lies on the scan for every reader."""
    turn, other = _turned(0.2), _turned(-0.1)
    scale = np.diag([1e-3, 1e-3, 1e-3, 1.0]) if units == "meter" else np.eye(4)
    scan = kind(np.random.default_rng(0).integers(0, 900, (8, 9, 10)).astype(np.int16), scale @ turn)
    scan.header.set_qform(scale @ other, qform_code)
    scan.header.set_sform(scale @ turn, sform_code)
    scan.header.set_xyzt_units(units)
    nib.save(scan, tmp_path / "scan.nii.gz")
    read = read_scan(tmp_path / "scan.nii.gz")
    write_mask(tmp_path / "mask.nii.gz", Mask(np.ones((8, 9, 10), bool), read.grid), file=read.file)
    write_prob(tmp_path / "prob.nii.gz", np.ones((8, 9, 10), np.float32), read.grid, file=read.file)
    write_labels(tmp_path / "labels.nii.gz", np.ones((8, 9, 10), np.uint16), read.grid, file=read.file)
    for name in ("mask", "prob", "labels"):
        mask = nib.load(tmp_path / f"{name}.nii.gz")
        for field in ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "pixdim", *_QFORM):
            assert np.array_equal(
                np.float32(scan.header[field]).ravel()[:4], np.float32(mask.header[field]).ravel()[:4]
            ), field
        assert mask.header.get_xyzt_units()[0] == units
        assert np.allclose(scan.affine, mask.affine, rtol=1e-6)
        assert read.grid.close_to(read_values(tmp_path / f"{name}.nii.gz")[1], tolerance_mm=1e-3)


def test_without_a_file_both_forms_are_the_grid(tmp_path: Path) -> None:
    write_mask(tmp_path / "m.nii.gz", Mask(np.ones((4, 4, 4), bool), Grid((4, 4, 4), _turned(0.3))))
    image = nib.load(tmp_path / "m.nii.gz")
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    assert np.allclose(image.get_sform(), _turned(0.3), atol=1e-5)
    assert np.allclose(image.get_qform(), _turned(0.3), atol=1e-4)


@pytest.mark.parametrize("order", ["C", "F"])
def test_types_and_order_on_disk(order: str, tmp_path: Path) -> None:
    """The first axis runs fastest on disk, whatever the order in memory is."""
    grid = Grid((3, 4, 5), np.eye(4))
    labels = np.asarray(np.arange(60, dtype=np.uint16).reshape(grid.shape), order=order)
    write_labels(tmp_path / "labels.nii.gz", labels, grid)
    write_mask(tmp_path / "mask.nii.gz", Mask(np.asarray(labels % 2 == 1, order=order), grid))
    write_scan(tmp_path / "scan.nii.gz", np.asarray(labels * 1000.4 - 9e3, order=order), grid)
    write_prob(tmp_path / "prob.nii.gz", np.asarray(labels / 64, order=order), grid)
    for name, dtype, values in (
        ("labels", np.uint16, labels),
        ("mask", np.uint8, labels % 2),
        ("scan", np.int16, np.clip(np.round(labels * 1000.4 - 9e3), -32768, 32767)),
        ("prob", np.float32, labels / 64),
    ):
        file = nib.load(tmp_path / f"{name}.nii.gz")
        assert isinstance(file, nib.Nifti1Image)
        assert file.get_data_dtype() == dtype
        content = gzip.decompress((tmp_path / f"{name}.nii.gz").read_bytes())
        assert content[352:] == values.astype(dtype).tobytes(order="F")


def test_only_what_nifti_1_cannot_hold_is_nifti_2(tmp_path: Path) -> None:
    for size, kind in ((32_767, nib.Nifti1Image), (32_768, nib.Nifti2Image)):
        grid = Grid((size, 2, 2), np.eye(4))
        write_mask(tmp_path / "m.nii.gz", Mask(np.ones(grid.shape, bool), grid))
        assert type(nib.load(tmp_path / "m.nii.gz")) is kind
        assert read_mask(tmp_path / "m.nii.gz").voxels.shape == grid.shape


def test_facts_without_forms_give_those_of_the_grid(tmp_path: Path) -> None:
    grid = Grid((4, 4, 4), _turned(0.3))
    facts = FileFacts(sha256="", bytes=0, modified_ns=0)
    write_labels(tmp_path / "m.nii.gz", np.ones((4, 4, 4), np.uint16), grid, file=facts)
    image = nib.load(tmp_path / "m.nii.gz")
    assert np.allclose(image.get_sform(), _turned(0.3), atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"


_QFORM = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")


def _turned(angle: float) -> np.ndarray:
    """Voxels of 1 x 1.5 x 2 mm, turned about the first axis."""
    c, s = np.cos(angle), np.sin(angle)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag([1.0, 1.5, 2.0])
    affine[:3, 3] = [-4, -6, -10]
    return affine
