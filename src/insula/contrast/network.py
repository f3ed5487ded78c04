"""The small network that recognises the kind of an image."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from insula.contrast.kinds import Kind

__all__ = ["KindNetwork", "bundled"]

_WIDTHS = 16, 32, 48, 64
_FILE = Path(__file__).with_name("kinds.safetensors")


class KindNetwork(nn.Module):
    """Four convolutions, each on half the grid of the previous one; 150,000 parameters.

    Shapes:
        (b, 2, i, j, k) as from `look.coarse` -> (b, kinds + 2): logits of the kinds, of motion, of noise.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 5
        for n, width in enumerate(_WIDTHS):
            layers += [nn.Conv3d(before, width, 3, padding=1, stride=1 if n else 2), nn.GroupNorm(4, width), nn.ReLU()]
            layers += [nn.MaxPool3d(2)] if 0 < n < len(_WIDTHS) - 1 else []
            before = width
        self.features = nn.Sequential(*layers)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(2 * before, len(Kind) + 2)

    def forward(self, x: Float[Tensor, "b 2 i j k"]) -> Float[Tensor, "b n"]:
        axes = (torch.linspace(-1, 1, n, device=x.device) for n in x.shape[2:])
        where = torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(x), -1, -1, -1, -1)
        features = self.features(torch.cat([x, where.to(x.dtype)], dim=1)).flatten(2)
        return self.head(self.drop(torch.cat([features.mean(2), features.amax(2)], dim=1)))


@lru_cache(maxsize=1)
def bundled() -> KindNetwork:
    """Return the network with the weights in this package, in evaluation mode."""
    model = KindNetwork()
    model.load_state_dict({name: value.float() for name, value in load_file(_FILE).items()})
    return model.eval()
