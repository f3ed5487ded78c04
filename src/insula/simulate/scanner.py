"""Effects of a scanner on a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from insula.simulate.artefacts import Artefacts, disturb
from insula.simulate.fields import along, bands, between_nodes, node_noise, noise, put
from insula.types import Shape

__all__ = [
    "ScanNumbers",
    "ScannerLook",
    "acquire",
    "add_noise",
    "as_spin_echo",
    "disturb_each",
    "log_bias",
    "scan_each",
    "scan_numbers",
    "scan_with",
    "spreads",
    "toned",
]

_NO_BLUR = 0.05  # mm
_BIAS_MM = 70  # distance over which a bias field varies
_FWHM = 2.3548  # full width at half maximum of a Gaussian [sigmas]
_MPRAGE = np.array([0.0, 0.17, 0.56, 1.0, 1.2, 1.5])
"""Air, CSF, grey matter, white matter, white matter where the scan is unevenly bright, and fat."""
_SPIN_ECHO = np.array([0.0, 0.34, 0.87, 1.0, 1.1, 1.9])
"""The same at 1.5 T, TR 500 ms and TE 12 ms: water * (1 - exp(-TR / T1)) * exp(-TE / T2), for CSF, grey matter, white
matter and fat with T1 of 4000, 950, 600 and 260 ms, T2 of 2000, 100, 80 and 70 ms, water 1, 0.82, 0.7 and 0.9."""
_SLOPES = np.diff(_SPIN_ECHO) / np.diff(_MPRAGE)
_BENDS = tuple(zip(_MPRAGE[:-1].tolist(), np.diff(_SLOPES, prepend=0.0).tolist(), strict=True))
"""Where the line from one to the other bends, and by how much its slope changes there."""
Volume = Float[Tensor, "i j k"]
Volumes = Float[Tensor, "b i j k"]
_Array = TypeVar("_Array", np.ndarray, Tensor)


@dataclass(frozen=True, kw_only=True)
class ScannerLook:
    """Characteristics of one acquisition, as numbers."""

    bias: float = 0.0
    """Amplitude of the log bias field; 0.3 is a strong 3 T surface coil."""
    gamma: float = 1.0
    """Exponent of contrast: white matter stays, dark tissue changes."""
    noise: float = 0.0
    """Rician noise, relative to white matter."""
    blur_mm: float = 0.0
    """Point spread (sigma)."""
    slice_mm: float = 1.0
    """Slice thickness; above 1 the head is averaged over it and interpolated back."""
    slice_axis: int = 2
    """Orientation of the slices: 0 sagittal, 1 coronal, 2 axial."""
    spin_echo: float = 0.0
    """Share of a spin echo's contrast, 0 to 1: grey matter nearly as bright as white, fat far brighter."""
    seed: int = 0
    """Seed of the random fields."""
    artefacts: Artefacts = field(default_factory=Artefacts)
    """Artefacts of the acquisition."""

    @classmethod
    def sample(cls, rng: np.random.Generator, *, artefacts: float = 0.0, spin_echo: float = 0.0) -> ScannerLook:
        """Draw a look between good research scans and poor clinical ones.

        Args:
            rng: the source of chance.
            artefacts: chance of each artefact.
            spin_echo: chance of a spin echo in slices of 3 to 6.5 mm.
        """
        quality = rng.random()
        look = cls(
            bias=float(rng.uniform(0, 0.35)),
            gamma=float(np.exp(rng.normal(0, 0.2))),
            noise=float(rng.uniform(0, 0.03) if quality < 0.6 else rng.uniform(0.03, 0.09)),
            blur_mm=float(rng.uniform(0, 0.5) if quality < 0.7 else rng.uniform(0.5, 1.0)),
            slice_mm=float(1.0 if rng.random() < 0.75 else rng.uniform(1.5, 5.0)),
            slice_axis=int(rng.integers(3)),
            seed=int(rng.integers(2**31)),
            artefacts=Artefacts.sample(rng, chance=artefacts) if artefacts else Artefacts(),
        )
        if not spin_echo or rng.random() >= spin_echo:
            return look
        axis = 2 if rng.random() < 0.7 else look.slice_axis
        return replace(look, spin_echo=float(rng.uniform(0.6, 1)), slice_mm=float(rng.uniform(3, 6.5)), slice_axis=axis)

    def at_field(self, tesla: float) -> ScannerLook:
        """Return the same acquisition at another field strength, taking this one as made at 1.5 T.

        Signal grows with the field, so noise falls; radio waves get shorter, so the bias field grows; T1 of grey and
        white matter come closer, so contrast falls. The exponents of the last two are round figures, not measurements.

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


def scan_each(images: Volumes, looks: Sequence[ScannerLook], *, white: Sequence[float]) -> Volumes:
    """Image every head of a batch with its own scanner, as `scan_with` does, on the batch's device.

    An item's result does not depend on the rest of the batch, except for rounding.

    Args:
        images: intensities, at least 0, at 1 mm.
        looks: the scanners.
        white: intensity of white matter in each.
    """
    shape, device = (images.shape[1], images.shape[2], images.shape[3]), images.device
    arrays = scan_numbers(looks, white=white, box=shape, shape=shape)
    numbers = ScanNumbers(*(put(part, device) for part in arrays))
    axes = tuple(axis for axis in range(3) if any(_spreads(look, axis) for look in looks))
    x = disturb_each(acquire(images, numbers, box=shape, axes=axes), looks)
    if any(look.noise for look in looks):
        grain = torch.stack([noise((2, *shape), seed=look.seed + 1, device=device) for look in looks])
        x = add_noise(x, numbers.level[:, 2], grain)
    return x


class ScanNumbers(NamedTuple, Generic[_Array]):
    """The numbers that `acquire` needs for a batch's looks: arrays, or tensors once they are on a device."""

    level: _Array
    """(b, 4): white matter, contrast, noise, share of a spin echo."""
    bias: _Array
    """(b,): amplitude."""
    nodes: _Array
    """(b, x, y, z): the bias fields' nodes."""
    start: _Array
    """(b, 3): the first voxel in the whole head."""
    blur: _Array
    """(b,): sigma of the point spread [voxels]."""
    slab: _Array
    """(b, 3): sigma of a slice along each axis [voxels]; 0 where it is thin."""
    slices: _Array
    """(b, 3): slices along each axis."""


