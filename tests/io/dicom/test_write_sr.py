"""A report holds the volumes that were measured, each tied to its segment."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import UID

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


def _code(item: Dataset) -> tuple[str, str, str]:
    return item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning


def _items(item: Dataset, meaning: str) -> list[Dataset]:
    """All items of a report with this name, at any depth."""
    names = item.get("ConceptNameCodeSequence") or []
    own = [item] if names and names[0].CodeMeaning == meaning else []
    return own + [found for inner in item.get("ContentSequence") or [] for found in _items(inner, meaning)]


@pytest.mark.parametrize("number", [3, None])
def test_what_viewers_show(number: int | None, tmp_path: Path) -> None:
    source = read_dicom(write_series(tmp_path / "in", SeriesNumber=number))
    labels = np.zeros(SHAPE, np.uint16)
    labels[2:6, 3:9, 4:7] = 1
    seg = lesion_seg(source, labels, weights="tiny")
    data, again = (measurement_sr(source, seg, [0.5]) for _ in range(2))
    assert data.SeriesNumber == 9100 + (number or 0)
    assert (data.InstanceNumber, data.Manufacturer) == (1, "insula")
    assert (data.CompletionFlag, data.PreliminaryFlag) == ("COMPLETE", "PRELIMINARY")
    assert data.SeriesDescription == "insula measurements, for research only"
    assert data.SeriesInstanceUID == again.SeriesInstanceUID != data.SOPInstanceUID == again.SOPInstanceUID
    for name, code in (("Finding", ("55641003", "SCT", "Infarct")), ("Finding Site", ("12738006", "SCT", "Brain"))):
        found = _items(data, name)
        assert [_code(item.ConceptCodeSequence[0]) for item in found] == [code] * 2  # of the lesion and of all
    (procedure,) = _items(data, "Procedure reported")
    assert _code(procedure.ConceptCodeSequence[0]) == ("24590-2", "LN", "MR Brain")
    texts = [_items(data, f"Device Observer {name}")[0].TextValue for name in ("Name", "Manufacturer")]
    assert texts == ["insula", "insula"]
    uids = [_items(report, "Device Observer UID")[0].UID for report in (data, again)]
    assert uids[0] == uids[1]
    assert UID(str(uids[0])).is_valid
    assert UID(str(data.SeriesInstanceUID)).is_valid


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
