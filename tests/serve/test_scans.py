"""The scan of a job: read as its sender asked for, and written for viewers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from insula.errors import InsulaError, NoInput
from insula.serve.scans import read_upload, write_view
from insula.serve.store import JobFolder
from insula.volume import Case


def test_an_upload_is_read_as_its_sender_asked_for(tmp_path: Path, scan_bytes: bytes) -> None:
    with pytest.raises(NoInput):
        read_upload(JobFolder(tmp_path), {})
    (tmp_path / "upload.nii.gz").write_bytes(scan_bytes)
    scan, source = read_upload(JobFolder(tmp_path), {})
    assert (scan.name, source) == ("scan", tmp_path / "upload.nii.gz")
    with pytest.raises(InsulaError, match="frame"):
        read_upload(JobFolder(tmp_path), {"frame": 3})


@pytest.mark.parametrize("constant", [False, True])
def test_a_view_keeps_the_grid_and_the_order_of_intensities(constant: bool, coarse_case: Case, tmp_path: Path) -> None:
    scan = coarse_case.scan
    scan = replace(scan, image=np.zeros_like(scan.image)) if constant else scan
    write_view(tmp_path / "view.nii.gz", scan)
    view = nibabel.load(tmp_path / "view.nii.gz")
    shades = np.asarray(view.dataobj, float)
    assert np.allclose(view.affine, scan.grid.affine) and shades.shape == scan.image.shape
    assert shades.min() >= 0 and shades.max() <= 4095
    if not constant:
        order = np.argsort(scan.image.ravel(), kind="stable")
        assert (np.diff(shades.ravel()[order]) >= 0).all()
        assert shades.max() == 4095
