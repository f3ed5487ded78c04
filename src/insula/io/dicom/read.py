"""Reads a Scan from DICOM files, with the headers needed to write DICOM objects that refer to them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData, InsulaError, TooLarge
from insula.io.bytes import read_file, read_head
from insula.io.dicom.choose import choose_series
from insula.io.dicom.file import parse, read_content, spare_bytes, starts_as_dicom
from insula.io.dicom.gather import gather_files, is_archive, unpack
from insula.io.dicom.references import conforming
from insula.io.dicom.scaling import doubt_scaling
from insula.io.dicom.slices import MOST_IMAGES, OutsideReference, Slice, quiet, read_slices, slices_of
from insula.io.dicom.stack import Stack, stack_slices
from insula.io.inflate import peel
from insula.io.nifti_header import HEADER_BYTES, starts_as_nifti
from insula.io.padding import set_aside
from insula.types import Flag
from insula.volume import FileFacts, Scan

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["DicomScan", "read_dicom", "scan_name"]

_CHANNELS = {"MONOCHROME1": -1.0, "MONOCHROME2": 1.0}
_AGAIN = "export or send the series again"
_MOST_BYTES = 4 << 30  # of one file's decoded frames; a volume may have half of it


@dataclass(frozen=True, eq=False)
class DicomScan:
    """A scan and the DICOM images it was read from."""

    scan: Scan
    """The image; its name is derived from the series' UID and does not identify the patient."""
    headers: tuple[Dataset, ...]
    """The header of each file, without pixels, in the order of k (a single header for a multi-frame image); results
    refer to these."""
    frames: tuple[int, ...] = ()
    """The frame number, from 0, of each k in a multi-frame image; empty for single-frame files."""
    contents: Mapping[Path, str] = field(default_factory=dict)
    """SHA-256 of each file when it was read; empty for files from an archive, which are deleted after reading."""

    def still_the_same(self) -> bool:
        """Whether every file still has the content it had when it was read."""
        return all(read_file(path).sha256 == sha256 for path, sha256 in self.contents.items())

    @cached_property
    def references(self) -> list[Dataset]:
        """The headers in a standard-conforming form that derived DICOM objects can copy from."""
        return conforming(self.headers, name=self.scan.name, step_mm=self.scan.grid.spacing_mm[2])


def read_dicom(paths: Path | Sequence[Path], *, series: int | None = None) -> DicomScan:
    """Read the T1w series from a folder, a list of files, or a zip or tar.

    The volume must come from one series and one patient, with one orientation, one pixel spacing and even steps. Files
    that are not images are skipped and counted. Pixels are read for the chosen series only.

    Args:
        paths: a folder, a zip or tar, or files; files may lack the preamble and may be compressed by gzip, bzip2 or xz.
        series: SeriesNumber of the series to take; chosen by rule if not given (`choose_series`).

    Returns:
        The scan on the grid of its slices, with flags: i along rows, j along columns, k from slice to slice.

    Raises:
        BadData: damaged, ambiguous, not MR, from several patients, or compressed by an unsupported method.
        TooLarge: a file or an archive would decompress to too many bytes, or there are more than 200,000 images.
        NoInput: the path does not exist or is empty.
        Unavailable: pydicom is not installed.
        UsageError: no series has that number.
    """
    paths = [paths] if isinstance(paths, Path) else list(paths)
    if len(paths) == 1 and is_archive(paths[0]):
        with tempfile.TemporaryDirectory(prefix="insula-") as folder:
            unpack(paths[0], Path(folder))
            files = gather_files([Path(folder)])
            if not any(map(starts_as_dicom, files)) and any(map(_starts_as_nifti, files)):
                rule = "holds NIfTI and no DICOM, and only DICOM is read from a zip or a tar"
                raise BadData("the archive", "", rule, "unpack it, and give the NIfTI files")
            return replace(_read(files, series), contents={})
    return _read(gather_files(paths), series)


