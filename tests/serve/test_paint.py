"""The page's editor: a stroke changes the voxels under it and no other byte, in the order of the scan's own file."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from insula.io import read_mask
from insula.postprocess import decide
from serve.conftest import TOKEN, service
from serve.painting import MISSING, THRESHOLD, WEB, check_stroke, downloaded, paint


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(not (WEB / "node_modules" / "nifti-reader-js").is_dir(), reason="run `make page` first")
def test_the_editor_without_a_browser() -> None:
    command = ["node", "--test", *(f"test/{name}.test.mjs" for name in ("case", "edit", "save"))]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.long
@pytest.mark.skipif(MISSING, reason="chromium or the page's packages are not installed")
@pytest.mark.parametrize(
    ("order", "degrees", "view"),
    [("RAS", 0, "Planes"), ("LIP", 0, "Sagittal"), ("SAL", 0, "Axial"), ("PIR", 20, "Coronal")],
)
def test_a_stroke_changes_the_voxels_under_it_and_nothing_else(
    order: str, degrees: float, view: str, scan_bytes: bytes, brain_weights: Path, tmp_path: Path
) -> None:
    with service(tmp_path / "service", brain_weights, "most_mb=64") as running:
        job = running.wait(running.post(_stored(scan_bytes, order, degrees)).json()["id"])["id"]

        def part(name: str) -> bytes:
            return running.client.get(f"/v1/jobs/{job}/result/{name}").content

        before = {name: part(name) for name in ("mask", "prob", "brain")}
        stroke = paint(str(running.client.base_url), TOKEN, job, tmp_path / "out", view=view, pictures=order == "RAS")
        check_stroke(before["mask"], part("mask"), stroke, view=view)
        check_stroke(part("network_mask"), part("mask"), stroke, view=view)
    corrected = downloaded(tmp_path / "out", "_corrected.nii.gz")  # after all was undone
    assert gzip.decompress(corrected) == gzip.decompress(before["mask"])
    _check_threshold(before, downloaded(tmp_path / "out", f"_threshold-{THRESHOLD:.2f}_mask.nii.gz"), tmp_path)


def _stored(scan_bytes: bytes, order: str, degrees: float) -> bytes:
    """Returns the scan turned about two axes, in another axis order."""
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(scan_bytes))
    turn = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(z=np.radians(-degrees), x=np.radians(degrees)))
    image = nibabel.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine)
    wanted = nibabel.orientations.axcodes2ornt(tuple(order))
    image = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(image.affine), wanted))
    return gzip.compress(image.to_bytes(), 1)


def _check_threshold(before: dict[str, bytes], file: bytes, folder: Path) -> None:
    """The downloaded mask is the one that `decide` gives at the slider's threshold."""
    for name, content in {**before, "at": file}.items():
        (folder / f"{name}.nii.gz").write_bytes(content)
    mask, brain, at = (read_mask(folder / f"{name}.nii.gz") for name in ("mask", "brain", "at"))
    prob: Any = np.asarray(nibabel.load(folder / "prob.nii.gz").dataobj)
    expected = decide(prob, mask.grid, threshold=THRESHOLD, brain=brain)
    assert 0 < expected.voxels.sum() != mask.voxels.sum()
    np.testing.assert_array_equal(at.voxels, expected.voxels)
