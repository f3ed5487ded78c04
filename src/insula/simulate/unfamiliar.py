"""Infarcts as no training draws them: what a network makes of a look that it has never met."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from insula.simulate.fields import blur, smooth_noise

__all__ = ["UnfamiliarKind", "insert_unfamiliar"]

UnfamiliarKind = Literal["cysts", "laminar", "bleeding"]
"""Many small cysts in scarred tissue; dark tissue with a bright cortical rim (laminar necrosis); dark tissue with bright blood in it."""

_CELLS_MM = (2.0, 4.0, 9.0)  # of the grain that says where cysts and blood are
_BORDER_MM = 0.4
_RIM_MM = 2.0

Volume = Float[Tensor, "i j k"]


def insert_unfamiliar(
    image: Volume, lesion: Volume, rng: np.random.Generator, *, csf: float, grey: float,
    kind: UnfamiliarKind | None = None,
) -> Volume:  # fmt: skip
    """Turn healthy tissue into infarct where `lesion` is 1, in another manner than `insert_lesion`.

    What remains of the tissue loses its contrast and goes to one level, instead of being darkened in proportion; cysts are
    scattered by a grain of three sizes, instead of filling the core; and two of the three kinds are in places brighter than
    any training's infarct is on T1. The border is sharp.

    Args:
        image: T1w intensities.
        lesion: 0 or 1, somewhere 1.
        rng: the source of chance.
        csf: this scan's intensity of CSF.
        grey: and of grey matter.
        kind: drawn if not given.

    Returns:
        The image with the infarct; unchanged farther than three `_BORDER_MM` from it.

    Source:
        Kinkel 2001, AJNR 22:1750-1756 (laminar necrosis on T1); Bradley 1993, Radiology 189:15 (blood on T1).
    """
    kind = kind or get_args(UnfamiliarKind)[int(rng.integers(3))]
    grain = _grain(image, rng)
    level = csf + float(rng.uniform(0.35, 0.85)) * (grey - csf)
    flat = float(rng.uniform(0.6, 0.9))
    tissue = (1 - flat) * image + flat * level
    if kind == "cysts":
        tissue = torch.where(_most(grain, lesion, rng.uniform(0.3, 0.6)), csf * float(rng.uniform(0.9, 1.1)), tissue)
    elif kind == "laminar":
        rim = (blur(lesion, _RIM_MM) < 0.75) & _most(grain, lesion, 0.7)
        tissue = torch.where(rim, grey * float(rng.uniform(1.3, 1.7)), tissue)
    else:
        blood = _most(grain, lesion, rng.uniform(0.1, 0.3))
        tissue = torch.where(blood, grey * float(rng.uniform(1.4, 1.9)), tissue)
    weight = blur(lesion, _BORDER_MM)
    return image + weight * (blur(tissue, _BORDER_MM) - image)


def _grain(image: Volume, rng: np.random.Generator) -> Volume:
    """Noise, uneven at three scales, the coarsest most."""
    shape = (image.shape[0], image.shape[1], image.shape[2])
    fields = [
        cell * smooth_noise(shape, cell_mm=cell, seed=int(rng.integers(2**31)), device=image.device)[0]
        for cell in _CELLS_MM
    ]
    return torch.stack(fields).sum(0)


def _most(grain: Volume, lesion: Volume, share: float) -> Bool[Tensor, "i j k"]:
    """Where the grain is highest: this share of the lesion."""
    inside = lesion > 0.5
    return inside & (grain > grain[inside].quantile(1 - share))