def scan_name(path: Path, *, series: int | None = None) -> str | None:
    """Return the name that `read_dicom` gives the scan of an input, from what can be read of its headers.

    Args:
        path: a folder, a file, a zip or a tar.
        series: SeriesNumber of the series to take; chosen by rule if not given.

    Returns:
        The name; None if the headers do not tell which series it is.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="insula-") as folder:
            if packed := is_archive(path):
                unpack(path, Path(folder))
            slices: list[Slice] = []
            for file in gather_files([Path(folder) if packed else path]):
                with suppress(BadData):
                    slices += read_slices(file, most=MOST_IMAGES - len(slices))
            return _name_of(choose_series(slices, number=series).slices[0])
    except InsulaError:
        return None


def _name_of(slice_: Slice) -> str:
    return "dicom-" + hashlib.sha256(slice_.series.encode()).hexdigest()[:12]


def _starts_as_nifti(path: Path) -> bool:
    try:
        return starts_as_nifti(peel(lambda count: read_head(path, count), HEADER_BYTES)[0])
    except InsulaError:
        return False


def _read(files: Sequence[Path], number: int | None) -> DicomScan:
    slices: list[Slice] = []
    broken, others = 0, 0
    for path in files:
        try:
            images = read_slices(path, most=MOST_IMAGES - len(slices))
        except (TooLarge, OutsideReference):
            raise
        except BadData:
            broken += 1
            continue
        others += not images
        slices += images
    if broken:
        rule = "cannot be read, so slices may be missing"
        raise BadData("the DICOM files:", f"{broken} of {len(files)}", rule, _AGAIN)
    if not slices:
        raise BadData("the files", f"({len(files)} of them)", "are not DICOM images", "name the folder with the series")
    choice = choose_series(slices, number=number)
    if any(slice_.frame is not None for slice_ in choice.slices) and len({slice_.path for slice_ in choice.slices}) > 1:
        raise BadData("the series", "", "consists of several multi-frame files", "give one volume")
    stack = stack_slices(choice.slices)
    flags = [*choice.flags, *stack.flags]
    if others:
        plural, verb = ("s", "were") if others > 1 else ("", "was")
        text = f"{others} file{plural} without a DICOM image {verb} skipped."
        flags.append(Flag("files-skipped", text, "note"))
    contents: dict[Path, str] = {}
    image, padding, headers, facts, pixel_flags = _decode(stack, contents)
    flags += pixel_flags
    image = set_aside(image, flags, declared=padding)
    if float(image.min()) == float(image.max()):
        raise BadData(
            "the image", f"with the value {image.min():g}", "is the same everywhere", "check how it was exported"
        )
    frames = tuple(slice_.frame for slice_ in stack.slices if slice_.frame is not None)
    scan = Scan(image, stack.grid, name=_name_of(choice.slices[0]), flags=tuple(flags), file=facts)
    return DicomScan(scan, headers, frames, contents)


def _decode(
    stack: Stack, contents: dict[Path, str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], tuple[Dataset, ...], FileFacts, list[Flag]]:
    """Decode every slice: image, padding mask, headers, file facts and flags; `contents` receives the files' hashes.

    A multi-frame file is read only once.
    """
    image, padding = np.empty(stack.grid.shape, np.float32), np.zeros(stack.grid.shape, bool)
    headers: list[Dataset] = []
    scales = [(1.0, 0.0)] * len(stack.slices)
    digest, size, modified, inverted, followed = hashlib.sha256(), 0, 0, False, 0
    places: dict[Path, list[tuple[int, Slice]]] = {}
    for k, slice_ in enumerate(stack.slices):
        places.setdefault(slice_.path, []).append((k, slice_))
    for path, group in places.items():
        file = read_content(path)
        digest.update(file.data)
        size, modified = size + len(file.data), max(modified, file.modified_ns)
        pixels = _pixels(file.data)
        with quiet():
            reread = slices_of(path, pixels.header)
        # the pixels must belong to the header that was checked
        if any(reread[slice_.frame or 0] != slice_ for _, slice_ in group):
            raise BadData("the series", "", "changed while it was read", "wait until it is complete and run again")
        contents[path] = file.sha256
        inverted |= pixels.sign < 0
        followed += pixels.followed
        for k, slice_ in group:
            image[:, :, k] = pixels.sign * pixels.frames[slice_.frame or 0].T
            scales[k] = pixels.scales[slice_.frame or 0]
            if pixels.padded is not None:
                padding[:, :, k] = pixels.padded[slice_.frame or 0].T
        headers.append(pixels.header)
    if not np.isfinite(image).all():
        raise BadData("the image", "", "holds values that are not finite", _AGAIN)
    facts = FileFacts(sha256=digest.hexdigest(), bytes=size, modified_ns=modified)
    flags = doubt_scaling(-image if inverted else image, scales)
    if inverted:
        flags.append(Flag("monochrome1", "Stored values run from bright to dark; they were inverted.", "note"))
    if followed:
        text = f"{followed} of the {len(places)} files have zeros after their pixels: the pixels may be displaced."
        flags.append(Flag("pixels-followed", text))
    return image, padding, tuple(headers), facts, flags


class _Pixels(NamedTuple):
    """The decoded pixels of a file."""

    header: Dataset
    """The header, without pixels."""
    frames: NDArray[np.float32]
    """Rescaled values: frame, row, column."""
    padded: NDArray[np.bool_] | None
    scales: list[tuple[float, float]]
    """The slope and intercept of each frame."""
    sign: float
    """-1 if values run from bright to dark, else 1."""
    followed: bool
    """Whether unexplained zeros follow the pixels."""


def _pixels(file: bytes) -> _Pixels:
    with quiet():
        try:
            data = parse(file)
            spare = spare_bytes(data, file)
            if spare.strip(b"\0"):
                rule = (
                    f"has {len(spare):,} bytes after its pixels: they are displaced, or the header gives a wrong size"
                )
                raise BadData("a DICOM image", "", rule, _AGAIN)
            codec = data.file_meta.TransferSyntaxUID
            sign = _CHANNELS.get(str(data.get("PhotometricInterpretation", "")))
            if sign is None or int(data.get("SamplesPerPixel") or 1) != 1:
                raise BadData("the images", "", "are in colour", "give the scanner's own images")
            size = 4 * int(data.Rows) * int(data.Columns) * int(data.get("NumberOfFrames") or 1)
            if size > _MOST_BYTES:
                rule = f"would be {size / 2**30:.1f} GiB, over the limit of {_MOST_BYTES >> 30} GiB"
                raise TooLarge("a DICOM file", "", rule, "give a file with one volume")
            stored = _stored(data, codec.name)
            stored = stored.reshape((-1, *stored.shape[-2:]))
            padded = _padding(data, stored)
            values = stored.astype(np.float32)
            scales = [_rescale(data, number) for number in range(len(values))]
            for frame, (slope, intercept) in zip(values, scales, strict=True):
                frame *= slope
                frame += intercept
        except InsulaError:
            raise
        except Exception:  # pydicom raises errors of any class for a broken file
            raise BadData("a DICOM image", "", "is cut off or damaged in its pixels", _AGAIN) from None
        for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"):
            if keyword in data:
                del data[keyword]
    return _Pixels(data, values, padded, scales, sign, bool(spare))


def _padding(data: Dataset, stored: NDArray[np.number]) -> NDArray[np.bool_] | None:
    """Return the pixels that the header declares as padding; None if it declares none or no valid value."""
    value = data.get("PixelPaddingValue")
    limit = data.get("PixelPaddingRangeLimit", value)
    if not isinstance(value, int) or not isinstance(limit, int):
        return None
    return (stored >= min(value, limit)) & (stored <= max(value, limit))


def _stored(data: Dataset, codec: str) -> NDArray[np.number]:
    try:
        return data.pixel_array
    except RuntimeError:  # pydicom raises it if no decoder is installed, or if one fails
        rule = f"are compressed as {codec}, which cannot be decoded here, or are damaged"
        raise BadData(
            "the images",
            "",
            rule,
            "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or export them uncompressed",
        ) from None


def _rescale(data: Dataset, frame: int) -> tuple[float, float]:
    """Return the slope and intercept of a frame, or those of the file if the frame has none of its own."""
    groups: list[Dataset] = []
    if "PerFrameFunctionalGroupsSequence" in data:
        groups = [data.PerFrameFunctionalGroupsSequence[frame], *(data.get("SharedFunctionalGroupsSequence") or [])]
    for group in groups:
        if items := group.get("PixelValueTransformationSequence"):
            return float(items[0].RescaleSlope), float(items[0].RescaleIntercept)
    return float(data.get("RescaleSlope") or 1), float(data.get("RescaleIntercept") or 0)
