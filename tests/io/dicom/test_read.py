"""A series becomes a scan on its own grid, however it is stored; what cannot be trusted is refused in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import dcm2niix
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    UltrasoundImageStorage,
    generate_uid,
)

from insula.errors import BadData, InsulaError, NoInput, TooLarge
from insula.io.dicom import read, read_dicom, slices
from io_series import CANARY, SHAPE, enhanced, sample, save, write_series

Change = Callable[[Dataset, int], Dataset | None]


def test_a_series_is_the_volume_it_was_made_of(tmp_path: Path) -> None:
    series = read_dicom(write_series(tmp_path))
    assert np.array_equal(series.scan.image, sample().astype(np.float32))
    assert series.scan.grid.spacing_mm == pytest.approx((1.5, 2.0, 3.0))
    assert series.scan.grid.axcodes == "LPS"
    assert series.scan.flags == ()
    assert [header.InstanceNumber for header in series.headers] == list(range(1, SHAPE[2] + 1))
    assert not any("PixelData" in header for header in series.headers)


def test_two_other_readers_put_every_voxel_there_too(tmp_path: Path) -> None:
    """dcm2niix and SimpleITK, on an oblique series."""
    angle = np.radians(17)
    row, column = np.array([np.cos(angle), np.sin(angle), 0]), np.array([0.0, 0.0, -1.0])
    normal = np.cross(row, column)

    def tilt(data: Dataset, number: int) -> Dataset:
        data.ImageOrientationPatient = [*row, *column]
        data.ImagePositionPatient = list(np.array([5.0, -40.0, 30.0]) + 3.0 * number * normal)
        return data

    folder = write_series(tmp_path / "series", change=tilt)
    ours = read_dicom(folder).scan
    subprocess.run(
        [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "out", "-o", tmp_path, folder], check=True, capture_output=True
    )
    theirs = nib.load(tmp_path / "out.nii")
    _same_voxels(ours.image, ours.grid.affine, np.asarray(theirs.dataobj, np.float32), theirs.affine)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    lps = np.eye(4)
    lps[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    values = sitk.GetArrayFromImage(image).transpose(2, 1, 0).astype(np.float32)
    _same_voxels(ours.image, ours.grid.affine, values, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def _same_voxels(voxels: np.ndarray, affine: np.ndarray, other_voxels: np.ndarray, other_affine: np.ndarray) -> None:
    """Every voxel of one lies within 1e-3 mm of a voxel of two with its value."""
    index = np.indices(voxels.shape).reshape(3, -1)
    there = np.linalg.inv(other_affine) @ affine @ np.vstack([index, np.ones(index.shape[1])])
    nearest = np.round(there[:3]).astype(int)
    assert np.abs((there[:3] - nearest) * np.linalg.norm(other_affine[:3, :3], axis=0)[:, None]).max() < 1e-3
    assert np.array_equal(voxels.ravel(), other_voxels[tuple(nearest)])


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_byte_orders_and_deflated_files_are_read(tmp_path: Path, syntax: UID) -> None:
    series = read_dicom(write_series(tmp_path, syntax=syntax))
    assert np.array_equal(series.scan.image, sample())


@pytest.mark.long
def test_a_file_that_claims_many_frames_is_described_once(tmp_path: Path) -> None:
    def claim(data: Dataset, number: int) -> Dataset | None:
        data.NumberOfFrames = 100_000
        return data if number == 0 else None

    (path,) = write_series(tmp_path, change=claim).iterdir()
    with mock.patch.object(slices, "_slice", wraps=slices._slice) as described:
        frames = slices.read_slices(path)
    assert described.call_count == 1
    assert [(frame.frame, frame.number) for frame in frames[:2]] == [(0, 1), (1, 2)]
    assert (len(frames), frames[-1].frame, frames[-1].number) == (100_000, 99_999, 100_000)


@pytest.mark.long
def test_frames_that_many_files_claim_are_limited_before_any_is_described(tmp_path: Path) -> None:
    def claim(data: Dataset, number: int) -> Dataset:
        data.NumberOfFrames = 100_000
        return data

    write_series(tmp_path, change=claim)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="of 100,000 frames has more images than the limit of 200,000 for all files"):
            read_dicom(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()


def test_the_last_image_within_the_limit_is_described_and_the_next_is_not(tmp_path: Path) -> None:
    path = next(write_series(tmp_path).iterdir())
    assert len(slices.read_slices(path, most=1)) == 1
    with pytest.raises(TooLarge, match="one series at a time"):
        slices.read_slices(path, most=0)


def test_frames_that_would_not_fit_into_memory_are_not_decoded(tmp_path: Path) -> None:
    """A compressed frame can take a few bytes, so the file's own size limits nothing."""
    data = dcmread(next(write_series(tmp_path).iterdir()))
    data.Rows, data.Columns, data.NumberOfFrames = 512, 512, 5000
    with pytest.raises(TooLarge, match=r"would be 4.9 GiB, over the limit of 4 GiB"):
        read._pixels(save(data, tmp_path / "many").read_bytes())


