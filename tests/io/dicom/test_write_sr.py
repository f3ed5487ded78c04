"""A report holds the volumes that were measured, each tied to its segment."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from insula.errors import Unavailable
from insula.io.dicom import DicomScan, lesion_seg, measurement_sr, read_dicom, save_dicom, secondary_capture
from insula.types import Flag
from io_series import SHAPE, write_series


@pytest.fixture
def source(tmp_path: Path) -> DicomScan:
    return read_dicom(write_series(tmp_path / "in"))


def _volumes(group: hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations) -> list[tuple[float, str]]:
    return [(measurement.value, measurement.unit.value) for measurement in group.get_measurements()]


def test_each_lesion_has_its_volume_and_its_segment(source: DicomScan, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels[2:6, 3:9, 4:7], labels[12:15, 20:22, 15] = 1, 2
    seg = lesion_seg(source, labels, weights="tiny")
    volumes = [float((labels == n).sum()) * source.scan.grid.voxel_ml for n in (1, 2)]
    save_dicom(tmp_path / "sr.dcm", measurement_sr(source, seg, volumes))
    report = hd.sr.srread(tmp_path / "sr.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [_volumes(group) for group in groups] == [[(pytest.approx(v), "mL")] for v in volumes]
    for number, group in enumerate(groups, 1):
        referenced = group.referenced_segment
        assert referenced.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert referenced.referenced_segment_numbers[0] == number
        assert group.tracking_uid == seg.SegmentSequence[number - 1].TrackingUID
    (total,) = report.content.get_image_measurement_groups()
    assert _volumes(total) == [(pytest.approx(sum(volumes)), "mL")]


def test_nothing_found_is_reported_as_nothing(source: DicomScan, tmp_path: Path) -> None:
    seg = lesion_seg(source, np.zeros(SHAPE, np.uint16), weights="tiny")
    save_dicom(tmp_path / "sr.dcm", measurement_sr(source, seg, []))
    report = hd.sr.srread(tmp_path / "sr.dcm")
    assert report.content.get_volumetric_roi_measurement_groups() == []
    (total,) = report.content.get_image_measurement_groups()
    assert _volumes(total) == [(0.0, "mL")]


def test_it_belongs_to_the_study_and_names_what_it_rests_on(source: DicomScan, tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels[5, 5, 5] = 1
    seg = lesion_seg(source, labels, weights="tiny")
    save_dicom(tmp_path / "sr.dcm", measurement_sr(source, seg, [0.009]))
    data = dcmread(tmp_path / "sr.dcm")
    assert data.StudyInstanceUID == source.headers[0].StudyInstanceUID
    assert data.VerificationFlag == "UNVERIFIED"
    evidence = {
        instance.ReferencedSOPInstanceUID
        for key in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in data.get(key, [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert seg.SOPInstanceUID in evidence
    assert source.headers[0].SOPInstanceUID in evidence


def test_what_was_unusual_about_the_scan_is_a_comment(source: DicomScan, tmp_path: Path) -> None:
    flags = (Flag("thick-slices", "Slices are 5 mm apart."), Flag("long", "x" * 2000))
    flagged = replace(source, scan=replace(source.scan, flags=flags))
    seg = lesion_seg(flagged, np.zeros(SHAPE, np.uint16), weights="tiny")
    save_dicom(tmp_path / "sr.dcm", measurement_sr(flagged, seg, []))
    items = dcmread(tmp_path / "sr.dcm").ContentSequence
    comments = [item.TextValue for item in items if item.ValueType == "TEXT"]
    assert comments[-2:] == ["Slices are 5 mm apart.", "x" * 1024]


def test_without_highdicom_nothing_can_be_written(source: DicomScan, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, picture = np.zeros(SHAPE, np.uint16), np.zeros((8, 8, 3), np.uint8)
    seg = lesion_seg(source, labels, weights="tiny")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    for write in (
        lambda: measurement_sr(source, seg, []),
        lambda: lesion_seg(source, labels, weights="tiny"),
        lambda: secondary_capture(source, picture),
    ):
        with pytest.raises(Unavailable, match=r"needs highdicom; run: pip install 'insula\[dicom\]'"):
            write()
