"""A header's attributes, in a plain file or in a frame of an enhanced one, become the fields of a slice."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import MediaStorageDirectoryStorage, MRImageStorage

from insula.errors import BadData, Interrupted
from insula.io.dicom import slices
from insula.io.dicom.slices import Slice, quiet, read_slices, slices_of
from io_series import header

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value length")
_PATH = Path("IM1")


def _group(**sequences: dict[str, Any]) -> Dataset:
    """A functional group: sequences of one item each."""
    group = Dataset()
    for name, values in sequences.items():
        item = Dataset()
        for key, value in values.items():
            setattr(item, key, value)
        setattr(group, name, [item])
    return group


def _plain(**values: Any) -> Dataset:
    return header(4, Rows=24, Columns=20, **values)


def _slice(**values: Any) -> Slice:
    (slice_,) = slices_of(_PATH, _plain(**values))
    return slice_


def test_a_plain_header() -> None:
    slice_ = _slice(SeriesNumber=7, AcquisitionNumber=2, EchoNumbers=3, TemporalPositionIdentifier=5)
    assert slice_.path == _PATH
    assert (slice_.frame, slice_.number, slice_.series_number, slice_.acquisition) == (None, 5, 7, 2)
    assert (slice_.modality, slice_.sop_class) == ("MR", MRImageStorage)
    assert slice_.kind == ("ORIGINAL", "PRIMARY", "M", "ND")
    assert slice_.sequence == ("GR",)
    assert slice_.shape == (24, 20)
    assert slice_.position == (-12.0, -31.0, 20.0)
    assert slice_.axes == (1, 0, 0, 0, 1, 0)
    assert slice_.spacing_mm == (2.0, 1.5)
    assert slice_.thickness_mm == 3.0
    assert (slice_.echo_ms, slice_.repetition_ms, slice_.inversion_ms) == (2.9, 2300.0, 900.0)
    assert (slice_.b_value, slice_.acquired_for, slice_.contrast, slice_.part) == (0.0, "", False, "magnitude")
    assert slice_.time == ("3", "5")


def test_missing_and_empty_values_are_none() -> None:
    data = _plain(SeriesNumber=None, InstanceNumber=None, EchoTime=None, InversionTime=None, AcquisitionNumber=None)
    for key in ("PixelSpacing", "SliceThickness", "RepetitionTime", "ImageType", "ScanningSequence", "ProtocolName"):
        delattr(data, key)
    (slice_,) = slices_of(_PATH, data)
    numbers = (slice_.series_number, slice_.number, slice_.acquisition)
    times = (slice_.echo_ms, slice_.repetition_ms, slice_.inversion_ms)
    assert {*numbers, *times, slice_.spacing_mm, slice_.thickness_mm} == {None}
    assert (slice_.kind, slice_.sequence, slice_.time) == ((), (), ("", ""))
    assert set(slice_.words.split()) == {"t1", "mprage", "sag"}


_FRAME = {  # groups of a frame, the field they fill, its value
    "position": ({"PlanePositionSequence": {"ImagePositionPatient": [1, 2, 3]}}, "position", (1, 2, 3)),
    "direction": (
        {"PlaneOrientationSequence": {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}},
        "axes",
        (0, 1, 0, 0, 0, -1),
    ),
    "spacing": ({"PixelMeasuresSequence": {"PixelSpacing": [0.5, 0.7]}}, "spacing_mm", (0.5, 0.7)),
    "thickness": ({"PixelMeasuresSequence": {"SliceThickness": 4.5}}, "thickness_mm", 4.5),
    "echo": ({"MREchoSequence": {"EffectiveEchoTime": 7.5}}, "echo_ms", 7.5),
    "repetition": ({"MRTimingAndRelatedParametersSequence": {"RepetitionTime": 650.0}}, "repetition_ms", 650.0),
    "diffusion": ({"MRDiffusionSequence": {"DiffusionBValue": 1000.0}}, "b_value", 1000.0),
    "contrast": ({"MRImageFrameTypeSequence": {"AcquisitionContrast": " t1 "}}, "acquired_for", "T1"),
    "type": ({"MRImageFrameTypeSequence": {"FrameType": ["derived", "PRIMARY "]}}, "kind", ("DERIVED", "PRIMARY")),
    "part": ({"MRImageFrameTypeSequence": {"ComplexImageComponent": "PHASE"}}, "part", "phase"),
    "no time": ({"FrameContentSequence": {"StackID": "1"}}, "time", ("", "", "")),
    "time": ({"FrameContentSequence": {"TemporalPositionIndex": 4}}, "time", ("", "", "4")),
}


@pytest.mark.parametrize("name", _FRAME)
@pytest.mark.parametrize("frames", [1, 2])
def test_a_value_of_the_frame_counts_then_of_all_frames_then_of_the_file(name: str, frames: int) -> None:
    sequences, field, value = _FRAME[name]
    own, other = _group(**sequences), _group(FrameAnatomySequence={"FrameLaterality": "U"})
    data = _plain(NumberOfFrames=frames, PerFrameFunctionalGroupsSequence=[own, other][:frames])
    found = slices_of(_PATH, data)
    assert [slice_.frame for slice_ in found] == ([None] if frames == 1 else [0, 1])
    assert getattr(found[0], field) == value
    if frames == 2:
        assert getattr(found[1], field) == getattr(_slice(), field)
        assert [slice_.number for slice_ in found] == [1, 2]
    data = _plain(NumberOfFrames=frames, PerFrameFunctionalGroupsSequence=[_group()] * frames)
    data.SharedFunctionalGroupsSequence = [own]
    assert {getattr(slice_, field) for slice_ in slices_of(_PATH, data)} == {value}


def test_an_inversion_time_of_the_file_precedes_that_of_the_frame() -> None:
    group = _group(MRModifierSequence={"InversionTimes": [700.0, 2500.0]})
    assert slices_of(_PATH, _plain(PerFrameFunctionalGroupsSequence=[group]))[0].inversion_ms == 900.0
    bare = _plain(PerFrameFunctionalGroupsSequence=[group], InversionTime=None)
    assert slices_of(_PATH, bare)[0].inversion_ms == 700.0


def test_frames_without_groups_are_numbered_in_order() -> None:
    found = slices_of(_PATH, _plain(NumberOfFrames=3))
    assert [(slice_.frame, slice_.number) for slice_ in found] == [(0, 1), (1, 2), (2, 3)]
    assert {slice_.path for slice_ in found} == {_PATH}


@pytest.mark.parametrize(
    ("frames", "message"),
    [(2, "of 2 frames: describes 1 frames"), (100_000, "describes 1 frames"), (100_001, "of 100,001 frames: has too")],
)
def test_counts_of_frames_that_cannot_be(frames: int, message: str) -> None:
    with pytest.raises(BadData) as error:
        slices_of(_PATH, _plain(NumberOfFrames=frames, PerFrameFunctionalGroupsSequence=[_group()]))
    assert message.split(": ")[0] in str(error.value) and message.split(": ")[-1] in str(error.value)


_STANDARD = "MR CT PT US CR DX XA NM RF MG OT SC SR SEG PR KO REG RTSTRUCT RTDOSE RTPLAN RTIMAGE ECG DOC"


@pytest.mark.parametrize("modality", _STANDARD.split())
def test_modalities_of_the_standard_may_be_shown(modality: str) -> None:
    assert _slice(Modality=f" {modality} ").modality == modality


@pytest.mark.parametrize(("modality", "shown"), [("JANEDOE", "another"), ("mr", "another"), ("", ""), (None, "")])
def test_no_other_text_is_shown_as_the_modality(modality: str | None, shown: str) -> None:
    assert _slice(Modality=modality).modality == shown


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("phase", ["P", "PHASE", "PHASE MAP", "PHASE_MAP"]),
        ("real", ["R", "REAL", "R_FFE", "R_SE", "R_IR"]),
        ("imaginary", ["I", "IMAGINARY", "I_FFE", "I_SE", "I_IR"]),
        ("magnitude", ["M", "ND", "M_FFE", "NORM"]),
    ],
)
def test_the_part_of_the_complex_image(part: str, words: list[str]) -> None:
    for word in words:
        assert _slice(ImageType=["ORIGINAL", "PRIMARY", word]).part == part
        assert _slice(ImageType=["ORIGINAL", word]).part == "magnitude"  # the first two values say other things
        frame = _group(MRImageFrameTypeSequence={"ComplexImageComponent": f" {word.lower()} "})
        assert slices_of(_PATH, _plain(PerFrameFunctionalGroupsSequence=[frame]))[0].part == part


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (True, {"ContrastBolusAgent": "gadobutrol"}),
        (True, {"ContrastBolusAgentSequence": [Dataset()]}),
        (True, {"ContrastBolusStartTime": "101500"}),
        (True, {"ContrastBolusVolume": 0.5}),
        (True, {"ContrastBolusTotalDose": 0.1}),
        *((False, {"ContrastBolusAgent": word}) for word in ("", " ", "none", "NO", "n", "0")),
        (False, {"ContrastBolusAgentSequence": []}),
        (False, {"ContrastBolusStartTime": " "}),
        (False, {"ContrastBolusVolume": ""}),
        (False, {"ContrastBolusVolume": 0, "ContrastBolusTotalDose": None}),
    ],
    ids=str,
)
def test_whether_a_contrast_agent_was_given(given: bool, values: dict[str, Any]) -> None:
    assert _slice(**values).contrast is given


@pytest.mark.parametrize("key", ["SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName"])
def test_words_come_from_each_description(key: str) -> None:
    names = {"SeriesDescription": "", "ProtocolName": ""}
    words = _slice(**names | {key: "axT1_SE-p2.+C*"}).words
    assert words.split() == ["axt1", "se", "p2", "+c*", "ax", "t1", "se", "p2", "+c*"]
    assert words == " ".join(words.split())
    assert _slice(**names).words == ""


def test_patients_are_told_apart_by_id_and_without_one_by_name() -> None:
    def patient(number: str, name: str) -> str:
        return _slice(PatientID=number, PatientName=name).patient

    assert patient("1", "A^B") == patient("1", "C^D") != patient("2", "A^B")
    assert len({patient("", "A^B"), patient("", "C^D"), patient("", ""), patient("1", "A^B")}) == 4
    assert "A^B" not in patient("", "A^B")


@pytest.mark.parametrize("where", ["the file's head", "the data set"])
@pytest.mark.parametrize("missing", ["Rows", "SeriesInstanceUID"])
def test_an_image_that_breaks_off_in_its_header_is_refused(where: str, missing: str) -> None:
    data = _plain()
    delattr(data, missing)
    if where == "the file's head":
        data.file_meta = FileMetaDataset()
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        del data.SOPClassUID
    with pytest.raises(BadData, match="breaks off in its header"):
        slices_of(_PATH, data)


def test_what_is_no_image_has_no_slices() -> None:
    data = Dataset()
    assert slices_of(_PATH, data) == []
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"  # an encapsulated PDF
    assert slices_of(_PATH, data) == []


@pytest.mark.parametrize("part", ["..", "a/b", "a\\b", "C:"])
def test_a_dicomdir_that_points_out_of_its_folder_is_refused(part: str) -> None:
    data, record = _plain(), Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    assert slices_of(_PATH, data) == []
    data.DirectoryRecordSequence = [Dataset(), record]
    record.ReferencedFileID = "IM1"
    assert slices_of(_PATH, data) == []
    record.add_new("ReferencedFileID", "UN", None)
    record["ReferencedFileID"]._value = ["DICOM", part]
    with pytest.raises(BadData, match="points out of its folder"):
        slices_of(_PATH, data)


def _fail_quietly(log: logging.Logger) -> None:
    with quiet():
        assert log.disabled
        warnings.warn("a name", UserWarning, stacklevel=1)
        raise KeyError


@pytest.mark.parametrize("disabled", [False, True])
def test_quiet_silences_pydicom_within_the_block_only(disabled: bool) -> None:
    log = logging.getLogger("pydicom")
    before, log.disabled = log.disabled, disabled
    try:
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            with pytest.raises(KeyError):
                _fail_quietly(log)
            warnings.warn("after", UserWarning, stacklevel=1)
        assert [str(warning.message) for warning in shown] == ["after"]
        assert log.disabled is disabled
    finally:
        log.disabled = before


def test_a_signal_while_a_header_is_read_is_no_damaged_header(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(path: Path) -> Dataset:
        raise Interrupted(15)

    monkeypatch.setattr(slices, "read_header", stopped)
    with pytest.raises(Interrupted):
        read_slices(_PATH)
