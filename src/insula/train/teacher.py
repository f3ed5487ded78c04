"""Trained networks whose predictions are learned by distillation."""

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
    """The calibrated prediction of one network, or the mean of several, as a callable that changes no weights.

    Args:
        weights: the teacher's weights.
        device: the device of the batches.
        compile: whether to `torch.compile` the networks.
    """

    def __init__(self, weights: Weights, device: torch.device, *, compile: bool = False) -> None:
        self._scaling = weights.card.calibration.scaling
        self._networks: list[tuple[Callable[[Tensor], Tensor], Scaling]] = []
        for network, own in weights.networks:
            ready = ready_network(network, device)
            self._networks.append((torch.compile(ready, dynamic=False) if compile else ready, own))

    @torch.no_grad()
    def __call__(self, image: Float[Tensor, "b 1 i j k"], dtype: torch.dtype) -> Float[Tensor, "b 1 i j k"]:
        """Return the lesion probabilities, float32.

        Args:
            image: normalised images, on the device.
            dtype: precision of the networks.
        """
        with torch.autocast(image.device.type, dtype=dtype, enabled=dtype != torch.float32):
            answers = [probabilities(run(image).float(), scaling=own)[:, :1] for run, own in self._networks]
        mean = torch.stack(answers).mean(0)
        return torch.sigmoid(self._scaling(torch.logit(mean, eps=1e-6))) * (mean > 0)  # keeps 0 outside the brain
