"""What is read and written is what ITK reads and writes; damaged files are refused."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from geometry.orders import ORDERS, stored_as, turned
from insula.errors import BadData, TooLarge
from insula.geometry import AxisMap, Grid
from insula.io import Placement, read_metaimage, read_scan, write_metaimage, write_scan
from insula.io.metaimage_header import parse_metaimage

_STRAIGHT = Grid((5, 6, 7), [[0.9, 0, 0, -31], [0, 1.1, 0, 17], [0, 0, 2.5, 4.25], [0, 0, 0, 1]])
_OBLIQUE = turned(_STRAIGHT, 17)
_IMAGE = np.random.default_rng(0).integers(-9, 900, _STRAIGHT.shape).astype(np.int16)


def _itk(voxels: np.ndarray, grid: Grid) -> sitk.Image:
    """The same volume as an image of SimpleITK, whose world is LPS+."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.T))
    image.SetSpacing(grid.spacing_mm)
    image.SetDirection((np.diag([-1, -1, 1]) @ grid.affine[:3, :3] / grid.spacing_mm).ravel())
    image.SetOrigin(grid.affine[:3, 3] * [-1, -1, 1])
    return image


def _saved(path: Path, voxels: np.ndarray = _IMAGE, grid: Grid = _OBLIQUE, *, compressed: bool = True) -> bytes:
    sitk.WriteImage(_itk(voxels, grid), str(path), useCompression=compressed)
    return path.read_bytes()


