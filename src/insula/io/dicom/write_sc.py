"""A picture of the result as a secondary capture, for viewers that show neither segmentations nor reports."""

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

_SERIES = 9002  # beside the segmentations' and the report's


def secondary_capture(found: DicomScan, picture: UInt8[np.ndarray, "rows columns 3"]) -> SCImage:
    """An RGB image of the source's patient and study; it holds no words of the patient's.

    Args:
        found: the series.
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
    first = found.references[0]
    pixels = found.scan.file.sha256 if found.scan.file else ""
    seeds = [str(first.SeriesInstanceUID), pixels, "capture", VERSION, hashlib.sha256(picture.tobytes()).hexdigest()]
    with quiet():
        made = hd.sc.SCImage.from_ref_dataset(
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
    made.ConversionType, made.BurnedInAnnotation = "WSD", "NO"
    made.BodyPartExamined = "BRAIN"
    made.PatientOrientation = []  # of three planes, none for all
    made.SeriesDescription = "insula picture, for research only"
    return made
