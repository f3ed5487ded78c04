"""Writes a picture of the result as a secondary capture, for viewers without segmentations or reports."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from insula.errors import Unavailable
from insula.io.dicom.read import DicomScan
from insula.io.dicom.slices import quiet
from insula.types import VERSION

if TYPE_CHECKING:
    from highdicom.sc import SCImage

__all__ = ["secondary_capture"]

_SERIES = 9002  # next to the series of the segmentations and the report


def secondary_capture(source: DicomScan, picture: UInt8[np.ndarray, "rows columns 3"]) -> SCImage:
    """Return an RGB image in the source's study; no patient data is drawn into the pixels.

    Args:
        source: the DICOM scan that was segmented.
        picture: red, green, blue.

    Raises:
        Unavailable: highdicom is not installed.

    Source:
        DICOM PS3.3 A.8.1 and C.8.6.
    """
    try:
        import highdicom as hd
        from pydicom.uid import generate_uid
    except ImportError:
        raise Unavailable(
            "DICOM secondary capture", "", "needs highdicom", "run: pip install 'insula[dicom]'"
        ) from None
    first = source.references[0]
    pixels = source.scan.file.sha256 if source.scan.file else ""
    seeds = [str(first.SeriesInstanceUID), pixels, "capture", VERSION, hashlib.sha256(picture.tobytes()).hexdigest()]
    with quiet():
        capture = hd.sc.SCImage.from_ref_dataset(
            ref_dataset=first,
            pixel_array=np.ascontiguousarray(picture),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            series_instance_uid=generate_uid(entropy_srcs=[*seeds, "series"]),
            sop_instance_uid=generate_uid(entropy_srcs=[*seeds, "instance"]),
            manufacturer="insula",
            series_number=_SERIES + int(first.get("SeriesNumber") or 0),
            instance_number=1,
            patient_orientation=("L", "F"),
        )
    capture.ConversionType, capture.BurnedInAnnotation = "WSD", "NO"
    capture.BodyPartExamined = "BRAIN"
    capture.PatientOrientation = []  # the picture shows three planes, so no orientation applies to all
    capture.SeriesDescription = "insula picture, for research only"
    return capture
