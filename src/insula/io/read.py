"""Reads a Scan from a NIfTI file, or raises an error with the reason in one line."""

from __future__ import annotations

import hashlib
import unicodedata
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insula.errors import BadData, NoInput, UsageError
from insula.geometry import Grid, laid_out
from insula.io.bytes import FileBytes, file_state, read_file, read_head
from insula.io.inflate import check_announced, inflate, inflate_at_most, peel
from insula.io.intensities import sound_image
from insula.io.nifti_header import HEADER_BYTES, Header, parse_header
from insula.types import Flag
from insula.volume import FileFacts, Scan

__all__ = [
    "bare_name",
    "folded",
    "plain_name",
    "printable",
    "read_facts",
    "read_labels",
    "read_scan",
    "read_values",
    "still_the_same",
]

_PACKINGS = {"gzip": ".gz", "bzip2": ".bz2", "xz": ".xz"}
_ENDINGS = (".nii", ".hdr", ".img")
_SIDE_BY_SIDE = "put the .hdr and the .img side by side"


def read_scan(
    path: str | Path, *, frame: int | None = None, assume_orientation: str | None = None, name: str | None = None
) -> Scan:
    """Read a T1w scan from `.nii` or an `.hdr`/`.img` pair, plain or compressed by gzip, bzip2 or xz.

    Checksums of compressed data, the exact length, every header field and the orientation are checked. Nothing is
    guessed: ambiguous files are refused, and repairs are flagged.

    Args:
        path: the file.
        frame: index of the volume in a 4-D file, from 0.
        assume_orientation: e.g. `LPS`; used only if the file defines no orientation.
        name: name of the scan; the file's name without its ending if not given.

    Returns:
        The scan with its flags. NaN and infinite voxels hold the smallest finite value, padding the level of air.

    Raises:
        BadData: the file is damaged or ambiguous, or its image is constant.
        NoInput: the file does not exist.
        UsageError: several frames and none chosen, or a frame that does not exist.
    """
    path = Path(path)
    header, stored, facts, flags = _open(path, assume_orientation)
    if stored.ndim == 4:
        facts = replace(facts, frame=frame)
    stored = _frame(stored, frame, flags)
    image = sound_image(_values(stored, header), flags)
    return Scan(
        image,
        Grid(header.shape[:3], header.affine),
        name=name or plain_name(bare_name(path)),
        flags=tuple(flags),
        file=facts,
    )


def read_labels(path: str | Path) -> tuple[NDArray[np.int32], Grid]:
    """Read a label map or a binary mask of whole numbers; values such as 0.99999998 are rounded.

    Raises:
        BadData: as in `read_scan`, or values are not whole numbers.
    """
    header, stored, _, flags = _open(Path(path), None)
    values = _values(_frame(stored, None, flags), header)
    labels = np.round(values)
    if not np.isfinite(values).all() or np.abs(values - labels).max() > 1e-3:
        raise BadData("the label map", "", "holds values that are not whole numbers", "give labels, not probabilities")
    return labels.astype(np.int32), Grid(header.shape[:3], header.affine)


def read_values(path: str | Path) -> tuple[NDArray[np.float32], Grid]:
    """Read any 3-D volume unchanged, without filling, rounding or checks of its values.

    Raises:
        BadData: the file is damaged or ambiguous.
        NoInput: the file does not exist.
    """
    header, stored, _, flags = _open(Path(path), None)
    return _values(_frame(stored, None, flags), header), Grid(header.shape[:3], header.affine)


def read_facts(path: str | Path) -> FileFacts:
    """Return the facts about an image file, with the forms of its header, after the checks of `read_values`.

    Raises:
        BadData: the file is damaged or ambiguous.
        NoInput: the file does not exist.
    """
    return _open(Path(path), None)[2]


def still_the_same(path: Path, facts: FileFacts) -> bool:
    """Whether a file (both files of a pair) still has the content it had when it was read.

    The content is compared, because modification times can be unreliable.
    """
    header, image = _pair(Path(path))
    if file_state(image)[0] != facts.bytes:
        return False
    file = read_file(image)
    return facts.sha256 == (file.sha256 if header == image else _of_both(read_file(header), file))


def _of_both(header: FileBytes, image: FileBytes) -> str:
    return hashlib.sha256(header.data + image.data).hexdigest()


