"""The U-Net that all models share: gated skips around a chain of stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from insula.config import ModelConfig, Scaling
from insula.errors import UsageError
from insula.types import Shape

__all__ = ["UNet", "probabilities"]


class UNet(nn.Module):
    """Stages down, stages up, a gate on each skip, a head at full resolution.

    The forward pass is split into `shallow`, `enter`, `deep` and `merge`, because all but `deep` are local:
    full-resolution features, which take nearly all the memory, can be computed tile by tile and give the same logits
    (`insula.infer.tiles`). `deep` covers an eighth of the voxels and is never tiled.

    Args:
        encoders: one module per stage, full resolution first; the last is the bottleneck.
        gates: `gate(skip, coarse) -> skip`, one per stage but the last.
        upsamples: from stage n+1's channels to stage n's, at twice the resolution.
        decoders: from twice stage n's channels to stage n's.
        head: from the first stage's channels to the logits: lesion, and brain if the model has that output.
        downs: modules from stage n to the grid of stage n+1, each with its stride; max-pooling 2x2x2 if not given. If
            the first encoder is an identity, there is no stage at full resolution: the first of these takes the image,
            and `head` the second stage's channels.
        sides: heads of the decoder stages below full resolution, finest first; used in training, not at inference.
    """

    halo = 8
    """Voxels that `shallow` and `merge` together reach beyond a tile, rounded up to an even number."""
    config: ModelConfig | None = None
    """Config that the model was built from (`build_model`); models with equal layers may still use them differently."""
    recompute = False
    """Whether activations inside a stage are dropped after the forward pass and recomputed in the backward pass."""

    def __init__(
        self,
        *,
        encoders: list[nn.Module],
        gates: list[nn.Module],
        upsamples: list[nn.Module],
        decoders: list[nn.Module],
        head: nn.Module,
        downs: Sequence[tuple[nn.Module, Shape]] = (),
        sides: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.gates = nn.ModuleList(gates)
        self.upsamples = nn.ModuleList(upsamples)
        self.decoders = nn.ModuleList(decoders)
        self.head = head
        pairs = list(downs) or [(nn.MaxPool3d(2), (2, 2, 2)) for _ in encoders[1:]]
        self.downs, self.strides = nn.ModuleList(down for down, _ in pairs), tuple(stride for _, stride in pairs)
        self.folded = isinstance(encoders[0], nn.Identity)
        self.sides = nn.ModuleList(sides)

    @property
    def divisors(self) -> Shape:
        """Number that each axis of the input must be a multiple of."""
        i, j, k = (prod(axis) for axis in zip(*self.strides, strict=True))
        return i, j, k

    def forward(self, x: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b c i j k"]:
        """Return the logits on the image's grid: lesion, then brain if the model has that output.

        Raises:
            UsageError: an axis is not divisible by its part of `divisors`.
        """
        return self.outputs(x)[0]

    def outputs(self, x: Float[Tensor, "b 1 i j k"]) -> list[Tensor]:
        """Return what training supervises: the logits, then the lesion logits of coarser heads, if there are any."""
        self.check_size(x)
        skip = self.shallow(x)
        coarse: list[Tensor] = []
        deep = self.deep(self.enter(skip), coarse)
        return [self.merge(skip, deep), *coarse]

    def shallow(self, x: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b c i j k"]:
        """Compute full-resolution features; they depend on two voxels around each voxel."""
        return self._stage(self.encoders[0], x)

    def enter(self, x: Float[Tensor, "b c i j k"]) -> Float[Tensor, "b c2 i2 j2 k2"]:
        """Reduce full-resolution features to half the resolution."""
        return self.downs[0](x)  # (b, c2, i/2, j/2, k/2)

    def deep(self, x: Float[Tensor, "b c i j k"], coarse: list[Tensor] | None = None) -> Float[Tensor, "b c2 i j k"]:
        """Compute everything below full resolution; the logits of coarser heads are put into `coarse`, finest first."""
        return self.decode(self.encode(x), coarse)

    def encode(self, x: Float[Tensor, "b c i j k"]) -> list[Tensor]:
        """Return the features of every stage below full resolution, the coarsest last."""
        stages = []
        for level, encoder in enumerate(self.encoders[1:], start=1):
            x = self._stage(encoder, x if level == 1 else self.downs[level - 1](x))
            stages.append(x)
        return stages

    def decode(
        self,
        stages: list[Tensor],
        coarse: list[Tensor] | None,
        recall: Callable[[int, Tensor], Tensor] = lambda _, x: x,
    ) -> Float[Tensor, "b c2 i j k"]:
        """Decode the features of every stage to those at half resolution.

        `recall(level, x)` is applied after each stage, including the coarsest.
        """
        last = len(self.encoders) - 1
        x = recall(last, stages.pop())
        for level in range(last - 1, 0, -1):
            x = recall(level, self._up(level, stages.pop(), x))
            if coarse is not None and level <= len(self.sides):
                coarse.insert(0, self.sides[level - 1](x))
        return x

    def merge(
        self, skip: Float[Tensor, "b c i j k"], coarse: Float[Tensor, "b c3 i2 j2 k2"]
    ) -> Float[Tensor, "b c2 i j k"]:
        """Return the logits from full-resolution and deep features; they depend on two voxels around each voxel."""
        return self.head(coarse if self.folded else self._up(0, skip, coarse))  # (b, 1 or 2, i, j, k)

    def _up(self, level: int, skip: Tensor, coarse: Tensor) -> Tensor:
        gated = self.gates[level](skip, coarse)
        return self._stage(self.decoders[level], torch.cat([gated, self.upsamples[level](coarse)], dim=1))

    def _stage(self, module: nn.Module, x: Tensor) -> Tensor:
        if not (self.recompute and torch.is_grad_enabled()):
            return module(x)
        if torch.compiler.is_compiling():  # it recomputes without updating the statistics twice
            return checkpoint(module, x, use_reentrant=False, preserve_rng_state=False)
        parts = lambda: (nullcontext(), _still(module))  # noqa: E731
        return checkpoint(module, x, use_reentrant=False, preserve_rng_state=False, context_fn=parts)

    def check_size(self, x: Tensor) -> None:
        """Refuse a size that cannot be halved often enough, naming the axis and the nearest valid sizes."""
        if torch.compiler.is_exporting():
            return
        for axis, size, divisor in zip("ijk", x.shape[2:], self.divisors, strict=True):
            if size % divisor:
                low = size // divisor * divisor
                near = f"{low} or {low + divisor}" if low else f"{divisor}"
                rule = f"is not divisible by {divisor} ({len(self.encoders) - 1} down-samplings)"
                raise UsageError("the input", f"{size} on axis {axis}", rule, f"use {near}")


def probabilities(logits: Float[Tensor, "b c i j k"], *, scaling: Scaling = Scaling()) -> Float[Tensor, "b c i j k"]:
    """Return probabilities from a network's logits; lesion probability is 0 where the network sees no brain.

    There is no branch on values, so that exported graphs follow the same rule.

    Args:
        logits: lesion, and brain if the network has that output.
        scaling: scaling of the lesion logits; the brain's are taken as they are.
    """
    lesion = torch.sigmoid(scaling(logits[:, :1]))
    if logits.shape[1] == 1:
        return lesion
    brain = logits[:, 1:]
    return torch.cat([lesion * (brain > 0), torch.sigmoid(brain)], dim=1)


@contextmanager
def _still(module: nn.Module) -> Iterator[None]:
    """Freeze the statistics of batch normalisation, which have already seen this batch."""
    norms = [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm3d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