def scan_numbers(
    looks: Sequence[ScannerLook], *, white: Sequence[float], box: Shape, shape: Shape, starts: Sequence[Shape] = ()
) -> ScanNumbers[np.ndarray]:
    """Return the numbers of scanners, for images (of `shape`) that begin at `starts` in heads (of `box`)."""
    thick = [[look.slice_mm if _thick(look, axis) else 0.0 for axis in range(3)] for look in looks]
    counts = [[max(2, round(n / mm)) if mm else n for n, mm in zip(shape, line, strict=True)] for line in thick]
    return ScanNumbers(
        level=np.array(
            [(unit, look.gamma, look.noise, look.spin_echo) for unit, look in zip(white, looks, strict=True)]
        ),
        bias=np.array([look.bias for look in looks]),
        nodes=np.stack([node_noise(box, cell_mm=_BIAS_MM, seed=look.seed)[0] for look in looks]),
        start=np.array(starts or [(0, 0, 0)] * len(looks)),
        blur=np.array([look.blur_mm for look in looks]),
        slab=np.array(thick) / _FWHM,
        slices=np.array(counts),
    )


def acquire(images: Volumes, numbers: ScanNumbers[Tensor], *, box: Shape, axes: Sequence[int] = (0, 1, 2)) -> Volumes:
    """Return images as scanners show them without artefacts and noise, by the same arithmetic for every look.

    Args:
        images: intensities, at least 0, at 1 mm.
        numbers: numbers of the looks.
        box: shape of the whole heads.
        axes: axes along which anything is blurred.
    """
    unit = numbers.level[:, 0, None, None, None]
    place = [
        numbers.start[:, axis, None] + torch.arange(n, device=images.device) for axis, n in enumerate(images.shape[1:])
    ]
    x = toned(images / unit, numbers) * torch.exp(log_bias(numbers, box, place))
    for axis in axes:
        x = along(x, axis, spreads(x.shape[axis + 1], numbers.blur, numbers.slab[:, axis], numbers.slices[:, axis]))
    return x


