"""What of a network is exported or compiled ahead: one volume in, logits or probabilities out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from insula.infer.fuse import fused
from insula.models import UNet

__all__ = ["Deployed"]


class Deployed(nn.Module):
    """A copy of a network for inference, without what only training needs.

    Args:
        model: in evaluation mode; untouched.
        temperature: what logits are divided by before they become probabilities; without it the output is logits.
        precision: of its arithmetic; what goes in and comes out is float32. Where float16 overflows into a logit, what comes out is not a
            number: a probability of 0 or 1 would hide it.
    """

    def __init__(self, model: UNet, temperature: float | None = None, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.model, self.temperature, self.precision = fused(model), temperature, precision
        self.eval()

    def forward(self, image: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b 1 i j k"]:
        if self.precision == torch.float32:
            logits = self.model(image)
        else:
            with torch.autocast(image.device.type, dtype=self.precision):
                logits = self.model(image).float()
        if self.temperature is None:
            return logits
        if self.precision == torch.float16:
            logits = torch.where(logits.abs() < torch.inf, logits, torch.nan)
        return torch.sigmoid(logits / self.temperature)
