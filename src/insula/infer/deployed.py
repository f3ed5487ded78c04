"""What of a network is exported or compiled ahead: one volume in, logits or probabilities out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from insula.config import Scaling
from insula.infer.fuse import fused
from insula.models import UNet, probabilities

__all__ = ["Deployed"]


class Deployed(nn.Module):
    """A copy of a network for inference, without what only training needs.

    Args:
        model: in evaluation mode; untouched.
        scaling: of the lesion logits before they become probabilities; without it the output is logits.
        precision: of its arithmetic; what goes in and comes out is float32. Where float16 overflows into a logit, every probability of
            that voxel is not a number: 0 or 1 would hide it.
    """

    def __init__(self, model: UNet, scaling: Scaling | None = None, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model, self.scaling, self.precision = fused(model), scaling, precision
        self.eval()

    def forward(self, image: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b c i j k"]:
        """Lesion, and brain if the network has that output; with a scaling as `insula.models.probabilities` gives them."""
        if self.precision == torch.float32:
            logits = self.model(image)
        else:
            with torch.autocast(image.device.type, dtype=self.precision):
                logits = self.model(image).float()
        if self.scaling is None:
            return logits
        if self.precision == torch.float16:
            logits = torch.where(logits.abs().sum(dim=1, keepdim=True) < torch.inf, logits, torch.nan)
        return probabilities(logits, scaling=self.scaling)
