"""Writes masks, labels, scans and probability maps as NIfTI on the scan's own grid."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Image
from numpy.typing import NDArray

from insula.geometry import Grid, laid_out
from insula.io.atomic import write_bytes
from insula.volume import FileFacts, Mask, Spaces

__all__ = ["write_labels", "write_mask", "write_prob", "write_scan"]


def write_mask(path: Path, mask: Mask, *, file: FileFacts | None = None) -> None:
    """Write a mask as uint8 `.nii.gz` with 0 and 1, atomically and with the same bytes every time.

    Args:
        path: output path, ending in `.nii.gz`.
        mask: the mask.
        file: facts about the scan's file, whose sform, qform, codes and units are copied unchanged.

    Raises:
        CannotCreate, NoPermission, IOFault: as in `write_bytes`.
    """
    _write(path, laid_out(mask.voxels, "F", np.uint8), mask.grid, file)


def write_labels(path: Path, labels: NDArray[np.uint16], grid: Grid, *, file: FileFacts | None = None) -> None:
    """Write a label map as uint16 `.nii.gz`, in the same way as `write_mask`."""
    _write(path, laid_out(labels, "F"), grid, file)


def write_scan(path: Path, image: NDArray[np.floating], grid: Grid) -> None:
    """Write rounded intensities as int16 `.nii.gz`, as `write_mask` does; for simulated scans, 0 to 32,767."""
    _write(path, laid_out(np.clip(np.round(image), -32768, 32767), "F", np.int16), grid, None)


def write_prob(
    path: Path,
    prob: NDArray[np.floating],
    grid: Grid,
    *,
    file: FileFacts | None = None,
    threshold: float | None = None,
) -> None:
    """Write a probability map as float32 `.nii.gz`, in the same way as `write_mask`.

    Values are rounded to multiples of 2^-16, far below their accuracy, which makes the file several times smaller.

    Args:
        path: output path, ending in `.nii.gz`.
        prob: (i, j, k).
        grid: of the map.
        file: as for `write_mask`.
        threshold: rounding takes no value across it, so that the file gives exactly the mask of the map.
    """
    steps = laid_out(prob, "F")
    inside = None if threshold is None else steps >= threshold
    steps *= 65536
    steps = np.round(steps, out=steps).astype(np.float32, copy=False)
    if threshold is not None and inside is not None:
        least = np.float32(np.ceil(np.float64(np.float32(threshold)) * 65536))
        np.copyto(steps, least, where=inside & (steps < least))
        np.copyto(steps, least - 1, where=~inside & (steps >= least))
    steps /= np.float32(65536)
    _write(path, steps, grid, file)


def _write(path: Path, voxels: NDArray[np.number], grid: Grid, file: FileFacts | None) -> None:
    spaces = file.spaces if file else None
    kind = Nifti2Image if max(grid.shape) > 32767 else Nifti1Image  # fewer programs can read version 2
    # nibabel would overwrite the header's forms with a given affine
    image = kind(voxels, None if spaces is not None else grid.affine)
    if spaces is not None:
        _copy_spaces(image.header, spaces)
    else:  # write both forms if the qform can hold the affine, because programs differ in which they use
        image.header.set_sform(grid.affine, code=1)
        image.header.set_qform(grid.affine, code=1 if _no_shear(grid) else 0, strip_shears=True)
        image.header.set_xyzt_units("mm")
    buffer = io.BytesIO()
    image.to_stream(buffer)
    write_bytes(path, gzip.compress(buffer.getbuffer(), compresslevel=3, mtime=0))


def _copy_spaces(header: Nifti1Header, spaces: Spaces) -> None:
    """Copy the scan's own forms, so that every program places the result exactly where it places the scan."""
    header["sform_code"], header["qform_code"] = spaces.sform_code, spaces.qform_code
    for row, values in zip("xyz", spaces.sform, strict=True):
        header[f"srow_{row}"] = values
    header["pixdim"][:4] = spaces.pixdim
    for letter, value in zip("bcd", spaces.quaternion, strict=True):
        header[f"quatern_{letter}"] = value
    for letter, value in zip("xyz", spaces.offset, strict=True):
        header[f"qoffset_{letter}"] = value
    header["xyzt_units"] = spaces.units


def _no_shear(grid: Grid) -> bool:
    axes = grid.affine[:3, :3] / grid.spacing_mm
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-4)
