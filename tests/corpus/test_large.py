"""Row 62: half a millimetre, 512 x 512 x 512 voxels, within a cap on memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from corpus.files import nifti
from insula.geometry import Grid, laid_out
from insula.io import read_mask
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid

_CAP_GIB = 6


def test_a_large_scan_goes_through_within_the_cap(tiny_weights: Path, tmp_path: Path) -> None:
    coarse = phantom_grid(spacing_mm=(4.0, 4.0, 4.0), shape=(64, 64, 64))
    image = (phantom_case(coarse).scan.image / 8).clip(0, 255).astype(np.uint8)
    for axis in range(3):
        image = image.repeat(8, axis=axis)
    noise = np.random.default_rng(0).integers(0, 8, image.size // 8 + 1, dtype=np.uint8)  # no scan is even
    image = np.where(image < 247, image + np.resize(noise, image.shape), image)
    affine = coarse.affine @ np.diag([1 / 8, 1 / 8, 1 / 8, 1])
    affine[:3, 3] -= 1.75  # the first small voxel's centre, not the large one's
    grid = Grid(image.shape, affine)
    (tmp_path / "big.nii").write_bytes(nifti(laid_out(image, "F"), grid))
    code = (
        "import sys; sys.argv = ['insula', 'segment', 'big.nii', '--weights', sys.argv[1]]\n"
        "from insula.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, next(line for line in open('/proc/self/status') if 'VmHWM' in line))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_weights)], capture_output=True, text=True, cwd=tmp_path)
    exit_code, _, kilobytes, _ = done.stdout.split()[-4:]
    assert exit_code == "0", done.stderr
    assert int(kilobytes) < _CAP_GIB * 2**20
    assert read_mask(tmp_path / "insula-results" / "big_mask.nii.gz").grid.close_to(grid)
