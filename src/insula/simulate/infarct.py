"""Effect of an infarct on a T1w image: the visible change, inside an outline that is drawn generously.

Each ingredient is a small function on tensors; `infarct` mixes them. All items of a batch take the same arithmetic, so
that it can be recorded. Images are on a scale where air is 0 and white matter 1, at 1 mm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from insula.simulate.fields import between_nodes, blur_evenly, node_counts
from insula.simulate.ingredients import Ingredients
from insula.types import Shape

__all__ = [
    "Grain",
    "Where",
    "blood",
    "core_noise",
    "csf_share",
    "depth_mm",
    "grain",
    "grain_cells",
    "grain_room",
    "infarct",
    "remaining_tissue",
    "visible_share",
]

_DEPTH_MM = 2.0  # sigma of the blur that depth is read from
_DEEPEST = 0.98  # beyond two sigmas a blurred outline no longer tells how deep a voxel lies
_CORE_CELLS = 5  # cells of 2 mm: window in which the maximum of a blurred outline is searched
_CELLS_MM = (2.0, 3.5), (3.0, 6.0), (9.0, 18.0)  # smallest and largest distance between nodes of the three noises
_SHEET = 0.798, 0.603  # mean and standard deviation of |x| of a standard normal x
_NODE_SPREAD = 0.57  # standard deviation of interpolated noise, averaged between nodes

Volumes = Float[Tensor, "b i j k"]
Mask = Bool[Tensor, "b i j k"]
Grain = Float[Tensor, "b 3 i j k"]
"""Three noises of unit variance: fine (2 to 3.5 mm), coarse (3 to 6 mm) and broad (9 to 18 mm)."""


def grain_cells(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw the distances between nodes of the three noises [mm]."""
    fine, coarse, broad = (float(rng.uniform(*cell)) for cell in _CELLS_MM)
    return fine, coarse, broad


def grain_room(shape: Shape) -> Shape:
    """Return room for the nodes of the densest noise that `grain_cells` draws."""
    return node_counts(shape, _CELLS_MM[0][0])


class Where(NamedTuple):
    """Tissues of the heads, as far as they matter to an infarct."""

    white: Mask
    """White matter."""
    cortex: Mask
    fluid: Mask
    """CSF of sulci and ventricles."""
    outside: Mask
    """Outside the brain."""


def grain(nodes: Float[Tensor, "b 3 x y z"], apart: Float[Tensor, "b 3 3"], shape: Shape) -> Grain:
    """Interpolate the three noises between their nodes.

    Args:
        nodes: standard normal.
        apart: distance from node to node along each axis [voxels], for each noise.
        shape: shape of the volumes.
    """
    places = [torch.arange(n, device=nodes.device)[None] for n in shape]
    distances = [apart[:, :, axis].reshape(-1, 1) for axis in range(3)]
    return between_nodes(nodes.flatten(0, 1), places, distances).unflatten(0, (-1, 3)) / _NODE_SPREAD


