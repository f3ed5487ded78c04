"""The strict reader, beyond the corpus: limits, passing faults, files that change."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from corpus.files import DIM, GRID, IMAGE, nifti, packed
from insula.errors import BadData, IOFault
from insula.geometry import Grid
from insula.io import read_facts, read_labels, read_mask, read_scan, still_the_same


def test_what_is_read_is_what_nibabel_reads(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    image = np.random.default_rng(0).integers(-3000, 3000, (20, 30, 40)).astype(np.int16)
    file = nib.Nifti1Image(image, np.array([[0, -1.5, 0.1, 3], [2, 0, 0, 4], [0, 0.1, 2.5, 5], [0, 0, 0, 1]]))
    file.header.set_slope_inter(0.25, 7)
    nib.save(file, path)
    scan = read_scan(path)
    other = nib.load(path)
    assert np.allclose(scan.image, other.get_fdata(), rtol=1e-6)
    assert np.allclose(scan.grid.affine, other.affine)
    assert scan.name == "scan"
    assert scan.file is not None
    assert still_the_same(path, scan.file)
    os.utime(path, ns=(1, 1))
    assert still_the_same(path, scan.file)  # touched, not changed
    path.write_bytes(path.read_bytes() + b"\0")
    assert not still_the_same(path, scan.file)


def test_a_giant_is_refused_in_under_a_second_and_200_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    path.write_bytes(nifti(edits=[(DIM + 2 * n, "h", 30000) for n in (1, 2, 3)]))
    code = (
        "import sys, time; from insula.io import read_scan\n"
        "start = time.monotonic()\n"
        "try: read_scan(sys.argv[1])\n"
        "except Exception as error: print(error.code, time.monotonic() - start)\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    exit_code, seconds, _, kilobytes, _ = done.stdout.split()
    assert exit_code == "65"
    assert float(seconds) < 1
    assert int(kilobytes) < 200 * 1024


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize(("failures", "comes_through"), [(2, True), (3, False)])
def test_a_passing_fault_is_tried_three_times(
    number: int, failures: int, comes_through: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.nii"
    path.write_bytes(nifti())
    real, left = os.stat, [failures]

    def stat(target: object, *args: object, **kwargs: object) -> os.stat_result:
        if str(target) == str(path) and left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(target, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    if comes_through:
        assert read_scan(path).grid.shape == GRID.shape
    else:
        with pytest.raises(IOFault, match=r"scan\.nii could not be read"):
            read_scan(path)


def test_masks_are_read_as_truth(tmp_path: Path) -> None:
    path = tmp_path / "m.nii.gz"
    ones = (IMAGE > 500).astype(np.float32)
    path.write_bytes(packed(nifti(ones * np.float32(0.99999998))))
    assert np.array_equal(read_mask(path).voxels, ones > 0)
    path.write_bytes(packed(nifti((ones * 255).astype(np.uint8))))
    assert np.array_equal(read_mask(path).voxels, ones > 0)
    path.write_bytes(packed(nifti(np.zeros_like(IMAGE))))
    assert read_mask(path).volume_ml == 0
    labels = (IMAGE // 300).astype(np.int16)
    path.write_bytes(packed(nifti(labels)))
    assert np.array_equal(read_labels(path)[0], labels)
    with pytest.raises(BadData, match="more than one label"):
        read_mask(path)
    path.write_bytes(packed(nifti(ones * np.float32(0.4))))
    with pytest.raises(BadData, match="not whole"):
        read_labels(path)


def test_a_header_that_changes_before_its_voxels_are_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left and right would be exchanged, and nothing would say so."""
    import insula.io.read as module

    path, other = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    path.write_bytes(packed(nifti()))
    flipped = Grid(GRID.shape, GRID.affine @ np.diag([-1.0, 1, 1, 1]))
    other.write_bytes(packed(nifti(grid=flipped)))
    reads = module.read_file

    def swapped(which: Path) -> Any:
        return reads(other)

    monkeypatch.setattr(module, "read_file", swapped)
    with pytest.raises(BadData, match="changed while it was read"):
        read_scan(path)


def test_the_facts_of_a_file_need_no_image_in_it(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(packed(nifti()))
    assert read_facts(scan) == read_scan(scan).file
    empty = tmp_path / "mask.nii.gz"
    empty.write_bytes(packed(nifti(np.zeros((3, 4, 5), np.uint8))))
    assert read_facts(empty).sha256 == hashlib.sha256(empty.read_bytes()).hexdigest()


def test_the_volume_of_a_4d_file_is_among_its_facts(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(packed(nifti(np.stack([IMAGE, IMAGE + 1], axis=-1))))
    for frame in (0, 1):
        file = read_scan(path, frame=frame).file
        assert file is not None and file.frame == frame


def test_content_decides_whether_a_file_is_the_same(tmp_path: Path) -> None:
    """Of equal size and time."""
    path = tmp_path / "a.nii"
    path.write_bytes(nifti())
    state = path.stat()
    scan = read_scan(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert scan.file is not None
    assert not still_the_same(path, scan.file)
