"""The module that is exported or compiled: a volume in, logits or probabilities out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from insula.config import Scaling
from insula.infer.fuse import fused
from insula.models import UNet, probabilities

__all__ = ["Deployed"]


class Deployed(nn.Module):
    """A copy of a network for inference, without the parts that only training needs.

    Args:
        model: in evaluation mode; left unchanged.
        scaling: of the lesion logits before they become probabilities; without it the output is logits.
        precision: of its arithmetic; input and output are float32. Where float16 overflows in a logit, all
            probabilities of that voxel are NaN; 0 or 1 would hide the overflow.
    """

    def __init__(self, model: UNet, scaling: Scaling | None = None, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model, self.scaling, self.precision = fused(model), scaling, precision
        self.eval()

    def forward(self, image: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b c i j k"]:
        """Returns lesion, and brain if the network has that output; as `insula.models.probabilities` with a scaling."""
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