@pytest.mark.parametrize("codec", [RLELossless, JPEGLSLossless])
def test_lossless_compression_is_read(tmp_path: Path, codec: UID) -> None:
    def pack(data: Dataset, number: int) -> Dataset:
        data.compress(codec, generate_instance_uid=False)
        return data

    assert np.array_equal(read_dicom(write_series(tmp_path, change=pack)).scan.image, sample())


def test_a_codec_that_is_not_there_is_named(tmp_path: Path) -> None:
    def claim(data: Dataset, number: int) -> Dataset:
        data.compress(RLELossless, generate_instance_uid=False)
        data.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.57")
        return data

    with pytest.raises(BadData, match="JPEG Lossless"):
        read_dicom(write_series(tmp_path, change=claim))


def test_slopes_are_applied_to_each_slice_its_own(tmp_path: Path) -> None:
    def scale(data: Dataset, number: int) -> Dataset:
        data.RescaleSlope, data.RescaleIntercept = 0.5 + number, -3
        return data

    image = read_dicom(write_series(tmp_path, change=scale)).scan.image
    expected = sample() * (0.5 + np.arange(SHAPE[2])) - 3
    np.testing.assert_allclose(image, expected, rtol=1e-6)


def test_signed_and_inverted_values(tmp_path: Path) -> None:
    image = sample().astype(np.int16) - 2000
    assert np.array_equal(read_dicom(write_series(tmp_path / "signed", image)).scan.image, image)
    scan = read_dicom(write_series(tmp_path / "inverted", PhotometricInterpretation="MONOCHROME1")).scan
    assert np.array_equal(scan.image, -sample().astype(np.float32))
    assert [flag.code for flag in scan.flags] == ["monochrome1"]


def test_declared_padding_is_no_signal_whatever_its_value(tmp_path: Path) -> None:
    """PixelPaddingValue amid the values of tissue, and a range of it; without the attribute the values stay."""
    image = sample()
    image[:2], image[-1:] = 1234, 1250
    for name, values, padded in (
        ("one", {"PixelPaddingValue": 1234}, image == 1234),
        ("range", {"PixelPaddingValue": 1250, "PixelPaddingRangeLimit": 1234}, (image >= 1234) & (image <= 1250)),
    ):
        scan = read_dicom(write_series(tmp_path / name, image, RescaleSlope=2, RescaleIntercept=-5, **values)).scan
        real = image.astype(np.float32) * 2 - 5
        assert np.array_equal(scan.image[~padded], real[~padded])
        assert len(np.unique(scan.image[padded])) == 1
        assert scan.image[padded][0] <= np.percentile(real[~padded], 1)
        assert [flag.code for flag in scan.flags] == ["padding-set-aside"]
    assert not read_dicom(write_series(tmp_path / "none", image)).scan.flags


def test_an_image_of_many_frames_is_the_same_scan(tmp_path: Path) -> None:
    slopes = tuple(1.0 + 0.25 * k for k in range(SHAPE[2]))
    single = read_dicom(write_series(tmp_path / "single")).scan
    many = read_dicom(enhanced(sample(), tmp_path / "many.dcm", slopes=slopes))
    assert many.scan.grid.close_to(single.grid)
    np.testing.assert_allclose(many.scan.image, single.image * np.array(slopes), rtol=1e-6)
    assert len(many.headers) == 1
    assert sorted(many.frames) == list(range(SHAPE[2]))
    data = dcmread(tmp_path / "many.dcm")
    data.SOPInstanceUID = generate_uid()
    save(data, tmp_path / "two" / "a.dcm")
    shutil.copy(tmp_path / "many.dcm", tmp_path / "two" / "b.dcm")
    with pytest.raises(BadData, match="several multi-frame files"):
        read_dicom(tmp_path / "two")


def test_names_in_any_script_and_none_at_all(tmp_path: Path) -> None:
    def japanese(data: Dataset, number: int) -> Dataset:
        data.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
        data.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
        return data

    def nameless(data: Dataset, number: int) -> Dataset:
        del data.PatientName, data.PatientID
        return data

    for name, change in (("japanese", japanese), ("nameless", nameless)):
        assert np.array_equal(read_dicom(write_series(tmp_path / name, change=change)).scan.image, sample())


def _without(*numbers: int) -> Change:
    return lambda data, number: None if number in numbers else data


def _set(**values: object) -> Change:
    def change(data: Dataset, number: int) -> Dataset:
        for key, value in values.items():
            setattr(data, key, value(number) if callable(value) else value)
        return data

    return change