def depth_mm(region: Volumes) -> Volumes:
    """Return the depth of each voxel inside a region: 0 at its border, at most about 4 mm, negative outside.

    Small regions reach their full depth in the middle: the blurred region is divided by its maximum nearby.
    """
    coarse = blur_evenly(F.avg_pool3d(region, 2), _DEPTH_MM / 2)
    most = F.max_pool3d(coarse, _CORE_CELLS, stride=1, padding=_CORE_CELLS // 2).clamp_min(0.05)
    share = F.interpolate((coarse / most)[:, None], size=region.shape[1:], mode="trilinear")[:, 0]
    return _DEPTH_MM * torch.special.ndtri((_DEEPEST * share).clamp(1 - _DEEPEST, _DEEPEST))


def visible_share(depth: Volumes, noise: Volumes, inset_mm: Tensor, border_mm: Tensor) -> Volumes:
    """Return the share of the change that shows: all of it in the depth, nothing beyond the outline.

    Its border is uneven.
    """
    share = torch.sigmoid((depth - inset_mm * (1 + 0.4 * noise)) / (0.4 * border_mm))
    return share * (depth > 0)


def core_noise(noises: Grain, strands: Tensor, regions: Tensor) -> Volumes:
    """Return noise of about unit variance that sets where a core is fluid.

    It mixes blobs, sheets between them, and richer and poorer regions.
    """
    fine, coarse, broad = noises.unbind(1)
    sheets = (coarse.abs() - _SHEET[0]) / _SHEET[1]
    mixed = ((1 - strands) * fine + strands * sheets) * ((1 - strands) ** 2 + strands**2).rsqrt()
    return (mixed + regions * broad) * (1 + regions**2).rsqrt()


def csf_share(noise: Volumes, depth: Volumes, cut: Tensor, soft: Tensor, rim_mm: Tensor) -> Volumes:
    """Return the share of fluid in each voxel: where the noise exceeds its quantile, behind a rim of tissue."""
    return torch.sigmoid((noise - cut) / (0.5 * soft)) * torch.sigmoid((depth - rim_mm) / 0.5)


def remaining_tissue(
    images: Volumes,
    white: Bool[Tensor, "b i j k"],
    noise: Volumes,
    *,
    factors: tuple[Tensor, Tensor],
    flatness: Tensor,
    level: Tensor,
    texture: Tensor,
) -> Volumes:
    """Return the tissue that an infarct leaves: darker, uneven, its structure blurred."""
    soft = blur_evenly(images, 1.0)
    kept = torch.where(white, factors[0], factors[1]) * soft
    return ((1 - flatness) * kept + flatness * level) * (1 + texture * noise)


def blood(tissue: Volumes, noise: Volumes, cut: Tensor, level: Tensor, iron: Tensor) -> Volumes:
    """Add spots of blood where the noise is highest, each in a dark rim."""
    rim = torch.sigmoid((noise - cut + 0.35) / 0.08)
    spot = torch.sigmoid((noise - cut) / 0.08)
    return tissue + rim * (iron - tissue) + spot * (level - iron)


def infarct(
    images: Volumes, truths: Volumes, numbers: Float[Tensor, "b n"], noises: Grain, speckle: Volumes, where: Where
) -> Volumes:
    """Turn healthy tissue into infarct inside each truth.

    Args:
        images: air 0, white matter 1.
        truths: 0 or 1, what an expert would outline.
        numbers: rows of `Ingredients`.
        noises: from `grain`.
        speckle: standard normal noise, voxel by voxel.
        where: tissues of the heads.
    """
    white, cortex, fluid, outside = where
    n: Ingredients[Tensor] = Ingredients(*(column[:, None, None, None] for column in numbers.unbind(1)))
    fine, coarse, broad = noises.unbind(1)
    depth = depth_mm(truths)
    inward = depth_mm(torch.maximum(truths, (fluid | outside).float()))  # no rim of tissue towards the surface
    shown = visible_share(depth, coarse, n.inset_mm, n.border_mm) * (numbers[:, 0] > 0)[:, None, None, None]
    tissue = remaining_tissue(
        images,
        white,
        fine,
        factors=(n.white_factor, n.grey_factor),
        flatness=n.flatness,
        level=n.gliosis_level,
        texture=n.texture,
    )
    tissue = torch.where(fluid, images + n.swelling * (n.gliosis_level - images).clamp_min(0), tissue)
    noise = core_noise(noises, n.strands, n.regions)
    share = csf_share(noise, inward, n.csf_cut, n.csf_soft, n.rim_mm) * (n.csf_cut < 5)
    cavity = torch.minimum(n.cavity_level * (1 + 0.04 * speckle), images)
    inside = tissue + share * (cavity - tissue)
    ribbon = torch.sigmoid((broad - n.ribbon_cut) / 0.2) * cortex
    inside = inside + ribbon * (n.ribbon_level - inside)
    spots = (fine + broad) * 0.5**0.5 - 0.8 * ~cortex  # most of the blood lies in the cortex, in some regions of it
    bleeds = (n.blood_cut < 5) & ~fluid
    inside = torch.where(bleeds, blood(inside, spots, n.blood_cut, n.blood_level, n.iron_level), inside)
    return (images + shown * (inside - images)).clamp_min(0)
