"""What a scanner does to a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from insula.simulate.artefacts import Artefacts, disturb
from insula.simulate.fields import along, band, noise, smooth_at
from insula.types import Shape

__all__ = ["ScannerLook", "log_bias", "scan_each", "scan_with", "spread"]

_NO_BLUR = 0.05  # mm
Volume = Float[Tensor, "i j k"]
Volumes = Float[Tensor, "b i j k"]


@dataclass(frozen=True, kw_only=True)
class ScannerLook:
    """One acquisition's character, as numbers."""

    bias: float = 0.0
    """Amplitude of the log bias field; 0.3 is a strong 3 T surface coil."""
    gamma: float = 1.0
    """Contrast: white matter stays, dark tissue moves."""
    noise: float = 0.0
    """Rician noise, relative to white matter."""
    blur_mm: float = 0.0
    """Point spread (sigma)."""
    slice_mm: float = 1.0
    """Slice thickness; above 1 the head is averaged over it and interpolated back."""
    slice_axis: int = 2
    """0, 1, 2: sagittal, coronal, axial slices."""
    seed: int = 0
    """Of the fields."""
    artefacts: Artefacts = field(default_factory=Artefacts)
    """What went wrong."""

    @classmethod
    def sample(cls, rng: np.random.Generator, *, artefacts: float = 0.0) -> ScannerLook:
        """Draw one from good research scans to poor clinical ones, with each artefact at a chance of `artefacts`."""
        quality = rng.random()
        return cls(
            bias=float(rng.uniform(0, 0.35)),
            gamma=float(np.exp(rng.normal(0, 0.2))),
            noise=float(rng.uniform(0, 0.03) if quality < 0.6 else rng.uniform(0.03, 0.09)),
            blur_mm=float(rng.uniform(0, 0.5) if quality < 0.7 else rng.uniform(0.5, 1.0)),
            slice_mm=float(1.0 if rng.random() < 0.75 else rng.uniform(1.5, 5.0)),
            slice_axis=int(rng.integers(3)),
            seed=int(rng.integers(2**31)),
            artefacts=Artefacts.sample(rng, chance=artefacts) if artefacts else Artefacts(),
        )

    def at_field(self, tesla: float) -> ScannerLook:
        """The same acquisition at another field strength, taking this one as made at 1.5 T.

        Signal grows with the field, so noise falls; radio waves get shorter, so the bias field grows; grey and white
        matter's T1 come closer, so contrast falls. The exponents of the last two are round figures, not measurements.

        Args:
            tesla: above 0 [T].

        Source:
            Edelstein 1986, Magn Reson Med 3:604 (signal); Vaughan 2001, 46:24 (bias); Rooney 2007, 57:308 (contrast).
        """
        times = tesla / 1.5
        return replace(self, noise=self.noise / times, bias=self.bias * times**0.5, gamma=self.gamma / times**0.15)


def scan_with(image: Volume, look: ScannerLook, *, white: float) -> Volume:
    """Image a head.

    Args:
        image: intensities, at least 0, at 1 mm.
        look: the scanner.
        white: intensity of white matter, the unit of noise and contrast.

    Returns:
        Intensities with white matter about 1, at least 0, on the same grid.
    """
    return scan_each(image[None], [look], white=[white])[0]


def scan_each(
    images: Volumes, looks: Sequence[ScannerLook], *, white: Sequence[float], box: Shape | None = None,
    starts: Sequence[Shape] = (),
) -> Volumes:  # fmt: skip
    """As `scan_with`, every item of a batch with its own scanner, on the batch's device.

    An item's result does not depend on what else is in the batch, but for rounding.

    Args:
        images: intensities, at least 0, at 1 mm.
        looks: the scanners.
        white: intensity of white matter in each.
        box: of the whole head, if the images are crops; the bias field is the head's.
        starts: and where each crop begins in it.
    """
    shape, device = (images.shape[1], images.shape[2], images.shape[3]), images.device

    def one_each(values: list[float]) -> Tensor:
        return torch.tensor(values, device=device).view(-1, 1, 1, 1)

    x = (images / one_each(list(white))).clamp_min(0) ** one_each([look.gamma for look in looks])
    if any(look.bias for look in looks):
        fields = []
        for look, start in zip(looks, starts or [(0, 0, 0)] * len(looks), strict=True):
            i, j, k = (first + torch.arange(n, device=device) for first, n in zip(start, shape, strict=True))
            fields.append(log_bias(look, box or shape, (i, j, k)))
        x = x * torch.exp(torch.stack(fields))
    for axis in range(3):
        if any(_spreads(look, axis) for look in looks):
            x = along(x, axis, torch.stack([spread(shape[axis], look, axis, device) for look in looks]))
    if any(look.artefacts != Artefacts() for look in looks):
        x = torch.stack([disturb(item, look.artefacts) for item, look in zip(x, looks, strict=True)])
    if any(look.noise for look in looks):
        strength = one_each([look.noise for look in looks])
        a, b = (torch.stack([noise((2, *shape), seed=look.seed + 1, device=device) for look in looks])).unbind(1)
        x = torch.sqrt((x + strength * a) ** 2 + (strength * b) ** 2)
    return x


def log_bias(look: ScannerLook, box: Shape, places: tuple[Tensor, Tensor, Tensor]) -> Volume:
    """Logarithm of the bias field of a head of `box` at places along each axis [voxels]."""
    return look.bias * smooth_at(places, box, cell_mm=70, seed=look.seed)


def _spreads(look: ScannerLook, axis: int) -> bool:
    return look.blur_mm > _NO_BLUR or (look.slice_mm > 1 and look.slice_axis == axis)


def spread(size: int, look: ScannerLook, axis: int, device: torch.device) -> Float[Tensor, "n n"]:
    """Point spread, averaging over a slice and interpolation between slices along one axis, as one matrix."""
    matrix = band(size, look.blur_mm, device=device)
    if look.slice_mm > 1 and look.slice_axis == axis:
        count = max(2, round(size / look.slice_mm))
        lines = torch.eye(size, device=device)[:, None]
        thick = F.interpolate(lines, size=count, mode="linear", align_corners=False)
        between = F.interpolate(thick, size=size, mode="linear", align_corners=False)[:, 0].T
        matrix = between @ band(size, look.slice_mm / 2.3548, device=device) @ matrix
    return matrix
