"""A served study for tests: results of two small scans, and the real service over them."""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from insula.cli import main
from serve.conftest import service

CASES = ("sub-a_T1w", "sub-b c_T1w")


@pytest.fixture(scope="session")
def segmented(scan_bytes: bytes, quiet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `scans`, and `results` of them."""
    root = tmp_path_factory.mktemp("study")
    scans = root / "scans"
    scans.mkdir()
    for number, case in enumerate(CASES):
        image = nibabel.Nifti1Image.from_bytes(gzip.decompress(scan_bytes))
        voxels = np.asarray(image.dataobj) + np.int16(number)
        nibabel.save(nibabel.Nifti1Image(voxels, image.affine), scans / f"{case}.nii.gz")
    arguments = ["--out", str(root / "results"), "--weights", str(quiet_weights), "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["insula", "segment", str(scans), *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    assert end.value.code == 0
    return root


@pytest.fixture
def root(segmented: Path, tmp_path: Path) -> Path:
    """A copy of `segmented` that a test may change."""
    shutil.copytree(segmented, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture(scope="module")
def served(segmented: Path, quiet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service over a copy of `segmented`, with an audit file, that the tests of a module share."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(segmented, folder / "study")
    more = ["--study", str(folder / "study" / "results"), "--scans", str(folder / "study" / "scans")]
    more += ["--audit", str(folder / "audit.jsonl")]
    with service(folder / "service", quiet_weights, "most_mb=2", "body_seconds=2", wait=False, more=more) as running:
        running.results, running.audit = folder / "study" / "results", folder / "audit.jsonl"
        yield running


def edited(mask: Path, *, shift: int = 0) -> bytes:
    """A mask with a cube added, as an editor saves it."""
    image = nibabel.load(mask)
    voxels = (np.asarray(image.dataobj) > 0).astype(np.uint8)
    voxels[shift : shift + 4, :4, :4] = 1
    return packed(voxels, image.affine)


def packed(voxels: np.ndarray, affine: np.ndarray) -> bytes:
    """An image as the bytes of a .nii file."""
    file = io.BytesIO()
    image = nibabel.Nifti1Image(voxels, affine)
    image.to_file_map({"image": nibabel.FileHolder(fileobj=file), "header": nibabel.FileHolder(fileobj=file)})
    return file.getvalue()


def empty_mask(folder: Path, shape: tuple[int, ...], *, before: int = 0) -> Path:
    """A mask without lesions, with bytes between its header and its voxels."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), 1)
    header["magic"], header["vox_offset"] = b"n+1", 352 + before
    path = folder / "mask.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4 + before + int(np.prod(shape))), 1))
    return path
