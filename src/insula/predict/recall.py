"""Which places of a scan a model with a memory remembers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from insula.checkpoint import Weights
from insula.errors import Unavailable
from insula.geometry import Grid
from insula.models import MemoryUNet, probabilities
from insula.prepare import prepare
from insula.volume import Scan

__all__ = ["Remembered", "Token", "remember"]


@dataclass(frozen=True)
class Token:
    """A place in the memory."""

    corner: tuple[int, int, int]
    """First voxel of the token in the network's box."""
    centre_mm: tuple[float, float, float]
    """Centre in the scan's own space, RAS+ [mm]."""
    score: float
    """Lesion score from the coarse head, 0 to 1."""
    mirrored: bool
    """Whether the token is the mirror image of another."""


@dataclass(frozen=True, eq=False)
class Remembered:
    """The memory of a scan."""

    image: Float[np.ndarray, "i j k"]
    """The network's input box, RAS+, normalised."""
    lesion: NDArray[np.bool_]
    """The lesion mask in that box."""
    grid: Grid
    """Grid of the box."""
    tokens: tuple[Token, ...]
    """Tokens from the highest score down; mirror images after their originals."""
    side: int
    """Width of a token [voxels]."""
    mode: str
    """Rule by which tokens are kept."""

    def cells(self, *, mirrored: bool = False) -> NDArray[np.bool_]:
        """Returns the voxels under the tokens, or under the mirror images."""
        cells = np.zeros(self.lesion.shape, bool)
        for token in self.tokens:
            if token.mirrored == mirrored:
                cells[tuple(slice(start, start + self.side) for start in token.corner)] = True
        return cells


@torch.inference_mode()
def remember(scan: Scan, weights: Weights) -> Remembered:
    """Returns the tokens of a scan that a model keeps in its memory.

    Args:
        scan: as for `segment`.
        weights: of a model with a memory.

    Raises:
        Unavailable: the model has no memory.
        BadData: the image is not a scan of a head.
    """
    model, card = weights.model, weights.card
    if not isinstance(model, MemoryUNet) or model.memory is None:
        rule = "is a model without a memory"
        raise Unavailable("the model of", card.name, rule, "give weights of a mamba_unet with memory")
    prepared = prepare(scan, card.prepare)
    bank, logits = model.remember(prepared.image)
    side = model.memory.stride
    score, place = bank.score[0].tolist(), bank.place[0].numpy()
    count = len(score) // 2 if model.memory.mode == "self_sorting_mirror" else len(score)
    order = sorted(range(count), key=lambda n: -score[n])
    tokens = [
        Token(
            corner=_corner(place[n] - side / 2),
            centre_mm=_point(prepared.grid.centre_mm(place[n] - 0.5)),
            score=score[n],
            mirrored=n >= count,
        )
        for n in (*order, *(count + n for n in order if count + n < len(score)))
    ]
    prob = probabilities(logits.float(), scaling=card.calibration.scaling)[0, 0].numpy()
    image = prepared.image[0, 0].numpy()
    return Remembered(image, prob >= card.threshold, prepared.grid, tuple(tokens), side, model.memory.mode)


def _corner(place: NDArray[np.floating]) -> tuple[int, int, int]:
    i, j, k = (int(n) for n in place)
    return i, j, k


def _point(place: NDArray[np.floating]) -> tuple[float, float, float]:
    x, y, z = (float(n) for n in place)
    return x, y, z
