"""Recognises images of the same head, however they were saved."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from insula.geometry import Grid, ras_grid, ras_map, resample
from insula.prepare.head import find_head
from insula.volume import Scan

__all__ = ["ALIKE", "find_alike", "sign"]

ALIKE = 0.70
"""Correlation from which two signatures count as the same person.

Measured on 29 heads (2 mm, except two templates at 1 mm). Different people: at most 0.55 (402 pairs), 0.61 for the two
templates, 0.50 after affine registration to one space. Re-saved copies: at least 0.97 with 8 bits and another scale or
with 2 mm voxels, 0.96 mirrored, 0.90 moved by (4, -3, 5) mm, 0.89 with a bias field of 40 %, 0.89 and 0.76 with a gamma
of 0.7 and 1.4, 0.88 with 5 mm slices, 0.86 with voxels of 1.3 x 1.1 x 1.7 mm, 0.88 and 0.81 with noise of 5 and 15 % of
the range, 0.88 defaced, 0.82 without the skull; one of 402 such copies was missed (gamma 1.4, outside the shortlist).
Missed: a head rotated by 5 degrees (median 0.62) and many second visits (0.27 to 0.76; 0.87 to 0.93 once both are
registered to one space).
"""
_SHORTLIST = 0.50  # correlation of the spectra below which a pair is not examined further
_STEP_MM = 3.0
_SHAPE = (36, 44, 28)  # 108 x 132 x 84 mm: nearly all brain, so that removing the face or the skull changes little
_MARGIN = 6  # steps of context for the filters
_REACH = 5  # largest shift between two heads [steps]
_AIR = 0.1  # fraction of the intensity range
_LEVELS = 40.0  # 8-bit levels per standard deviation
_FINE, _COARSE = 0.7, 1.5  # widths of the band-pass filter [steps]
_BAND_MM = (0.01, 0.10)  # cycles per millimetre
_SHELLS = 150  # per cycle per millimetre
_PAD = tuple(fft.next_fast_len(n + 2 * _REACH) for n in _SHAPE)
_I, _J, _K = (np.sin(np.pi / 2 * (1 - np.abs(np.linspace(-1, 1, n)))) ** 2 for n in _SHAPE)
_WINDOW = (_I[:, None, None] * _J[:, None] * _K).astype(np.float32)


def sign(scan: Scan) -> bytes:
    """Reduce an image to a 44 kB signature of the folds of its brain, which survives re-saving.

    The image is resampled to a 3 mm box around the centre of the head. Intensities become ranks, so that monotone
    scaling does not matter; a band-pass removes the bias field and the shape that all heads share; local contrast is
    equalised.

    Args:
        scan: any orientation and voxel size.

    Raises:
        BadData: the scan shows no head.
    """
    grid = ras_grid(scan.grid)
    image = np.ascontiguousarray(ras_map(scan.grid).apply(scan.image))
    centre_mm = grid.centre_mm(find_head(image, grid.spacing_mm).centre)
    shape = tuple(n + 2 * _MARGIN for n in _SHAPE)
    affine = np.diag([_STEP_MM, _STEP_MM, _STEP_MM, 1.0])
    affine[:3, 3] = centre_mm - _STEP_MM * (np.array(shape) - 1) / 2
    small, source = _averaged(image, grid)
    box = resample(small, source, Grid(shape, affine), antialias=False, fill=float(np.percentile(small, 1)))
    middle = tuple(slice(_MARGIN, _MARGIN + n) for n in _SHAPE)
    low, high = np.percentile(box[middle], [1, 99])
    tissue = np.sort(box[middle][box[middle] > low + _AIR * (high - low)])
    rank = np.where(box > low + _AIR * (high - low), np.searchsorted(tissue, box) / max(1, len(tissue)), 0.0)
    band = ndimage.gaussian_filter(rank, _FINE) - ndimage.gaussian_filter(rank, _COARSE)
    spread = np.sqrt(ndimage.gaussian_filter(band * band, _COARSE))
    even = (band / np.maximum(spread + 0.2 * spread.max(), 1e-6))[middle]
    return np.clip(np.round(even * _LEVELS), -127, 127).astype(np.int8).tobytes()


def find_alike(signatures: Sequence[bytes]) -> list[tuple[int, int, float]]:
    """Find images that show the same head, including mirrored ones.

    The magnitudes of the spectra do not change with shifts; their products give a shortlist. Its pairs are aligned by a
    shift and correlated where they overlap.

    Args:
        signatures: from `sign`; an empty signature matches none.

    Returns:
        Pairs of indices, the lower one first, and their correlation, from `ALIKE` up.
    """
    known = [n for n, signature in enumerate(signatures) if signature]
    fields = [np.frombuffer(signatures[n], np.int8).reshape(_SHAPE) for n in known]
    if len(fields) < 2:
        return []
    spectra = np.stack([_spectrum(field) for field in fields])
    mirrored = np.stack([_spectrum(field[::-1]) for field in fields])
    near: dict[int, dict[int, tuple[bool, ...]]] = defaultdict(dict)
    close = np.stack([spectra @ other.T >= _SHORTLIST for other in (spectra, mirrored)])
    for a, b in np.argwhere(np.triu(close.any(0), 1)):
        near[int(a)][int(b)] = tuple(close[:, a, b])
    pairs = []
    for a, others in near.items():
        images = [fields[a].astype(np.float32), fields[a][::-1].astype(np.float32)]
        waves = [_waves(image) for image in images]
        for b, likely in others.items():
            other = fields[b].astype(np.float32)
            wave = _waves(other)
            best = max(_aligned(images[n], other, waves[n], wave) for n, worth in enumerate(likely) if worth)
            if best >= ALIKE:
                pairs.append((known[a], known[b], best))
    return pairs


def _averaged(image: NDArray[np.float32], grid: Grid) -> tuple[NDArray[np.float32], Grid]:
    """Average blocks of about 3 mm: much faster than a blur, and it reduces noise too."""
    n = [max(1, round(_STEP_MM / mm)) for mm in grid.spacing_mm]
    i, j, k = (max(1, size // count) for size, count in zip(image.shape, n, strict=True))
    cut = image[: i * n[0], : j * n[1], : k * n[2]]
    n = [min(count, size) for count, size in zip(n, cut.shape, strict=True)]
    small = cut.reshape(i, n[0], j, n[1], k, n[2]).mean((1, 3, 5), dtype=np.float32)
    affine = grid.affine.copy()
    affine[:3, 3] = grid.centre_mm([(count - 1) / 2 for count in n])
    affine[:3, :3] *= n
    return small, Grid((i, j, k), affine)


def _spectrum(field: NDArray[np.int8]) -> NDArray[np.float32]:
    """Return the magnitudes within the band, each relative to the mean at its wavelength, scaled to unit length."""
    i, j, k = (fft.fftfreq(n, _STEP_MM) for n in _SHAPE)
    k = np.abs(k[: _SHAPE[2] // 2 + 1])
    frequency = np.sqrt(i[:, None, None] ** 2 + j[:, None] ** 2 + k**2)
    band = (frequency > _BAND_MM[0]) & (frequency < _BAND_MM[1])
    values = np.sqrt(np.abs(fft.rfftn((field - field.mean()) * _WINDOW)))[band]
    shell = np.round(frequency[band] * _SHELLS).astype(int)
    mean = np.bincount(shell, values) / np.maximum(1, np.bincount(shell))
    relative = values / np.maximum(mean[shell], 1e-9) - 1
    relative -= relative.mean()
    return (relative / max(float(np.linalg.norm(relative)), 1e-9)).astype(np.float32)


def _waves(image: NDArray[np.float32]) -> NDArray[np.complex64]:
    return np.asarray(fft.rfftn((image - image.mean()) * _WINDOW, _PAD), np.complex64)


def _aligned(
    image: NDArray[np.float32],
    other: NDArray[np.float32],
    waves: NDArray[np.complex64],
    other_waves: NDArray[np.complex64],
) -> float:
    """Return the correlation of the overlap at the best shift."""
    match = fft.irfftn(waves * other_waves.conj(), _PAD)
    reach = np.r_[0 : _REACH + 1, -_REACH:0]
    near = match[np.ix_(reach, reach, reach)]
    shift = reach[np.array(np.unravel_index(near.argmax(), near.shape))]
    a = image[tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(shift, _SHAPE, strict=True))]
    b = other[tuple(slice(max(0, -s), n + min(0, -s)) for s, n in zip(shift, _SHAPE, strict=True))]
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-9))
