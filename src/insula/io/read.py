"""From a NIfTI file to a Scan, or one line that says why not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData, NoInput, UsageError
from insula.geometry import Grid, laid_out
from insula.io.bytes import file_state, read_file, read_head
from insula.io.inflate import GZIP_MAGIC, inflate, inflate_head
from insula.io.nifti_header import HEADER_BYTES, Header, parse_header
from insula.io.padding import set_aside
from insula.types import Flag
from insula.volume import FileFacts, Mask, Scan

__all__ = ["bare_name", "read_labels", "read_mask", "read_scan", "read_values", "still_the_same"]

_PEEK = 1 << 16
_GREATEST_RATIO = 400
_SUSPECT_BYTES = 256 << 20


def read_scan(
    path: str | Path, *, frame: int | None = None, assume_orientation: str | None = None, name: str | None = None
) -> Scan:
    """Read a T1w scan from `.nii`, `.nii.gz` or an `.hdr`/`.img` pair.

    Everything that can be checked is: the gzip checksum, the exact length, every header field, the orientation.
    Nothing is guessed: what cannot be known is refused, what is mended is flagged.

    Args:
        path: the file.
        frame: which volume of a 4-D file, from 0.
        assume_orientation: e.g. `LPS`; only used where the file does not say.
        name: what the scan is called; the file's name without its ending if not given.

    Returns:
        The scan with its flags; voxels that were NaN or infinite hold the smallest finite value, padding the level
        of air.

    Raises:
        BadData: damaged, ambiguous, or without an image in it.
        NoInput: no such file.
        UsageError: several frames and none chosen, or a frame that is not there.
    """
    path = Path(path)
    header, stored, facts, flags = _open(path, assume_orientation)
    stored = _frame(stored, frame, flags)
    image = _values(stored, header)
    image = set_aside(_fill(image, flags), flags)
    low, high = float(image.min()), float(image.max())
    if low == high:
        what = "zero everywhere" if low == 0 else "the same everywhere"
        raise BadData("the image", f"with the value {low:g}", f"is {what}", "check how it was exported")
    return Scan(
        image, Grid(header.shape[:3], header.affine), name=name or bare_name(path), flags=tuple(flags), file=facts
    )


def read_labels(path: str | Path) -> tuple[NDArray[np.int32], Grid]:
    """Read a label map or a binary mask: whole numbers, rounded where the file holds 0.99999998.

    Raises:
        BadData: as `read_scan`, or values that are not whole.
    """
    header, stored, _, flags = _open(Path(path), None)
    values = _values(_frame(stored, None, flags), header)
    labels = np.round(values)
    if not np.isfinite(values).all() or np.abs(values - labels).max() > 1e-3:
        raise BadData("the label map", "", "holds values that are not whole numbers", "give labels, not probabilities")
    return labels.astype(np.int32), Grid(header.shape[:3], header.affine)


def read_values(path: str | Path) -> tuple[NDArray[np.float32], Grid]:
    """Read any 3-D volume as it is: no filling, no rounding, no check of what it holds.

    Raises:
        BadData: the file is damaged or ambiguous.
        NoInput: no such file.
    """
    header, stored, _, flags = _open(Path(path), None)
    return _values(_frame(stored, None, flags), header), Grid(header.shape[:3], header.affine)


def read_mask(path: str | Path) -> Mask:
    """Read a lesion mask: 0 and one other value; above half of that is lesion.

    Raises:
        BadData: as `read_labels`, or more than one label.
    """
    labels, grid = read_labels(path)
    low, high = labels.min(), labels.max()
    if low < 0 or not ((labels == low) | (labels == high)).all():  # without sorting the volume
        kinds = np.unique(labels)[:8].tolist()
        raise BadData("the mask", f"with labels {kinds}", "has more than one label", "make it binary first")
    return Mask(labels > 0, grid)


def still_the_same(path: Path, facts: FileFacts) -> bool:
    """Whether the file is what it was when it was read, by size and modification time."""
    return file_state(_pair(Path(path))[1]) == (facts.bytes, facts.modified_ns)


def _open(path: Path, assume: str | None) -> tuple[Header, NDArray[Any], FileFacts, list[Flag]]:
    header_path, image_path = _pair(path)
    header = _look(header_path, assume)
    flags = list(header.flags)
    if header.pair == (header_path == image_path):
        rule = (
            "needs an .hdr and an .img file side by side" if header.pair else "is one file, yet named as one of a pair"
        )
        raise BadData("the image", "", rule, "give both files, or rename it to .nii")
    size, _ = file_state(image_path)
    if header.nbytes > _SUSPECT_BYTES and header.nbytes > _GREATEST_RATIO * size:
        rule = f"would unpack to {header.nbytes:,}, over {_GREATEST_RATIO} times its size"
        raise BadData("the file", f"of {size:,} bytes", rule, "check where it comes from")
    file = read_file(image_path)
    packed = file.data[:2] == GZIP_MAGIC
    named = image_path.name.lower().endswith(".gz")
    if packed != named:
        flags.append(
            Flag(
                "name-misleads",
                f"The file is{'' if packed else ' not'} compressed, although its name says otherwise.",
                "note",
            )
        )
    whole = header.offset + header.nbytes
    data = inflate(file.data, whole) if packed else _exact(file.data, whole)
    stored = np.frombuffer(data, header.dtype, offset=header.offset).reshape(header.shape, order="F")
    sha256 = hashlib.sha256(read_file(header_path).data + file.data).hexdigest() if header.pair else file.sha256
    facts = FileFacts(
        sha256=sha256, bytes=len(file.data), modified_ns=file.modified_ns,
        spaces=header.spaces,
    )  # fmt: skip
    return header, stored, facts, flags


def _look(path: Path, assume: str | None) -> Header:
    head = read_head(path, _PEEK)
    plain = inflate_head(head, HEADER_BYTES) if head[:2] == GZIP_MAGIC else head
    return parse_header(plain, assume_orientation=assume)


def _exact(data: bytes, whole: int) -> bytes:
    if len(data) != whole:
        how = "shorter" if len(data) < whole else "longer"
        raise BadData(
            "the file",
            f"of {len(data):,} bytes",
            f"is {how} than the {whole:,} bytes its header announces",
            "copy or download it again",
        )
    return data


def _pair(path: Path) -> tuple[Path, Path]:
    """(header file, image file); the same one for .nii."""
    name = path.name
    for ending, header, image in ((".hdr", ".hdr", ".img"), (".img", ".hdr", ".img")):
        for packing in ("", ".gz"):
            if name.lower().endswith(ending + packing):
                stem = name[: -len(ending + packing)]
                files = path.with_name(stem + header + packing), path.with_name(stem + image + packing)
                for file in files:
                    if not file.exists():
                        raise NoInput(
                            "the other half of the pair",
                            file.name,
                            "does not exist",
                            "put the .hdr and the .img side by side",
                        )
                return files
    return path, path


def _frame(stored: NDArray[Any], frame: int | None, flags: list[Flag]) -> NDArray[Any]:
    if stored.ndim == 3:
        if frame not in (None, 0):
            raise UsageError("--frame", frame, "is not in a file of one frame", "leave it out")
        return stored
    count = stored.shape[3]
    if frame is None:
        raise UsageError(
            "the image", f"of {count} frames", "is not one volume", f"choose one with --frame 0 to {count - 1}"
        )
    if not 0 <= frame < count:
        raise UsageError("--frame", frame, f"is not in a file of {count} frames", f"choose 0 to {count - 1}")
    flags.append(Flag("frame-chosen", f"Frame {frame} of {count} was used.", "note"))
    return stored[..., frame]


def _values(stored: NDArray[Any], header: Header) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        image = laid_out(stored, "C", np.float32)
        if header.slope != 1.0:
            image *= np.float32(header.slope)
        if header.intercept != 0.0:
            image += np.float32(header.intercept)
    return image


def _fill(image: NDArray[np.float32], flags: list[Flag]) -> NDArray[np.float32]:
    finite = np.isfinite(image)
    if finite.all():
        return image
    if not finite.any():
        raise BadData("the image", f"of {image.size:,} voxels", "holds no finite value", "check how it was exported")
    nans, count = int(np.isnan(image).sum()), int(image.size - finite.sum())
    least = image[finite].min()
    flags.append(
        Flag(
            "voxels-filled",
            f"{nans:,} NaN and {count - nans:,} infinite voxels were filled with the darkest value, {least:g}.",
        )
    )
    return np.where(finite, image, least)


def bare_name(path: Path) -> str:
    """A file's name without the ending that says how it is stored; what is nothing but an ending stays."""
    name = path.name
    for ending in (".nii.gz", ".nii", ".hdr.gz", ".img.gz", ".hdr", ".img", ".gz"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name
