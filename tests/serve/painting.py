"""Paints on a mask in the service's page with a real browser, and works out apart from it which voxels must change."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

WEB = Path(__file__).parents[2] / "web"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
THRESHOLD = 0.3
ENVIRONMENT = {**os.environ, "CHROMIUM": str(CHROMIUM)}
MISSING = CHROMIUM is None or not (WEB / "node_modules" / "puppeteer-core").is_dir()

_HEADER_BYTES = 352
_ACROSS = {"Planes": 2, "Axial": 2, "Coronal": 1, "Sagittal": 0}
_ROUNDING_MM = 0.01


def paint(
    address: str, token: str, job: str, out: Path, *, view: str = "Axial", pictures: bool = False
) -> dict[str, Any]:
    """Paint, erase, grow, drop, undo, save and download in a browser; returns what was painted where."""
    command = ["node", str(WEB / "test" / "paint.mjs"), address, token, job, view, str(THRESHOLD), str(out)]
    environment = {**ENVIRONMENT, "PICTURES": "1" if pictures else ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_stroke(before: bytes, after: bytes, stroke: dict[str, Any], *, view: str = "Axial") -> None:
    """Exactly the voxels under the brush were added, in the slice of the stroke, and the header is the same."""
    first, then = gzip.decompress(before), gzip.decompress(after)
    assert first[:_HEADER_BYTES] == then[:_HEADER_BYTES]
    image = nibabel.Nifti1Image.from_bytes(first)
    old, new = (np.asarray(nibabel.Nifti1Image.from_bytes(data).dataobj) > 0 for data in (first, then))
    across = int(np.flatnonzero(nibabel.io_orientation(image.affine)[:, 0] == _ACROSS[view])[0])
    away = _away_mm(image.affine, old.shape, across, stroke["places"])
    reached = away <= stroke["radius_mm"]
    clear = np.abs(away - stroke["radius_mm"]) > _ROUNDING_MM
    assert (reached & ~old).sum() > 5
    np.testing.assert_array_equal(new[clear], (old | reached)[clear])


def _away_mm(
    affine: NDArray[np.float64], shape: tuple[int, ...], axis: int, places: list[list[float]]
) -> NDArray[np.float64]:
    """Returns each voxel's distance to the stroke; infinite outside of its slice."""
    voxels = [np.linalg.solve(affine[:3, :3], np.array(place) - affine[:3, 3]) for place in places]
    slice_index = round(float(voxels[1][axis]))
    for voxel in voxels:
        voxel[axis] = slice_index
    start, end = (affine[:3, :3] @ voxel + affine[:3, 3] for voxel in voxels)
    centres = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    along = end - start
    share = np.clip((centres - start) @ along / (along @ along), 0, 1)
    away = np.linalg.norm(centres - start - share[..., None] * along, axis=-1)
    away[np.moveaxis(np.indices(shape), 0, -1)[..., axis] != slice_index] = np.inf
    return away


def downloaded(out: Path, suffix: str) -> bytes:
    """Returns the one file that was downloaded with this end of its name."""
    (path,) = out.glob(f"*{suffix}")
    return path.read_bytes()
