"""Masks of three raters, for tests of their consensus."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np

AFFINE = np.array([[0, -2.0, 0.1, 30], [1.5, 0, 0, -20], [0, 0.2, 3, -10], [0, 0, 0, 1]])
SHAPE = (20, 24, 16)
RATERS = ("anna", "ben", "cleo")


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(voxels.astype(np.uint8), affine)
    image.header.set_sform(affine, code=2)  # a code of its own, to be found again in the consensus
    nibabel.save(image, path)


def lesion(side: int, shift: int = 0) -> np.ndarray:
    voxels = np.zeros(SHAPE, bool)
    voxels[4 + shift : 4 + shift + side, 5 : 5 + side, 6 : 6 + side] = True
    return voxels


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def plant_raters(root: Path) -> list[Path]:
    """Write a folder of masks for each rater: they differ on a, none sees a lesion in b, and Cleo has no mask of c."""
    for rater, side, shift in zip(RATERS, (6, 7, 6), (0, 0, 2), strict=True):
        save(root / rater / "a_mask.nii.gz", lesion(side, shift))
        save(root / rater / "b_mask.nii.gz", np.zeros(SHAPE))
        if rater != "cleo":
            save(root / rater / "c_mask.nii.gz", lesion(side))
    return [root / rater for rater in RATERS]
