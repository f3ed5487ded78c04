"""The demo subject: the ICBM152 average head, deformed, with a simulated chronic infarct in and around the insula."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from insula.augment.graft import Graft, LesionGrafts
from insula.augment.head import OutlineSet, carry_out
from insula.augment.original import Original
from insula.augment.plan import Augmentation
from insula.errors import Unavailable
from insula.geometry import Grid
from insula.simulate import Chronic, Deformation, Outline, ScannerLook, Tissue
from insula.simulate.fields import identity, smooth_noise
from insula.volume import Case, Mask, Scan

__all__ = ["demo_case"]

_FILES = {kind: f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz" for kind in ("t1", "gm", "wm")}
_INFARCT_MM = ((-40.0, 2.0, 4.0), (13.0, 24.0, 17.0)), ((-34.0, -16.0, 24.0), (9.0, 14.0, 11.0))
_ANATOMY = Deformation(
    rotation_deg=(6.0, -3.0, 4.0),
    scale=(1.03, 0.97, 1.02),
    shift_mm=(2.0, 3.0, -2.0),
    elastic_mm=3.0,
    cell_mm=36.0,
    seed=152,
)
_LOOK = Chronic(
    inset_mm=0.5,
    border_mm=0.5,
    texture=0.08,
    gliosis_level=0.60,
    flatness=0.7,
    cavity_share=0.85,
    cavity_level=0.22,
    strands=0.5,
    softness=0.35,
    regions=0.5,
    rim_mm=1.0,
    pull_mm=2.0,
    widening_mm=1.2,
)
_NO_MOVE = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))
_VENTRICLES_MM = 22.0  # deeper than this inside the brain, CSF is a ventricle's
_SCANNER = ScannerLook(bias=0.15, gamma=1.0, noise=0.02, blur_mm=0.3, seed=3)


def demo_case() -> Case:
    """Build the subject from the template in the `nilearn` package; nothing is downloaded.

    It is simulated, and the same every time on the same machine.

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
    host = Original(
        image=t1,
        mask=torch.zeros(grid.shape, dtype=torch.bool),
        tissue=_tissues(grey, white),
        to_atlas=grid.affine,
        name="template",
    )
    outline = Outline(name="ellipsoids", voxels=_infarct(grid), origin_mm=_corner(grid))
    plan = Augmentation(
        lesions=LesionGrafts(
            grafts=(Graft(outline=0, placement=_NO_MOVE),),
            look=_LOOK,
            cells_mm=(2.6, 4.0, 12.0),
            volume_ml=outline.volume_ml,
            seed=9,
        ),
        deformation=_ANATOMY,
        scanner=_SCANNER,
    )
    head = carry_out(host, plan, OutlineSet(acute=(), chronic=(outline,)))
    scan = Scan((head.image * 1000).numpy(), grid, name="demo")
    truth = Mask(head.truth.numpy() > 0, grid)
    return Case(scan=scan, truth=truth, subject="demo", centre="simulated", phase="chronic")


def _template_folder() -> Path:
    spec = find_spec("nilearn")  # finds the folder without importing the package, which takes seconds
    if spec is None or spec.origin is None:
        raise Unavailable("the demo's template", "nilearn", "is not installed", "run: pip install 'insula[demo]'")
    return Path(spec.origin).parent / "datasets" / "data"


def _tissues(grey: Tensor, white: Tensor) -> Tensor:
    """Return codes of `Tissue` from the template's maps of grey and white matter; what they enclose is CSF."""
    solid = ((grey > 100) | (white > 100)).numpy()
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(solid, 8), iterations=5)[8:-8, 8:-8, 8:-8])
    deep = ndimage.distance_transform_edt(closed) > _VENTRICLES_MM
    codes = np.where(closed, np.where(deep, Tissue.VENTRICLE, Tissue.SULCAL_CSF), Tissue.OUTSIDE)
    codes = np.where(solid, np.where(white >= grey, Tissue.WHITE, Tissue.CORTEX), codes)
    return torch.from_numpy(codes.astype(np.uint8))


def _corner(grid: Grid) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in grid.affine[:3, 3])
    return x, y, z


def _infarct(grid: Grid) -> Tensor:
    """Return 1 inside two ellipsoids with an uneven border, in the template's own voxels."""
    i, j, k = grid.shape
    device = torch.device("cpu")
    mm = identity((i, j, k), device=device) + torch.tensor(grid.affine[:3, 3], dtype=torch.float32).view(3, 1, 1, 1)
    uneven = 0.25 * smooth_noise((i, j, k), cell_mm=11, seed=41, device=device)[0]
    inside = torch.zeros((i, j, k), dtype=torch.bool)
    for centre, axes in _INFARCT_MM:
        c, a = (torch.tensor(values).view(3, 1, 1, 1) for values in (centre, axes))
        inside |= (((mm - c) / a) ** 2).sum(0) + uneven <= 1
    return inside.to(torch.uint8)
