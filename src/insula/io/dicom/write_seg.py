"""Writes DICOM segmentations on the source's slices: lesions and lesion probabilities."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt16

from insula.errors import BadData, Unavailable
from insula.io.atomic import write_bytes
from insula.io.dicom.read import DicomScan
from insula.io.dicom.references import name_true_classes
from insula.io.dicom.slices import quiet
from insula.types import VERSION

if TYPE_CHECKING:
    from highdicom import PlanePositionSequence
    from highdicom.seg import Segmentation
    from pydicom import Dataset

__all__ = ["probability_seg", "lesion_seg", "save_dicom"]

_LABEL = "Stroke lesion"
_STEPS = 255  # levels of a fractional segmentation
_SERIES = 9000  # added to the source's series number, so that viewers list results next to their source
_MOST_LESIONS = 65_535


def lesion_seg(
    source: DicomScan, labels: UInt16[np.ndarray, "i j k"], *, weights: str, corrected: bool = False
) -> Segmentation:
    """Return a binary segmentation with one segment for each lesion.

    Args:
        source: the DICOM scan that was segmented.
        labels: labels on the scan's grid, 0 and 1 to n for the lesions. All 0 gives a valid object with one empty
            segment.
        weights: name of the weights, which becomes part of the algorithm's name.
        corrected: whether a person corrected the labels; the algorithm is then called semi-automatic.

    Raises:
        BadData: the labels are not on the scan's grid, or there are more lesions than an object can hold.
        Unavailable: highdicom is not installed.

    Source:
        DICOM PS3.3 A.51 and C.8.20; coded with SNOMED CT (55641003 infarct, 12738006 brain).
    """
    count = int(labels.max(initial=0))
    if count > _MOST_LESIONS:
        raise BadData("the mask", f"of {count:,} lesions", "has too many for a segmentation", "raise the threshold")
    return _segmentation(source, labels, "BINARY", max(count, 1), weights, corrected=corrected)


def probability_seg(source: DicomScan, prob: Float[np.ndarray, "i j k"], *, weights: str) -> Segmentation:
    """Return a fractional segmentation: the probability of lesion in each voxel, in 255 steps.

    Args:
        source: the DICOM scan that was segmented.
        prob: probabilities on the scan's grid, 0 to 1.
        weights: name of the weights, as in `lesion_seg`.

    Raises:
        BadData, Unavailable: as in `lesion_seg`.
    """
    return _segmentation(source, prob.astype(np.float32), "FRACTIONAL", 1, weights)


def save_dicom(path: Path, data: Dataset) -> None:
    """Write a DICOM object to a file, completely or not at all.

    Raises:
        CannotCreate, NoPermission, IOFault: as in `write_bytes`.
    """
    buffer = io.BytesIO()
    with quiet():
        data.save_as(buffer, enforce_file_format=True)
    write_bytes(path, buffer.getvalue())


def _segmentation(
    source: DicomScan, values: np.ndarray, kind: str, segments: int, weights: str, *, corrected: bool = False
) -> Segmentation:
    try:
        import highdicom as hd
        from pydicom.sr.codedict import codes
        from pydicom.uid import generate_uid
    except ImportError:
        raise Unavailable("DICOM SEG", "", "needs highdicom", "run: pip install 'insula[dicom]'") from None
    if values.shape != source.scan.grid.shape:
        rule = f"is not on the scan's grid of shape {source.scan.grid.shape}"
        raise BadData("the mask", f"of shape {values.shape}", rule, "give the mask of this scan")
    first = source.references[0]
    planes = values.transpose(2, 1, 0)  # frame, row, column
    if source.frames:  # highdicom expects the frames in the order of the source
        planes = planes[np.argsort(source.frames)]
    content = hashlib.sha256(
        np.ascontiguousarray(planes).tobytes()
    ).hexdigest()  # a different result gets a different UID
    pixels = source.scan.file.sha256 if source.scan.file else ""  # two patients' series may share a UID
    seeds = [str(first.SeriesInstanceUID), pixels, kind, weights, VERSION, content]
    algorithm = hd.AlgorithmIdentificationSequence(
        name=f"insula {weights}"[:64], family=codes.DCM.ArtificialIntelligence, version=VERSION
    )
    positions = _positions(source)
    with quiet():
        descriptions = [
            hd.seg.SegmentDescription(
                segment_number=number + 1,
                segment_label=_LABEL if segments == 1 else f"{_LABEL} {number + 1}",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=hd.sr.CodedConcept("55641003", "SCT", "Infarct"),
                algorithm_type="SEMIAUTOMATIC" if corrected else "AUTOMATIC",
                algorithm_identification=algorithm,
                anatomic_regions=[codes.SCT.Brain],
                tracking_uid=generate_uid(entropy_srcs=[*seeds, str(number)]),
                tracking_id=f"lesion {number + 1}",
            )
            for number in range(segments)
        ]
        segmentation = hd.seg.Segmentation(
            source_images=source.references,
            pixel_array=planes,
            segmentation_type=kind,
            segment_descriptions=descriptions,
            series_instance_uid=generate_uid(entropy_srcs=[*seeds, "series"]),
            sop_instance_uid=generate_uid(entropy_srcs=[*seeds, "instance"]),
            series_number=_SERIES + int(first.get("SeriesNumber") or 0) + (kind == "FRACTIONAL"),
            instance_number=1,
            manufacturer="insula",
            manufacturer_model_name="insula",
            software_versions=VERSION,
            device_serial_number="0",
            max_fractional_value=_STEPS,
            content_label="LESION" if kind == "BINARY" else "PROBABILITY",
            content_description="for research only; not a medical device",
            omit_empty_frames=bool(values.any()),
            plane_positions=positions,
        )
    if positions is not None:
        _name_frames(segmentation, positions, sorted(source.frames))
    name_true_classes(segmentation, source.headers, source.references)
    segmentation.SeriesDescription = "insula lesions" if kind == "BINARY" else "insula lesion probability"
    return segmentation


def _positions(source: DicomScan) -> list[PlanePositionSequence] | None:
    """Return the positions of the scan's frames, in their order, if the file has others too; None otherwise."""
    from highdicom import PlanePositionSequence

    first = source.references[0]
    if not source.frames or len(source.frames) == int(first.NumberOfFrames):
        return None
    groups = first.PerFrameFunctionalGroupsSequence
    places = (groups[frame].PlanePositionSequence[0].ImagePositionPatient for frame in sorted(source.frames))
    return [PlanePositionSequence("PATIENT", place) for place in places]


def _name_frames(segmentation: Segmentation, positions: list[PlanePositionSequence], frames: list[int]) -> None:
    """Refer each frame to that of its own volume: highdicom names all in the file that lie there."""
    places = np.array([position[0].ImagePositionPatient for position in positions], np.float64)
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        place = np.array(group.PlanePositionSequence[0].ImagePositionPatient, np.float64)
        frame = frames[int(np.abs(places - place).sum(axis=1).argmin())]
        for derivation in group.get("DerivationImageSequence", ()):
            del derivation.SourceImageSequence[1:]
            derivation.SourceImageSequence[0].ReferencedFrameNumber = frame + 1
