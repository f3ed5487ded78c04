"""A small synthetic ATLAS R2.0 tree of phantoms, in INDI's layout, and ways to break it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Image
from numpy.typing import NDArray

from insula.simulate.phantom import Sphere, phantom_case, phantom_grid

SPACE = "space-MNI152NLin2009aSym"


def anat(root: Path, subject: str) -> Path:
    return root / "Training" / f"R{subject[1:4]}" / f"sub-{subject}" / "ses-1" / "anat"


def scan_path(root: Path, subject: str) -> Path:
    return anat(root, subject) / f"sub-{subject}_ses-1_{SPACE}_T1w.nii.gz"


def mask_path(root: Path, subject: str) -> Path:
    return anat(root, subject) / f"sub-{subject}_ses-1_{SPACE}_label-L_desc-T1lesion_mask.nii.gz"


def save(path: Path, voxels: NDArray[np.generic], affine: NDArray[np.float64]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Nifti1Image(voxels, affine).to_filename(path)


def load(path: Path) -> tuple[NDArray[np.generic], NDArray[np.float64]]:
    image = Nifti1Image.from_filename(path)
    return np.asarray(image.dataobj), np.asarray(image.affine)


def subjects(sites: int, each: int) -> list[str]:
    return [f"r{site + 1:03d}s{number + 1:03d}" for site in range(sites) for number in range(each)]


def plant_tree(root: Path, *, sites: int = 4, each: int = 5, step_mm: float = 4.0) -> list[str]:
    """A clean tree: every subject has one chronic lesion, left or right, of a size of its own."""
    rng = np.random.default_rng(7)
    names = subjects(sites, each)
    grid = phantom_grid(spacing_mm=(step_mm,) * 3)
    rows = ["Site ID,Subject ID,Session,Days Post Stroke,Chronicity,ATLAS 1.2 Subject ID"]
    for number, name in enumerate(names):
        side = -1 if number % 2 else 1
        ball = Sphere((side * 36.0, float(rng.uniform(-40, 20)), float(rng.uniform(0, 30))), float(rng.uniform(10, 20)))
        case = phantom_case(grid, [ball], seed=number, scale=float(rng.uniform(100, 5000)))
        save(scan_path(root, name), case.scan.image, grid.affine)
        save(mask_path(root, name), case.truth.voxels.astype(np.uint8), grid.affine)
        rows.append(f"{name[:4].upper()},sub-{name},ses-1,{int(rng.integers(20, 900))},Chronic,")
        description = {"Name": "phantoms", "BIDSVersion": "1.10.0"}
        (root / "Training" / f"R{name[1:4]}" / "dataset_description.json").write_text(json.dumps(description))
    (root / "phantom_MetaData.csv").write_text("\n".join(rows) + "\n")
    (root / "Training" / ".DS_Store").write_bytes(b"\0")
    (anat(root, names[0]) / "._sub-r001s001_ses-1_T1w.nii.gz").write_bytes(b"\0")
    return names
