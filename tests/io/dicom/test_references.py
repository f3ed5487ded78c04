"""Whatever a source's attributes hold, objects that refer to it are written, or it is refused in words of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement

from insula.errors import InsulaError
from insula.io.dicom import lesion_seg, measurement_sr, probability_seg, read_dicom, save_dicom, secondary_capture
from insula.io.dicom.slices import quiet
from io_series import header, sample, write_series

_CANARY = b"CANARY^1960-01-01 "
_KEYS = sorted(
    {element.keyword for element in header(0)} - {"", "PixelData"}
    | {
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
        "PositionReferenceIndicator",
        "FrameOfReferenceUID",
        "SeriesNumber",
        "InstanceNumber",
        "PatientAge",
        "PatientWeight",
    }
)


def _without(data: Dataset, key: str) -> None:
    if key in data:
        del data[key]


def _emptied(data: Dataset, key: str) -> None:
    setattr(data, key, None)


def _malformed(data: Dataset, key: str) -> None:
    """The bytes as a broken exporter writes them: no check sees them before we do."""
    if key not in data:
        setattr(data, key, None)
    element = data[key]
    raw = RawDataElement(element.tag, element.VR, len(_CANARY), _CANARY, 0, False, True)
    data._dict[element.tag] = raw


@pytest.mark.parametrize("damage", [_without, _emptied, _malformed])
@pytest.mark.parametrize("key", _KEYS)
def test_every_attribute_removed_emptied_or_malformed(
    key: str, damage: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.settings, "writing_validation_mode", config.IGNORE)

    def change(data: Dataset, number: int) -> Dataset:
        damage(data, key)
        return data

    try:
        with quiet():
            folder = write_series(tmp_path / "series", change=change)
    except Exception:  # pydicom does not write such a file at all
        pytest.skip("pydicom refuses to write such a file, so no reader can meet it")
    try:
        series = read_dicom(folder)
        labels = (sample() > np.median(sample())).astype(np.uint16)
        seg = lesion_seg(series, labels, weights="w")
        save_dicom(tmp_path / "seg.dcm", seg)
        save_dicom(tmp_path / "prob.dcm", probability_seg(series, labels.astype(np.float32), weights="w"))
        save_dicom(tmp_path / "sr.dcm", measurement_sr(series, seg, [1.0]))
        save_dicom(tmp_path / "sc.dcm", secondary_capture(series, np.zeros((8, 8, 3), np.uint8)))
    except InsulaError as error:
        assert "CANARY" not in str(error)
        assert "1960" not in str(error)
    printed = capsys.readouterr()
    assert "CANARY" not in printed.out + printed.err


def test_one_slice_that_knows_its_study_is_enough_and_nothing_is_made_up(tmp_path: Path) -> None:
    def change(data: Dataset, number: int) -> Dataset:
        if number != 2:
            for key in ("StudyID", "AccessionNumber"):
                _without(data, key)
        return data

    series = read_dicom(
        write_series(tmp_path / "s", change=change, StudyID="S7", PatientSex="male", PatientBirthDate="19600101")
    )
    references = series.references
    assert {str(reference.StudyID) for reference in references} == {"S7"}
    assert {reference.PatientSex for reference in references} == {""}
    assert {reference.PatientBirthDate for reference in references} == {"19600101"}
    assert [reference.SOPInstanceUID for reference in references] == [
        reference.SOPInstanceUID for reference in series.headers
    ]
    assert len({reference.FrameOfReferenceUID for reference in references}) == 1
    again = read_dicom(tmp_path / "s").references
    assert again[0].FrameOfReferenceUID == references[0].FrameOfReferenceUID
