"""Networks that are trained already, asked what they think of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from insula.checkpoint import Weights
from insula.config import Scaling
from insula.infer import ready_network
from insula.models import probabilities

__all__ = ["Teacher"]


class Teacher:
    """What weights answer, one network's or several's mean, calibrated; calling it leaves them as they are.

    Args:
        weights: who answers.
        device: where batches are.
        compile: torch.compile the networks.
    """

    def __init__(self, weights: Weights, device: torch.device, *, compile: bool = False) -> None:
        self._scaling = weights.card.calibration.scaling
        self._networks: list[tuple[Callable[[Tensor], Tensor], Scaling]] = []
        for network, own in weights.networks:
            ready = ready_network(network, device)
            self._networks.append((torch.compile(ready, dynamic=False) if compile else ready, own))

    @torch.no_grad()
    def __call__(self, image: Float[Tensor, "b 1 i j k"], dtype: torch.dtype) -> Float[Tensor, "b 1 i j k"]:
        """Probabilities of lesion, float32.

        Args:
            image: normalised, on the device.
            dtype: of the networks' arithmetic.
        """
        with torch.autocast(image.device.type, dtype=dtype, enabled=dtype != torch.float32):
            answers = [probabilities(run(image).float(), scaling=own)[:, :1] for run, own in self._networks]
        mean = torch.stack(answers).mean(0)
        return torch.sigmoid(self._scaling(torch.logit(mean, eps=1e-6))) * (mean > 0)  # 0 outside the brain stays 0
