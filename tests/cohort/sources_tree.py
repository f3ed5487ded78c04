"""A little folder of open data: heads in different orders of axes, label maps, outlines; all phantoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from corpus.files import nifti, packed
from geometry.orders import ORDERS, stored_as
from insula.geometry import Grid
from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid

GRID = phantom_grid(spacing_mm=(3.0, 3.0, 3.0))


def write(path: Path, image: np.ndarray, grid: Grid = GRID) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed(nifti(image, grid)))


def plant_sources(root: Path, *, heads: int = 5, maps: int = 3) -> Path:
    """A brain without its skull, `heads` with one, `maps` label maps, thirty outlines of each phase."""
    brain = phantom_case(GRID, (), skull=False, noise=0).scan.image.astype(np.int16)
    head = phantom_case(GRID, ()).scan.image.astype(np.int16)
    labels = np.zeros(GRID.shape, np.uint8)
    for level, label in ((100, 1), (400, 200), (800, 81)):
        labels[brain > level] = label
    write(root / "hosts" / "a_brain_T1w.nii.gz", brain)
    for number in range(heads):
        image, grid = stored_as(head, GRID, ORDERS[7 * number])
        write(root / "hosts" / f"p{number}" / "T1w.nii.gz", image, grid)
        write(root / "hosts" / f"p{number}" / "dlmuse.nii.gz", *stored_as(labels, GRID, ORDERS[7 * number]))
    for number in range(maps):
        write(root / "labelmaps" / f"m{number}_dlmuse.nii.gz", labels)
    blob = np.zeros(GRID.shape, np.uint8)
    blob[20:26, 30:38, 30:35] = 1
    for phase in ("acute", "chronic"):
        for number in range(30):
            write(root / "lesions" / phase / f"{phase}-{number}.nii.gz", blob)
    return root
