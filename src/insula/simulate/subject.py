"""The demo subject: the ICBM152 average head, deformed, with a simulated chronic infarct in and around the insula."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from insula.errors import Unavailable
from insula.geometry import Grid
from insula.simulate.anatomy import Tissue
from insula.simulate.deform import Deformation
from insula.simulate.fields import identity, look_up, smooth_noise
from insula.simulate.lesion import LesionLook, insert_lesion, pull
from insula.simulate.scanner import ScannerLook, scan_with
from insula.volume import Case, Mask, Scan

__all__ = ["demo_case"]

_FILES = {kind: f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz" for kind in ("t1", "gm", "wm")}
_INFARCT_MM = ((-40.0, 2.0, 4.0), (13.0, 24.0, 17.0)), ((-34.0, -16.0, 24.0), (9.0, 14.0, 11.0))
_ANATOMY = Deformation(
    rotation_deg=(6.0, -3.0, 4.0), scale=(1.03, 0.97, 1.02), shift_mm=(2.0, 3.0, -2.0),
    elastic_mm=3.0, cell_mm=36.0, seed=152,
)  # fmt: skip
_LOOK = LesionLook(
    phase="chronic", tissue_factor=0.66, cavity_depth=0.5, cavity_level=0.1, border_mm=0.8, patchiness=0.04,
    pull_mm=3.0, seed=9,
)  # fmt: skip
_SCANNER = ScannerLook(bias=0.15, gamma=1.0, noise=0.02, blur_mm=0.3, seed=3)


def demo_case() -> Case:
    """Build the subject from the template that the `nilearn` package carries; nothing is downloaded.

    Simulated, and the same every time on the same machine.

    Raises:
        Unavailable: `nilearn` is not installed.

    Source:
        Fonov 2011, Unbiased average age-appropriate atlases, NeuroImage 54:313 (the template).
    """
    from nibabel.nifti1 import Nifti1Image

    folder = _template_folder()
    images = {kind: Nifti1Image.from_filename(folder / name) for kind, name in _FILES.items()}
    grid = Grid(images["t1"].shape, images["t1"].affine)
    t1, grey, white = (torch.from_numpy(np.asarray(images[kind].dataobj, np.float32)) for kind in ("t1", "gm", "wm"))
    tissue = torch.zeros(grid.shape)
    tissue[grey > 100] = Tissue.CORTEX
    tissue[white > 128] = Tissue.WHITE

    device = torch.device("cpu")
    index = _ANATOMY.index(grid.shape, device=device)
    index = index + pull(_infarct(index, grid), _LOOK)
    image = look_up(t1[None], index)[0]
    code = look_up(tissue[None], index, nearest=True)[0]
    lesion = (_infarct(index, grid) > 0.5) & (code > 0)
    csf, grey_level, white_level = (float(t1[mask].median()) for mask in _levels(t1, tissue))
    image = insert_lesion(image, lesion.float(), _LOOK, csf=csf, grey=grey_level)
    image = scan_with(image, _SCANNER, white=white_level) * 1000
    scan = Scan(image.numpy(), grid, name="demo")
    return Case(scan=scan, truth=Mask(lesion.numpy(), grid), subject="demo", centre="simulated", phase="chronic")


def _template_folder() -> Path:
    spec = find_spec("nilearn")  # finds the folder without importing the package, which takes seconds
    if spec is None or spec.origin is None:
        raise Unavailable("the demo's template", "nilearn", "is not installed", "run: pip install 'insula[demo]'")
    return Path(spec.origin).parent / "datasets" / "data"


def _infarct(index: Tensor, grid: Grid) -> Tensor:
    """1 inside two ellipsoids with an uneven border, in the template's own voxels."""
    i, j, k = grid.shape
    place = identity((i, j, k), device=index.device)
    mm = place + torch.tensor(grid.affine[:3, 3], dtype=torch.float32).view(3, 1, 1, 1)
    uneven = 0.25 * smooth_noise((i, j, k), cell_mm=11, seed=41, device=index.device)[0]
    inside = torch.zeros((i, j, k))
    for centre, axes in _INFARCT_MM:
        c, a = (torch.tensor(values).view(3, 1, 1, 1) for values in (centre, axes))
        inside = torch.maximum(inside, ((((mm - c) / a) ** 2).sum(0) + uneven <= 1).float())
    return look_up(inside[None], index)[0]


def _levels(t1: Tensor, tissue: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the template shows CSF (dark, between grey and white of the middle), grey and white matter."""
    middle = torch.zeros_like(t1, dtype=torch.bool)
    middle[80:117, 90:150, 75:105] = True
    dark = middle & (tissue == 0) & (t1 < t1[tissue == Tissue.CORTEX].median() * 0.7) & (t1 > 0)
    return dark, tissue == Tissue.CORTEX, tissue == Tissue.WHITE