def _open(path: Path, assume: str | None) -> tuple[Header, NDArray[np.number], FileFacts, list[Flag]]:
    header_path, image_path = _pair(path)
    plain, kinds = peel(lambda count: read_head(header_path, count), HEADER_BYTES)
    header = parse_header(plain, assume_orientation=assume)
    flags = list(header.flags)
    if header.pair == (header_path == image_path):
        rule = (
            "needs an .hdr and an .img file side by side"
            if header.pair
            else "is a single file but named as part of a pair"
        )
        raise BadData("the image", "", rule, "give both files, or rename it to .nii")
    size, _ = file_state(image_path)
    check_announced(header.nbytes, size)
    file = read_file(image_path)
    head = read_file(header_path) if header.pair else file
    # the voxels must belong to the header that was checked
    if peel(lambda count: head.data[:count], HEADER_BYTES)[0] != plain:
        raise BadData("the file", "", "changed while it was read", "wait until it is complete and run again")
    whole = header.offset + header.nbytes
    if header.pair:  # the voxel data may start with any bytes
        kinds = () if len(file.data) == whole else peel(lambda count: file.data[:count], 4)[1]
    flags += _packing_flags(image_path, kinds)
    data = file.data
    for _ in kinds[:-1]:  # compressed data is hardly longer than its content
        data = inflate_at_most(data, whole + whole // 50 + (1 << 16))
    data = inflate(data, whole) if kinds else _exact(data, whole)
    stored = np.frombuffer(data, header.dtype, offset=header.offset).reshape(header.shape, order="F")
    sha256 = _of_both(head, file) if header.pair else file.sha256
    facts = FileFacts(
        sha256=sha256,
        bytes=len(file.data),
        modified_ns=file.modified_ns,
        spaces=header.spaces,
    )
    return header, stored, facts, flags


def _packing_flags(path: Path, kinds: tuple[str, ...]) -> list[Flag]:
    flags = []
    named = next((kind for kind, ending in _PACKINGS.items() if path.name.lower().endswith(ending)), None)
    if named != (kinds[0] if kinds else None):
        how = f"compressed by {kinds[0]}" if kinds else "not compressed"
        flags.append(Flag("name-misleads", f"The file is {how}, although its name says otherwise.", "note"))
    if len(kinds) > 1:
        flags.append(Flag("packed-twice", f"The file is compressed twice ({' in '.join(reversed(kinds))}).", "note"))
    return flags


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
    """Return (header file, image file), identical for .nii; their endings may differ in case or compression."""
    stem, ending, packing = _split(path.name)
    if ending not in (".hdr", ".img"):
        return path, path
    if not path.exists():
        raise NoInput("one half of the pair", path.name, "does not exist", _SIDE_BY_SIDE)
    other = ".img" if ending == ".hdr" else ".hdr"
    wanted = [stem + other + more for more in dict.fromkeys((packing, "", *_PACKINGS.values()))]
    for name in wanted:
        if (exact := path.with_name(name)).exists():
            return _in_order(path, exact, other)
    with suppress(OSError):
        for name in wanted:
            matches = [file for file in path.parent.iterdir() if file.name.casefold() == name.casefold()]
            # A.HDR and a.hdr may be in the same folder
            matches = [file for file in matches if file.name.startswith(stem)] or matches
            if len(matches) > 1:
                rule = f"exists {len(matches)} times, in upper and lower case"
                raise BadData("the other half of the pair", name, rule, "keep the file that belongs to it")
            if matches:
                return _in_order(path, matches[0], other)
    raise NoInput("the other half of the pair", wanted[0], "does not exist", _SIDE_BY_SIDE)


def _in_order(path: Path, other: Path, ending: str) -> tuple[Path, Path]:
    return (path, other) if ending == ".img" else (other, path)


def _split(name: str) -> tuple[str, str, str]:
    """Return (stem, ending of the format, ending of the compression), the last two in lower case."""
    low = name.lower()
    packing = next((packing for packing in _PACKINGS.values() if low.endswith(packing)), "")
    rest = low.removesuffix(packing)
    ending = next((ending for ending in _ENDINGS if rest.endswith(ending)), "")
    return name[: len(rest) - len(ending)], ending, packing


def _frame(stored: NDArray[np.number], frame: int | None, flags: list[Flag]) -> NDArray[np.number]:
    if stored.ndim == 3:
        if frame not in (None, 0):
            raise UsageError("`frame`", frame, "does not exist in a file of one frame", "leave it out")
        return stored
    count = stored.shape[3]
    if frame is None:
        raise UsageError(
            "the image", f"of {count} frames", "is not one volume", f"choose one with `frame=0` to {count - 1}"
        )
    if not 0 <= frame < count:
        raise UsageError("`frame`", frame, f"does not exist in a file of {count} frames", f"choose 0 to {count - 1}")
    flags.append(Flag("frame-chosen", f"Frame {frame} of {count} was used.", "note"))
    return stored[..., frame]


def _values(stored: NDArray[np.number], header: Header) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        image = laid_out(stored, "C", np.float32)
        if header.slope != 1.0:
            image *= np.float32(header.slope)
        if header.intercept != 0.0:
            image += np.float32(header.intercept)
    return image


def bare_name(path: Path) -> str:
    """Return a file's name without the ending of its format; a name that is only an ending is kept."""
    return _split(path.name)[0] or path.name


def plain_name(name: str) -> str:
    """Return a name that every Unicode encoding can hold: bytes that are not UTF-8 become `_`."""
    return "".join("_" if "\ud800" <= letter <= "\udfff" else letter for letter in name)


def printable(name: str) -> str:
    """Return a name as a single line: characters that cannot be displayed or move the cursor become `?`."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


def folded(name: str) -> str:
    """Return a form of a name that is equal for names that a file system may confuse (case, composed accents)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
