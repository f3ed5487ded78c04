"""What a scanner does to a head."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from insula.simulate.fields import blur, noise, smooth_noise

__all__ = ["ScannerLook", "scan_with"]

Volume = Float[Tensor, "i j k"]


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

    @classmethod
    def sample(cls, rng: np.random.Generator) -> ScannerLook:
        """Draw one from good research scans to poor clinical ones."""
        quality = rng.random()
        return cls(
            bias=float(rng.uniform(0, 0.35)),
            gamma=float(np.exp(rng.normal(0, 0.2))),
            noise=float(rng.uniform(0, 0.03) if quality < 0.6 else rng.uniform(0.03, 0.09)),
            blur_mm=float(rng.uniform(0, 0.5) if quality < 0.7 else rng.uniform(0.5, 1.0)),
            slice_mm=float(1.0 if rng.random() < 0.75 else rng.uniform(1.5, 5.0)),
            slice_axis=int(rng.integers(3)),
            seed=int(rng.integers(2**31)),
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
    shape = (image.shape[0], image.shape[1], image.shape[2])
    x = (image / white).clamp_min(0) ** look.gamma
    if look.bias:
        x = x * torch.exp(look.bias * smooth_noise(shape, cell_mm=70, seed=look.seed, device=image.device)[0])
    x = blur(x, look.blur_mm)
    if look.slice_mm > 1:
        x = _thick_slices(x, look)
    if look.noise:
        a, b = look.noise * noise((2, *shape), seed=look.seed + 1, device=image.device)
        x = torch.sqrt((x + a) ** 2 + b**2)
    return x


def _thick_slices(x: Volume, look: ScannerLook) -> Volume:
    sigma = [0.0, 0.0, 0.0]
    sigma[look.slice_axis] = look.slice_mm / 2.3548
    x = blur(x, (sigma[0], sigma[1], sigma[2]))
    size = list(x.shape)
    size[look.slice_axis] = max(2, round(size[look.slice_axis] / look.slice_mm))
    thick = F.interpolate(x[None, None], size=size, mode="trilinear", align_corners=False)
    return F.interpolate(thick, size=x.shape, mode="trilinear", align_corners=False)[0, 0]