@pytest.mark.parametrize("grid", [_STRAIGHT, _OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("axes", ORDERS, ids=str)
def test_every_order_of_axes_is_read_as_itk_reads_it(axes: AxisMap, grid: Grid, tmp_path: Path) -> None:
    """The file is written by SimpleITK; the same file as NIfTI, converted by SimpleITK, is the witness."""
    voxels, stored = stored_as(_IMAGE, grid, axes)
    _saved(tmp_path / "a.mha", voxels, stored)
    scan, _ = read_metaimage(tmp_path / "a.mha", name="a")
    assert np.array_equal(scan.image, voxels)
    assert scan.grid.close_to(stored, tolerance_mm=1e-9)
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.mha")), str(tmp_path / "a.nii.gz"))
    witness = read_scan(tmp_path / "a.nii.gz")
    assert np.array_equal(witness.image, scan.image)
    assert witness.grid.close_to(scan.grid, tolerance_mm=1e-4)
    assert witness.grid.axcodes == scan.grid.axcodes


@pytest.mark.parametrize("grid", [_STRAIGHT, _OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("axes", ORDERS, ids=str)
def test_itk_places_a_result_exactly_where_it_places_the_scan(axes: AxisMap, grid: Grid, tmp_path: Path) -> None:
    voxels, stored = stored_as(_IMAGE, grid, axes)
    _saved(tmp_path / "scan.mha", voxels, stored)
    scan, placement = read_metaimage(tmp_path / "scan.mha", name="scan")
    mask, prob = (scan.image > 400).astype(np.uint8), (scan.image / 1000).astype(np.float32)
    before = sitk.ReadImage(str(tmp_path / "scan.mha"))
    for written, kind in ((mask, sitk.sitkUInt8), (prob, sitk.sitkFloat32)):
        write_metaimage(tmp_path / "out.mha", written, placement)
        after = sitk.ReadImage(str(tmp_path / "out.mha"))
        assert after.GetPixelID() == kind
        assert np.array_equal(sitk.GetArrayFromImage(after).T, written)
        for numbers in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(after, numbers)() == getattr(before, numbers)(), numbers


def test_a_scan_of_nifti_gets_its_result_where_itk_reads_it(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii.gz", _IMAGE.astype(np.float32), _OBLIQUE)
    scan = read_scan(tmp_path / "a.nii.gz")
    write_metaimage(tmp_path / "a.mha", (scan.image > 0).astype(np.uint8), Placement.of(scan.grid))
    before, after = (sitk.ReadImage(str(tmp_path / name)) for name in ("a.nii.gz", "a.mha"))
    for numbers in ("GetSpacing", "GetOrigin", "GetDirection"):
        assert getattr(after, numbers)() == pytest.approx(getattr(before, numbers)(), abs=1e-5)


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_type_of_itk(kind: str, compressed: bool, tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(0, 100, _STRAIGHT.shape).astype(kind)
    _saved(tmp_path / "a.mha", voxels, compressed=compressed)
    assert np.array_equal(read_metaimage(tmp_path / "a.mha", name="a")[0].image, voxels)


def test_the_other_byte_order(tmp_path: Path) -> None:
    data = _saved(tmp_path / "a.mha", compressed=False)
    at = parse_metaimage(data).offset
    swapped = np.frombuffer(data[at:], "<i2").astype(">i2").tobytes()
    (tmp_path / "a.mha").write_bytes(data[:at].replace(b"MSB = False", b"MSB = True") + swapped)
    assert np.array_equal(read_metaimage(tmp_path / "a.mha", name="a")[0].image, _IMAGE)
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.mha"))).T, _IMAGE)


def test_gzip_inside_and_no_announced_size_are_read_as_itk_reads_them(tmp_path: Path) -> None:
    data = _saved(tmp_path / "a.mha")
    at = parse_metaimage(data).offset
    stream = zlib.compressobj(wbits=31)
    packed = stream.compress(_IMAGE.tobytes(order="F")) + stream.flush()
    head = re.sub(rb"CompressedDataSize = [0-9]+\n", b"", data[:at])
    (tmp_path / "a.mha").write_bytes(head + packed)
    assert np.array_equal(read_metaimage(tmp_path / "a.mha", name="a")[0].image, _IMAGE)


def test_intensities_are_made_sound(tmp_path: Path) -> None:
    image = _IMAGE.astype(np.float32)
    image[0, 0, 0] = np.nan
    _saved(tmp_path / "a.mha", image)
    scan, _ = read_metaimage(tmp_path / "a.mha", name="a")
    assert [flag.code for flag in scan.flags] == ["voxels-filled"]
    _saved(tmp_path / "a.mha", np.full(_STRAIGHT.shape, 7, np.int16))
    with pytest.raises(BadData, match="the same everywhere"):
        read_metaimage(tmp_path / "a.mha", name="a")


@pytest.mark.parametrize("compressed", [False, True])
def test_every_cut_and_every_addition_is_noticed(compressed: bool, tmp_path: Path) -> None:
    data = _saved(tmp_path / "a.mha", compressed=compressed)
    for cut in (1, 2, 7, 100, len(data) - parse_metaimage(data).offset, len(data) - 20):
        (tmp_path / "a.mha").write_bytes(data[:-cut])
        with pytest.raises(BadData):
            read_metaimage(tmp_path / "a.mha", name="a")
    (tmp_path / "a.mha").write_bytes(data + b"\0")
    with pytest.raises(BadData, match="is longer than"):
        read_metaimage(tmp_path / "a.mha", name="a")


def test_every_flipped_bit_of_compressed_data_is_noticed(tmp_path: Path) -> None:
    small = Grid((3, 3, 3), np.eye(4))
    data = _saved(tmp_path / "a.mha", np.arange(27, dtype=np.int16).reshape(3, 3, 3), small)
    right = read_metaimage(tmp_path / "a.mha", name="a")[0].image
    start = parse_metaimage(data).offset
    harmless = 0
    for place in range(8 * start, 8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / "a.mha").write_bytes(damaged)
        try:
            assert np.array_equal(read_metaimage(tmp_path / "a.mha", name="a")[0].image, right)
            harmless += 1  # in the header of zlib are bits without meaning
        except BadData:
            pass
    assert harmless < 16


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda head, voxels: (head, zlib.compress(voxels + b"\0\0")), "more than the 420 bytes"),
        (lambda head, voxels: (head, zlib.compress(voxels[:-2])), "fewer than the 420 bytes"),
        (lambda head, voxels: (head, zlib.compress(voxels) + b"ab"), "other data after its end"),
        (lambda head, voxels: (head, zlib.compress(voxels)[:-1]), "ends before its end mark"),
        (lambda head, voxels: (head, b"not a stream" + voxels), "is damaged"),
        (
            lambda head, voxels: (head.replace(b"DimSize = 5 6 7", b"DimSize = 900 900 900"), zlib.compress(voxels)),
            "over 400 times its size",
        ),
    ],
)
def test_a_stream_that_is_not_the_announced_voxels_is_refused(change, words: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    data = _saved(tmp_path / "a.mha")
    head = re.sub(rb"CompressedDataSize = [0-9]+\n", b"", data[: parse_metaimage(data).offset])
    head, stream = change(head, _IMAGE.tobytes(order="F"))
    (tmp_path / "a.mha").write_bytes(head + stream)
    with pytest.raises(BadData, match=words):
        read_metaimage(tmp_path / "a.mha", name="a")


def test_the_same_volume_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_metaimage(tmp_path / f"{name}.mha", _IMAGE.astype(np.float32), Placement.of(_OBLIQUE))
    assert (tmp_path / "a.mha").read_bytes() == (tmp_path / "b.mha").read_bytes()


def test_too_large_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    data = _saved(tmp_path / "a.mha").replace(b"DimSize = 5 6 7", b"DimSize = 20000 20000 20000")
    (tmp_path / "a.mha").write_bytes(data)
    with pytest.raises(TooLarge, match="over the limit of 2 GiB"):
        read_metaimage(tmp_path / "a.mha", name="a")
