"""Artefacts of an acquisition: ghosts, a movement, a spike."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from insula.simulate.deform import Deformation
from insula.simulate.fields import look_up

__all__ = ["Artefacts", "disturb"]

_NONE = (0.0, 0.0, 0.0)
Volume = Float[Tensor, "i j k"]


@dataclass(frozen=True, kw_only=True)
class Artefacts:
    """Faults of k-space, as numbers; the default is none.

    A 3-D scan is acquired line by line along the phase axis. Lines that differ from their neighbours at regular
    intervals show copies of the head (ghosts). Lines acquired after a movement show the head in another pose. A single
    false point of k-space lays a wave over the whole image.
    """

    phase_axis: int = 1
    """Axis along which lines follow each other: 0, 1 or 2."""
    ghost: float = 0.0
    """How much weaker every `ghost_every`-th line is, 0 to 1."""
    ghost_every: int = 2
    """Interval of the weaker lines; as many copies appear across the volume."""
    move_deg: tuple[float, float, float] = _NONE
    """Rotation of the head about i, j, k."""
    move_mm: tuple[float, float, float] = _NONE
    """Shift of the head along i, j, k."""
    move_at: float = 1.0
    """Share of the lines acquired before the movement; above a half, so that the head is where it was at the start."""
    spike: float = 0.0
    """Amplitude of the wave, relative to white matter."""
    spike_cycles: tuple[float, float, float] = _NONE
    """Cycles of the wave across the volume along i, j, k."""

    @property
    def moved(self) -> bool:
        """Whether there is a movement."""
        return (*self.move_deg, *self.move_mm) != (*_NONE, *_NONE)

    @classmethod
    def sample(cls, rng: np.random.Generator, *, chance: float) -> Artefacts:
        """Draw each of the three artefacts with the same chance, from hardly visible to hardly usable."""
        ghosts, moves, spikes = rng.random(3) < chance
        axis, every = int(rng.integers(2)), int(rng.integers(2, 6))
        a, b, c = rng.normal(0, 2.0, 3) * moves
        x, y, z = rng.normal(0, 2.0, 3) * moves
        u, v, w = rng.uniform(-40, 40, 3) * spikes
        return cls(
            phase_axis=axis,
            ghost=float(rng.uniform(0.05, 0.5) * ghosts),
            ghost_every=every,
            move_deg=(float(a), float(b), float(c)),
            move_mm=(float(x), float(y), float(z)),
            move_at=float(rng.uniform(0.55, 0.95)),
            spike=float(rng.uniform(0.02, 0.12) * spikes),
            spike_cycles=(float(u), float(v), float(w)),
        )


def disturb(image: Volume, artefacts: Artefacts) -> Volume:
    """Apply artefacts to an image whose white matter is about 1; intensities stay at least 0.

    Without artefacts the image is returned as it is.
    """
    x, axis = image, artefacts.phase_axis
    if artefacts.ghost or artefacts.moved:
        # effects along one axis of k-space need no transform along the others
        lines = torch.fft.fft(x, dim=axis)
        size = x.shape[axis]
        turn = (torch.arange(size, device=x.device) + size // 2) % size  # acquisition order of each frequency's line
        turn = turn.view([-1 if n == axis else 1 for n in range(3)])
        if artefacts.moved:
            pose = Deformation(rotation_deg=artefacts.move_deg, shift_mm=artefacts.move_mm)
            shape = (x.shape[0], x.shape[1], x.shape[2])
            moved = look_up(x[None], pose.index(shape, device=x.device), repeat_rim=True)[
                0
            ]  # a crop is not surrounded by air
            lines = torch.where(turn < artefacts.move_at * size, lines, torch.fft.fft(moved, dim=axis))
        if artefacts.ghost:
            lines = lines * (1 - artefacts.ghost * (turn % artefacts.ghost_every == 0))
        x = torch.fft.ifft(lines, dim=axis).abs()
    if artefacts.spike:
        wave = torch.zeros((), device=x.device)
        for n, (cycles, size) in enumerate(zip(artefacts.spike_cycles, x.shape, strict=True)):
            angle = torch.arange(size, device=x.device) * (2 * math.pi * cycles / size)
            wave = wave + angle.view([-1 if n == other else 1 for other in range(3)])
        x = (x + artefacts.spike * torch.cos(wave)).abs()
    return x
