"""Infarcts that no training draws, to test a network on a look that it has never met."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from insula.simulate.fields import blur, identity, look_up, smooth_noise

__all__ = ["UnfamiliarKind", "insert_unfamiliar"]

UnfamiliarKind = Literal["honeycomb", "layered", "scrambled"]
"""Chambers of fluid with thin walls; two even layers of fluid; the patient's own tissue torn and faded."""

_CELL_MM = 4.0, 9.0  # diameter of a chamber
_WALL_MM = 0.9
_TEAR_MM = 7.0  # displacement of torn tissue
_BORDER_MM = 0.5

Volume = Float[Tensor, "i j k"]


def insert_unfamiliar(
    image: Volume,
    lesion: Volume,
    rng: np.random.Generator,
    *,
    csf: float,
    grey: float,
    kind: UnfamiliarKind | None = None,
) -> Volume:
    """Turn healthy tissue into infarct where `lesion` is 1, in a way that shares nothing with `infarct`.

    Its textures are made differently (chambers around random points, even layers, displaced tissue instead of
    band-limited noise), it has no rim, and its border is the outline itself.

    Args:
        image: T1w intensities.
        lesion: 0 or 1, 1 somewhere.
        rng: the source of chance.
        csf: this scan's intensity of CSF.
        grey: this scan's intensity of grey matter.
        kind: drawn if not given.

    Returns:
        The image with the infarct; unchanged farther than three `_BORDER_MM` from it.
    """
    kind = kind or get_args(UnfamiliarKind)[int(rng.integers(3))]
    draw = {"honeycomb": _honeycomb, "layered": _layered, "scrambled": _scrambled}[kind]
    weight = blur(lesion, _BORDER_MM)
    return image + weight * (draw(image, lesion, rng, csf, grey) - image)


def _honeycomb(image: Volume, lesion: Volume, rng: np.random.Generator, csf: float, grey: float) -> Volume:
    """Draw chambers around scattered points; there is a wall where two points are about equally near."""
    inside = (lesion > 0.5).nonzero().cpu().numpy().astype(np.float64)
    count = max(3, int(len(inside) / float(rng.uniform(*_CELL_MM)) ** 3))
    points = inside[rng.integers(len(inside), size=count)] + rng.uniform(-0.5, 0.5, (count, 3))
    distance, owner = cKDTree(points).query(inside, k=2)
    wall = distance[:, 1] - distance[:, 0] < 2 * _WALL_MM
    fluid = csf + (grey - csf) * rng.uniform(0.0, 0.5, count)[owner[:, 0]]
    values = np.where(wall, grey * float(rng.uniform(0.7, 0.95)), fluid)
    return _place(image, lesion, values)


def _layered(image: Volume, lesion: Volume, rng: np.random.Generator, csf: float, grey: float) -> Volume:
    """Draw lighter fluid above heavier fluid, with a level between them, as in a patient who lies on their back."""
    inside = (lesion > 0.5).nonzero().cpu().numpy().astype(np.float64)
    down = rng.normal(0, 0.25, 3) + np.array([0.0, -1.0, 0.0])
    height = inside @ (down / np.linalg.norm(down))
    level = np.quantile(height, rng.uniform(0.3, 0.7))
    upper, lower = csf * float(rng.uniform(0.9, 1.2)), csf + (grey - csf) * float(rng.uniform(0.4, 0.85))
    rise = (height - height.min()) / max(np.ptp(height), 1e-9)
    return _place(image, lesion, np.where(height > level, lower, upper) * (1 + 0.15 * (rise - 0.5)))


def _scrambled(image: Volume, lesion: Volume, rng: np.random.Generator, csf: float, grey: float) -> Volume:
    """Draw tissue from some millimetres away, faded toward a level between CSF and grey matter."""
    shape = (image.shape[0], image.shape[1], image.shape[2])
    tear = smooth_noise(shape, cell_mm=4.0, seed=int(rng.integers(2**31)), device=image.device, channels=3)
    torn = look_up(image[None], identity(shape, device=image.device) + _TEAR_MM * tear, repeat_rim=True)[0]
    level = csf + float(rng.uniform(0.2, 0.7)) * (grey - csf)
    share = float(rng.uniform(0.45, 0.75))
    return ((1 - share) * torn + share * level).clamp_max(grey)


def _place(image: Volume, lesion: Volume, values: np.ndarray) -> Volume:
    out = image.clone()
    out[lesion > 0.5] = torch.from_numpy(values).to(out)
    return out