def toned(images: Volumes, numbers: ScanNumbers[Tensor]) -> Volumes:
    """Return images in the contrast of their scanners; white matter stays 1.

    Args:
        images: intensities with air 0 and white matter 1.
        numbers: numbers of the looks.
    """
    _, gamma, _, share = numbers.level.T[:, :, None, None, None]
    return as_spin_echo(images.clamp_min(0) ** gamma, share)


def as_spin_echo(images: Float[Tensor, "*any"], share: float | Tensor) -> Float[Tensor, "*any"]:
    """Return MPRAGE intensities as a spin echo with a short repetition time shows them.

    Args:
        images: intensities with air 0 and white matter 1, which stay as they are.
        share: 0 leaves the images as they are, 1 gives them a spin echo's contrast.
    """
    spin_echo = torch.zeros_like(images)
    for start, change in _BENDS:
        spin_echo = spin_echo + change * (images - start).clamp_min(0)
    return images + share * (spin_echo - images)


def disturb_each(images: Volumes, looks: Sequence[ScannerLook]) -> Volumes:
    """Apply the artefacts of its own look to every item of a batch; without any, the batch is returned as it is."""
    if all(look.artefacts == Artefacts() for look in looks):
        return images
    return torch.stack([disturb(item, look.artefacts) for item, look in zip(images, looks, strict=True)])


def add_noise(images: Volumes, strength: Float[Tensor, " b"], grain: Float[Tensor, "#b 2 i j k"]) -> Volumes:
    """Add Rician noise, from two standard normal fields for each image."""
    a, b = (strength[:, None, None, None, None] * grain).unbind(1)
    return torch.sqrt((images + a) ** 2 + b**2)


def log_bias(numbers: ScanNumbers[Tensor], box: Shape, places: Sequence[Float[Tensor, "b n"]]) -> Volumes:
    """Return the logarithm of each bias field of a head of `box`, at places along each axis [voxels]."""
    apart = [(size - 1) / (count - 1) for size, count in zip(box, numbers.nodes.shape[1:], strict=True)]
    return numbers.bias[:, None, None, None] * between_nodes(numbers.nodes, places, apart)


def _spreads(look: ScannerLook, axis: int) -> bool:
    return look.blur_mm > _NO_BLUR or _thick(look, axis)


def _thick(look: ScannerLook, axis: int) -> bool:
    return look.slice_mm > 1 and look.slice_axis == axis


def spreads(
    size: int, blur: Float[Tensor, " b"], slab: Float[Tensor, " b"], count: Float[Tensor, " b"]
) -> Float[Tensor, "b n n"]:
    """Return all blurring along one axis as one matrix for each item.

    It contains the point spread, averaging over a slice and interpolation between slices.
    """
    apart = size / count
    to_slices = _between(size, apart, torch.full_like(count, size))
    from_slices = _between(size, 1 / apart, count)
    return from_slices @ to_slices @ bands(size, slab) @ bands(size, blur)


def _between(size: int, apart: Float[Tensor, " b"], count: Float[Tensor, " b"]) -> Float[Tensor, "b n n"]:
    """Return linear interpolation of a line's first `count` samples at `size` places, `apart` samples apart."""
    number = torch.arange(size, device=apart.device)
    place = ((number + 0.5) * apart[:, None] - 0.5).clamp_min(0).minimum(count[:, None] - 1)
    return (1 - (place[..., None] - number).abs()).clamp_min(0)
