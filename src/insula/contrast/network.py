"""The two small networks: one recognises the kind of an image, the other detects motion and noise."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from insula.contrast.kinds import Kind
from insula.contrast.look import blocks_of_4mm, details_of, logarithm
from insula.contrast.symptoms import SYMPTOMS

__all__ = ["FaultNetwork", "KindNetwork", "bundled", "bundled_faults"]

_WIDTHS = 16, 32, 48, 64
_HIDDEN = 26
_FARTHEST = 4.0  # standard deviations from the mean, for images unlike those of the training
_FOLDER = Path(__file__).parent
_Network = TypeVar("_Network", bound=nn.Module)


class KindNetwork(nn.Module):
    """Four convolutions, each on half the grid of the previous one; 150,000 parameters.

    They see the image at 4 mm, how it varies within 4 mm, and where they are.

    Shapes:
        (b, i, j, k) as from `look_at` -> (b, kinds): logits.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1 + 3 + 7 + 3  # as from `_seen`
        for n, width in enumerate(_WIDTHS):
            layers += [nn.Conv3d(before, width, 3, padding=1, stride=1 if n else 2), nn.GroupNorm(4, width), nn.ReLU()]
            layers += [nn.MaxPool3d(2)] if 0 < n < len(_WIDTHS) - 1 else []
            before = width
        self.features = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(2 * before, len(Kind))

    def forward(self, x: Float[Tensor, "b i j k"]) -> Float[Tensor, "b n"]:
        features = self.features(_seen(x)).flatten(2)
        return self.head(self.drop(torch.cat([features.mean(2), features.amax(2)], dim=1)))


def _seen(x: Float[Tensor, "b i j k"]) -> Float[Tensor, "b 14 i2 j2 k2"]:
    """Return what the kind network sees of an image at 2 mm.

    The means over 4 mm; the logarithms of the spread within 4 mm and of how far its brightest and its darkest voxel lie
    from the mean (a vessel is bright, and small beside 4 mm); the seven details; and the place along each axis.
    """
    blocks = blocks_of_4mm(x)
    mean, spread = blocks.mean(1, keepdim=True), blocks.std(1, correction=0, keepdim=True)
    brightest, darkest = blocks.amax(1, keepdim=True), blocks.amin(1, keepdim=True)
    varied = logarithm(torch.cat([spread, brightest - mean, mean - darkest], dim=1).clamp_min(0))
    axes = (torch.linspace(-1, 1, n, device=x.device, dtype=x.dtype) for n in mean.shape[2:])
    where = torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(x), -1, -1, -1, -1)
    return torch.cat([mean / 2, varied, details_of(blocks), where], dim=1)


class FaultNetwork(nn.Module):
    """Judges motion and noise by the measurements of `measure_symptoms`; 5,700 parameters.

    Shapes:
        (b, 216) -> (b, 2): logits of motion and of noise.
    """

    middle: Tensor
    width: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(SYMPTOMS))
        self.register_buffer("width", torch.ones(SYMPTOMS))
        self.layers = nn.Sequential(nn.Linear(SYMPTOMS, _HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(_HIDDEN, 2))

    def forward(self, x: Float[Tensor, "b n"]) -> Float[Tensor, "b 2"]:
        return self.layers(((x - self.middle) / self.width).clamp(-_FARTHEST, _FARTHEST))


@lru_cache(maxsize=1)
def bundled() -> KindNetwork:
    """Return the kind network with the weights in this package, in evaluation mode."""
    return _loaded(KindNetwork(), "kinds")


@lru_cache(maxsize=1)
def bundled_faults() -> FaultNetwork:
    """Return the fault network with the weights in this package, in evaluation mode."""
    return _loaded(FaultNetwork(), "faults")


def _loaded(model: _Network, name: str) -> _Network:
    weights = load_file(_FOLDER / f"{name}.safetensors")
    model.load_state_dict({key: value.float() for key, value in weights.items()})
    return model.eval()
