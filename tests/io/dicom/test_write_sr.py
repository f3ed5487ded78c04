"""A report holds the volumes that were measured, each tied to its segment."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from insula.io.dicom import DicomScan, lesion_seg, measurement_sr, read_dicom, save_dicom
from io_series import SHAPE, write_series


@pytest.fixture
def found(tmp_path: Path) -> DicomScan:
    return read_dicom(write_series(tmp_path / "in"))


def _volumes(group: hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations) -> list[tuple[float, str]]:
    return [(one.value, one.unit.value) for one in group.get_measurements()]


def test_each_lesion_has_its_volume_and_its_segment(found: DicomScan, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels[2:6, 3:9, 4:7], labels[12:15, 20:22, 15] = 1, 2
    seg = lesion_seg(found, labels, weights="tiny")
    volumes = [float((labels == n).sum()) * found.scan.grid.voxel_ml for n in (1, 2)]
    save_dicom(tmp_path / "sr.dcm", measurement_sr(found, seg, volumes))
    report = hd.sr.srread(tmp_path / "sr.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [_volumes(group) for group in groups] == [[(pytest.approx(v), "mL")] for v in volumes]
    for number, group in enumerate(groups, 1):
        told = group.referenced_segment
        assert told.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert told.referenced_segment_numbers[0] == number
        assert group.tracking_uid == seg.SegmentSequence[number - 1].TrackingUID
    (total,) = report.content.get_image_measurement_groups()
    assert _volumes(total) == [(pytest.approx(sum(volumes)), "mL")]


def test_nothing_found_is_reported_as_nothing(found: DicomScan, tmp_path: Path) -> None:
    seg = lesion_seg(found, np.zeros(SHAPE, np.uint16), weights="tiny")
    save_dicom(tmp_path / "sr.dcm", measurement_sr(found, seg, []))
    report = hd.sr.srread(tmp_path / "sr.dcm")
    assert report.content.get_volumetric_roi_measurement_groups() == []
    (total,) = report.content.get_image_measurement_groups()
    assert _volumes(total) == [(0.0, "mL")]


def test_it_belongs_to_the_study_and_names_what_it_rests_on(found: DicomScan, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels[5, 5, 5] = 1
    seg = lesion_seg(found, labels, weights="tiny")
    save_dicom(tmp_path / "sr.dcm", measurement_sr(found, seg, [0.009]))
    data = dcmread(tmp_path / "sr.dcm")
    assert data.StudyInstanceUID == found.headers[0].StudyInstanceUID
    assert data.VerificationFlag == "UNVERIFIED"
    evidence = {
        instance.ReferencedSOPInstanceUID
        for key in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in data.get(key, [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert seg.SOPInstanceUID in evidence
    assert found.headers[0].SOPInstanceUID in evidence