def _no(keyword: str) -> Change:
    def change(data: Dataset, number: int) -> Dataset:
        delattr(data, keyword)
        return data

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(_without(9, 10), "from slice 9 to 10", id="136 middle slices missing"),
        pytest.param(_without(11), "slices are missing", id="140 a gap"),
        pytest.param(
            _set(ImageOrientationPatient=lambda n: [1, 0, 0, 0, 1, 0] if n < 9 else [0, 1, 0, 0, 0, 1]),
            "one direction",
            id="143 directions",
        ),
        pytest.param(_no("ImagePositionPatient"), "ImagePositionPatient", id="144 no place"),
        pytest.param(_no("ImageOrientationPatient"), "where its slices lie", id="144 no direction"),
        pytest.param(
            _set(ImagePositionPatient=lambda n: [-12.0, -31.0, 3.0 * (n // 2)]),
            "lie where others do",
            id="139 two at one place",
        ),
        pytest.param(_set(PatientID=lambda n: f"P{n % 2}"), "several patients", id="two patients in one series"),
        pytest.param(_set(PixelSpacing=lambda n: [2.0, 1.5] if n else [2.0, 1.6]), "pixel spacing", id="pixel spacing"),
        pytest.param(_set(PixelSpacing=[0.0, 1.5]), "pixel spacing", id="no pixel spacing"),
        pytest.param(_set(ImageOrientationPatient=[1, 0, 0, 0.5, 1, 0]), "right-angled", id="skewed rows"),
        pytest.param(_set(ImagePositionPatient=lambda n: [4.0 * (n % 2), -31.0, 3.0 * n]), "one line", id="zigzag"),
        pytest.param(_set(Modality="CT", SOPClassUID=CTImageStorage), "CT, not MR", id="148 CT"),
        pytest.param(_set(Modality="US", SOPClassUID=UltrasoundImageStorage), "US, not MR", id="148 US"),
        pytest.param(_set(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "localiser", id="a localiser"),
        pytest.param(
            _set(ImageType=["DERIVED", "SECONDARY", "MPR"], SeriesDescription="x", ProtocolName="", InversionTime=""),
            "derived",
            id="derived",
        ),
        pytest.param(_set(ImageType=["DERIVED", "PRIMARY", "M", "ND", "T1 MAP"]), "a map", id="a T1 map"),
        pytest.param(_set(ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]), "a phase image", id="phase"),
        pytest.param(_set(SeriesDescription="mp2rage_INV1"), "one inversion", id="an inversion"),
        pytest.param(
            _set(SeriesDescription="t1_sub", ImageType=["DERIVED", "PRIMARY", "SUBTRACT"]),
            "a subtraction",
            id="subtraction",
        ),
        pytest.param(_set(PhotometricInterpretation="RGB"), "in colour", id="colour"),
        pytest.param(_set(ImagePositionPatient=["1", "2", "3.5e"]), "DICOM", id="no numbers"),
    ],
)
def test_what_cannot_be_trusted_is_refused(change: Change, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    try:
        write_series(folder, change=change)
    except ValueError:  # pydicom does not write numbers that are none
        data = dcmread(write_series(tmp_path / "fine") / "IM00000")
        raw = save(data, folder / "a").read_bytes()
        (folder / "a").write_bytes(raw.replace(b"-12.0\\-31.0\\8.0", b"-1x.0\\-3y.0\\8.z"))
    with pytest.raises(BadData, match=message):
        read_dicom(folder)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda data, n: None if n % 2 else data, "slices-apart", id="137 every other missing"),
        pytest.param(_without(0, 1), "first-images-missing", id="138 first slices missing"),
        pytest.param(_set(InstanceNumber=lambda n: 2 * n + 1), "image-numbers-missing", id="numbers missing"),
        pytest.param(_set(ContrastBolusAgent="Gadovist"), "contrast-agent", id="contrast"),
        pytest.param(
            _set(SeriesDescription="", ProtocolName="", EchoTime=30, RepetitionTime=3000, InversionTime=""),
            "not-told-to-be-t1w",
            id="no word of T1",
        ),
    ],
)
def test_what_is_doubtful_is_said(change: Change, code: str, tmp_path: Path) -> None:
    image = sample(shape=(20, 24, 44))
    scan = read_dicom(write_series(tmp_path, image, change=change)).scan
    assert code in {flag.code for flag in scan.flags}


def test_copies_count_once_and_other_pixels_under_one_uid_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in")
    shutil.copy(folder / "IM00000", folder / "copy")
    scan = read_dicom(folder).scan
    assert np.array_equal(scan.image, sample())
    assert {flag.code for flag in scan.flags} == {"copies-skipped"}
    data = dcmread(folder / "copy")
    data.ImagePositionPatient = [0, 0, 900]
    save(data, folder / "copy")
    with pytest.raises(BadData, match="differ but have the same UID"):
        read_dicom(folder)


