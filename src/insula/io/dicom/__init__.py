"""DICOM: a series in, a segmentation and a report out."""

from insula.io.dicom.choose import choose_series
from insula.io.dicom.file import starts_as_dicom
from insula.io.dicom.gather import check_archive, gather_files, has_dicom, is_archive, is_dicom, unpack
from insula.io.dicom.read import DicomScan, read_dicom, scan_name
from insula.io.dicom.slices import MOST_IMAGES, Slice, read_slices
from insula.io.dicom.stack import Stack, stack_slices
from insula.io.dicom.write_sc import secondary_capture
from insula.io.dicom.write_seg import lesion_seg, probability_seg, save_dicom
from insula.io.dicom.write_sr import measurement_sr

__all__ = [
    "MOST_IMAGES",
    "DicomScan",
    "Slice",
    "Stack",
    "check_archive",
    "choose_series",
    "gather_files",
    "has_dicom",
    "is_archive",
    "is_dicom",
    "lesion_seg",
    "measurement_sr",
    "probability_seg",
    "read_dicom",
    "read_slices",
    "save_dicom",
    "scan_name",
    "secondary_capture",
    "stack_slices",
    "starts_as_dicom",
    "unpack",
]
