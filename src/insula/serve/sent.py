"""A corrected mask that a request sends: whether it may take the place of the present one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import Depends, Header

from insula.errors import BadData, NoInput
from insula.io.bytes import read_head
from insula.io.inflate import peel
from insula.io.nifti_header import HEADER_BYTES, parse_header
from insula.predict import ResultRecord
from insula.report import mask_sha256_of

__all__ = ["Before", "MaskChanged", "check_sent", "check_unchanged"]

_MOST_BEFORE_VOXELS = 16 << 20


class MaskChanged(BadData):
    """The present mask is no longer the one that was corrected."""


def _before(if_match: Annotated[str, Header()] = "") -> str | None:
    return if_match.strip().strip('"') or None


Before = Annotated[str | None, Depends(_before)]
"""SHA-256 of the mask that was edited, from the header If-Match; None if it does not matter."""


def check_sent(mask: Path, record: ResultRecord) -> None:
    """Check that a result can be corrected, and by a mask of this size, before a voxel is unpacked.

    A few bytes can unpack to gigabytes, so that only a mask with the scan's number of voxels may be read.

    Args:
        mask: a NIfTI file.
        record: of the result.

    Raises:
        NoInput: an earlier version wrote the result, without hashes of its files.
        BadData: the header is damaged, or its axes do not have the lengths of the scan's, in any order.
    """
    if not mask_sha256_of(record):
        rule = "has no hashes of its files, because an earlier version wrote it"
        raise NoInput("the record of", record["case"], rule, "segment the scan again")
    header = parse_header(peel(lambda count: read_head(mask, count), HEADER_BYTES)[0])
    shape = record["scan"]["shape"]
    if sorted(header.shape) != sorted(shape):
        rule = f"does not lie on the scan's grid ({_times(shape)} voxels)"
        raise BadData("the corrected mask", f"({_times(header.shape)} voxels)", rule, "write it on that grid")
    if header.offset > _MOST_BEFORE_VOXELS:
        rule = f"begins its voxels after more than {_MOST_BEFORE_VOXELS >> 20} MiB"
        raise BadData("the corrected mask", "", rule, "save it without extensions of the header")


def check_unchanged(record: ResultRecord, before: str | None) -> None:
    """Check that the mask that was edited is the present one.

    Args:
        record: of the present result.
        before: SHA-256 of the mask that was edited; None if it does not matter.

    Raises:
        MaskChanged: it is another.
    """
    if before not in (None, mask_sha256_of(record)):
        rule = "was changed since it was loaded"
        raise MaskChanged("the mask of this scan", "", rule, "load it again; your edited mask was not saved")


def _times(shape: tuple[int, ...] | list[int]) -> str:
    return "x".join(map(str, shape))