@pytest.mark.parametrize("left", [0.3, 0.6, 0.98])
def test_a_file_that_is_cut_off_is_refused(left: float, tmp_path: Path) -> None:
    folder = write_series(tmp_path)
    path = folder / "IM00000"
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data))])
    with pytest.raises(BadData, match=r"cut off|breaks off|cannot be read"):
        read_dicom(folder)


def test_what_is_no_image_is_skipped_and_counted(tmp_path: Path) -> None:
    folder = write_series(tmp_path)
    (folder / "notes.txt").write_text("hello")
    (folder / "empty").touch()
    (folder / ".hidden").write_text("x")
    os.mkfifo(folder / "pipe")  # would be waited on for ever
    scan = read_dicom(folder).scan
    assert np.array_equal(scan.image, sample())
    (flag,) = scan.flags
    assert (flag.code, flag.text[:2], flag.severity) == ("files-skipped", "2 ", "note")


@pytest.mark.parametrize("parts", [["IM00000"], ["..", "IM00000"], ["A/../../B"], ["C:"]])
def test_a_dicomdir_is_never_followed_and_refused_where_it_points_out(parts: list[str], tmp_path: Path) -> None:
    folder = write_series(tmp_path)
    record, data = Dataset(), Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", parts
    data.FileSetID, data.DirectoryRecordSequence = "", [record]
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    save(data, folder / "DICOMDIR")
    if parts == ["IM00000"]:
        scan = read_dicom(folder).scan
        assert np.array_equal(scan.image, sample())
        assert [flag.code for flag in scan.flags] == ["files-skipped"]
    else:
        with pytest.raises(slices.OutsideReference, match="DICOMDIR points out of its folder"):
            read_dicom(folder)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="holds no file"):
        read_dicom(tmp_path)
    with pytest.raises(NoInput, match="does not exist"):
        read_dicom(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(BadData, match="not DICOM images"):
        read_dicom(tmp_path)


@pytest.mark.long
def test_ten_thousand_images_are_read_in_little_memory(tmp_path: Path) -> None:
    """Of another series, beside one that is taken: headers alone, and not kept."""
    write_series(tmp_path / "t1")
    data = dcmread(next((tmp_path / "t1").iterdir()))
    data.SeriesInstanceUID, data.SeriesNumber, data.SeriesDescription = generate_uid(), 9, "ep2d_diff"
    text = save(data, tmp_path / "many" / "a").read_bytes()
    (tmp_path / "many" / "a").unlink()
    for number in range(600):
        path = tmp_path / "many" / f"{number}"
        path.write_bytes(text)
    tracemalloc.start()
    series = read_dicom(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(series.scan.image, sample())
    assert peak < 600 * 4000 + 8e6  # a few kilobytes each


def test_nobodys_name_gets_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Not in names, flags, refusals, logs, nor on the terminal."""
    texts = []
    broken: list[Change] = [_without(), _without(9), _no("ImagePositionPatient"), _set(PatientBirthDate="CANARYDATE")]
    for number, change in enumerate(broken):
        folder = write_series(
            tmp_path / f"CANARYFOLDER{number}", change=change, **CANARY, SeriesDescription="t1 CANARYWORDS"
        )
        caplog.clear()  # of what pydicom said while it wrote
        try:
            series = read_dicom(folder)
            texts += [series.scan.name, repr(series.scan.flags), repr(series.scan.file)]
        except InsulaError as error:
            texts += [
                str(error),
                repr(error.__cause__),
                repr(error.__context__ if not error.__suppress_context__ else ""),
            ]
    assert len(texts) == 12
    text = " ".join([*texts, *capsys.readouterr(), caplog.text])
    assert "CANARY" not in text
    assert "19310203" not in text
    assert JPEGBaseline8Bit not in text
    assert ExplicitVRLittleEndian not in text


def test_a_file_that_changes_between_its_header_and_its_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two exchanged files would exchange two slices."""
    import insula.io.dicom.read as module

    folder = write_series(tmp_path)
    first, second, *_ = sorted(folder.iterdir())
    reads = module.read_content
    monkeypatch.setattr(module, "read_content", lambda path: reads({first: second, second: first}.get(path, path)))
    with pytest.raises(BadData, match="changed while it was read"):
        read_dicom(folder)


def test_a_series_that_changed_since_is_known_by_its_content(tmp_path: Path) -> None:
    series = read_dicom(write_series(tmp_path))
    assert series.still_the_same()
    path = min(tmp_path.iterdir())
    state, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert not series.still_the_same()
