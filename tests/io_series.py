"""Small DICOM series, made here: whole ones, and broken in every way that is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from insula.simulate import phantom_case
from insula.simulate.phantom import phantom_grid

STUDY = generate_uid(entropy_srcs=["study"])
CANARY = {
    "PatientName": "CANARYNAME^Bird",
    "PatientID": "CANARYMRN77",
    "PatientBirthDate": "19310203",
    "AccessionNumber": "CANARYACC",
}
SHAPE = (20, 24, 22)  # columns, rows, slices
SPACING = (1.5, 2.0, 3.0)  # along i, j, k
HEAD_MM = 4.0
ORIGIN = (-12.0, -31.0, 8.0)  # LPS


def sample(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> NDArray[np.uint16]:
    """Whole numbers, every one of them different enough to tell voxels apart."""
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


def header(number: int, **values: Any) -> Dataset:
    """One slice's header; `number` from 0 is its place along the normal."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = (
        MRImageStorage,
        generate_uid(entropy_srcs=[f"{values.get('SeriesNumber', 3)} {number}"]),
    )
    data.StudyInstanceUID, data.FrameOfReferenceUID = STUDY, generate_uid(entropy_srcs=["frame"])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[f"series {values.get('SeriesNumber', 3)}"])
    data.StudyDate, data.StudyTime, data.ContentDate, data.ContentTime = "20260102", "101112", "20260102", "101112"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName, data.Manufacturer = "1", "", "", "made here"
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = "A^B", "P1", "", "O"
    data.Modality, data.SeriesNumber, data.InstanceNumber = "MR", 3, number + 1
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    data.SeriesDescription, data.ProtocolName = "t1_mprage_sag", "mprage"
    data.ScanningSequence, data.SequenceVariant, data.ScanOptions, data.MRAcquisitionType = "GR", "SP", "", "3D"
    data.EchoTime, data.RepetitionTime, data.InversionTime = 2.9, 2300.0, 900.0
    data.SliceThickness, data.PixelSpacing = SPACING[2], [SPACING[1], SPACING[0]]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[2] * number]
    data.PatientPosition = "HFS"
    for key, value in values.items():
        setattr(data, key, value)
    return data


def with_pixels(data: Dataset, plane: NDArray[Any], syntax: UID = ExplicitVRLittleEndian) -> Dataset:
    """The header with a plane (i, j), or planes (i, j, frame), of whole numbers."""
    frames = plane[..., None] if plane.ndim == 2 else plane
    data.Rows, data.Columns = frames.shape[1], frames.shape[0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, data.get("PhotometricInterpretation") or "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = int(frames.dtype == np.int16)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data.PixelData = np.ascontiguousarray(frames.transpose(2, 1, 0)).astype(frames.dtype.newbyteorder(order)).tobytes()
    data["PixelData"].VR = "OW"
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = (
        data.SOPClassUID,
        data.SOPInstanceUID,
    )
    return data


def save(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    syntax = data.file_meta.TransferSyntaxUID
    data.save_as(
        path,
        enforce_file_format=True,
        little_endian=None if syntax.is_compressed else syntax.is_little_endian,
        implicit_vr=None if syntax.is_compressed else syntax.is_implicit_VR,
    )
    return path


def write_series(
    folder: Path,
    image: NDArray[Any] | None = None,
    *,
    syntax: UID = ExplicitVRLittleEndian,
    change: Callable[[Dataset, int], Dataset | None] | None = None,
    **values: Any,
) -> Path:
    """One file for each slice, named so that their order says nothing.

    Args:
        folder: made.
        image: (i, j, k).
        syntax: how they are stored.
        change: what to do to each slice; None leaves it out.
        values: of every header.
    """
    image = sample() if image is None else image
    for number in range(image.shape[2]):
        data = with_pixels(header(number, **values), image[:, :, number], syntax)
        changed = data if change is None else change(data, number)
        if changed is not None:
            save(changed, folder / f"IM{(number * 7919) % 10007:05d}")
    return folder


def write_head(folder: Path, **values: Any) -> Path:
    """The phantom's head at 4 mm, as axial slices."""
    case = phantom_case(phantom_grid(spacing_mm=(HEAD_MM,) * 3))
    image = np.round(case.scan.image / case.scan.image.max() * 3000).astype(np.uint16)

    def place(data: Dataset, number: int) -> Dataset:
        data.PixelSpacing, data.SliceThickness = [HEAD_MM, HEAD_MM], HEAD_MM
        data.ImagePositionPatient = [-90.0, -100.0, -60.0 + HEAD_MM * number]
        return data

    return write_series(folder, image[::-1, ::-1], change=place, **values)  # RAS -> LPS


def enhanced(
    image: NDArray[Any], path: Path, *, slopes: tuple[float, ...] | None = None, contrast: str = "", **values: Any
) -> Path:
    """Write all slices as the frames of one file, in shuffled order.

    Optionally, every frame has its own slope, and the frames are marked as taken with a contrast agent.
    """
    order = list(range(image.shape[2]))[::-1]
    data = header(0, **values)
    data.SOPClassUID = EnhancedMRImageStorage
    for key in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SliceThickness",
        "EchoTime",
        "RepetitionTime",
    ):
        delattr(data, key)
    data.NumberOfFrames = len(order)
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [Dataset()], [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence[0].PixelSpacing = [SPACING[1], SPACING[0]]
    shared.PixelMeasuresSequence[0].SliceThickness = SPACING[2]
    if contrast:
        shared.MRImageFrameTypeSequence = [Dataset()]
        shared.MRImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
        shared.MRImageFrameTypeSequence[0].ComplexImageComponent = "MAGNITUDE"
        shared.MRImageFrameTypeSequence[0].AcquisitionContrast = contrast
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for k in order:
        group = Dataset()
        group.PlanePositionSequence, group.PixelValueTransformationSequence = [Dataset()], [Dataset()]
        group.PlanePositionSequence[0].ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[2] * k]
        group.PixelValueTransformationSequence[0].RescaleSlope = slopes[k] if slopes else 1.0
        group.PixelValueTransformationSequence[0].RescaleIntercept = 0.0
        group.PixelValueTransformationSequence[0].RescaleType = "US"
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    return save(with_pixels(data, image[:, :, order]), path)
