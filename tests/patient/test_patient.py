"""The patient's scan that is shipped: small, unharmed, with its source; and the script that makes it."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest

from insula.io import read_scan
from insula.prepare import find_head

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "src" / "insula" / "patient"
_SCAN = _FOLDER / "sub-M2017_T1w.nii.gz"
_TEXT = (_FOLDER / "sub-M2017_T1w.txt").read_text(encoding="utf-8")
_ORIGINAL_AFFINE = np.array(
    [
        [0.9957351684570312, 0.06621316075325012, 0.06422940641641617, -88.27885437011719],
        [-0.06607577949762344, 0.9978054761886597, -0.004262185655534267, -102.64140319824219],
        [-0.06437060981988907, 2.9669422474398743e-10, 0.9979260563850403, -129.20269775390625],
        [0, 0, 0, 1],
    ]
)


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pack_patient", _ROOT / "studies" / "pack_patient.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _original(*, air: int = 10) -> nib.Nifti1Image:
    """A bright block in air, oblique, with the header's free fields in use."""
    image = np.zeros((40, 36, 30), np.int16)
    image[air:-air, air:-air, air:] = np.random.default_rng(0).integers(1, 684, (40 - 2 * air, 36 - 2 * air, 30 - air))
    original = nib.Nifti1Image(image, _ORIGINAL_AFFINE)
    original.header.set_sform(_ORIGINAL_AFFINE, code=1)
    original.header.set_qform(_ORIGINAL_AFFINE, code=1)
    original.header["descrip"] = b"2023-07-12T15:42:32"
    original.header["db_name"] = b"someone"
    return original


def test_it_is_small_and_read_without_a_flag() -> None:
    assert _SCAN.stat().st_size <= 3_000_000
    scan = read_scan(_SCAN)
    assert scan.flags == ()
    assert scan.name == "sub-M2017_T1w"
    assert scan.file is not None
    assert scan.file.spaces is not None
    assert (scan.file.spaces.sform_code, scan.file.spaces.qform_code) == (1, 1)


def test_it_lies_on_the_originals_lattice() -> None:
    """A whole number of voxels from the original's first, within a ten-thousandth of a voxel."""
    scan = read_scan(_SCAN)
    assert scan.grid.shape == (156, 208, 168)
    assert scan.grid.axcodes == "RAS"
    assert scan.grid.spacing_mm == pytest.approx((1, 1, 1), abs=1e-4)
    assert np.linalg.det(scan.grid.affine[:3, :3]) > 0.99
    there = np.linalg.inv(_ORIGINAL_AFFINE) @ scan.grid.affine
    expected = np.eye(4)
    expected[:3, 3] = (0, 24, 52)
    assert np.abs(there - expected).max() < 1e-4


def test_the_head_is_whole_with_air_around_it_and_255_levels() -> None:
    scan = read_scan(_SCAN)
    for axis in range(3):
        for face in (0, -1):
            assert not np.take(scan.image, face, axis=axis).any()
    assert find_head(scan.image, scan.grid.spacing_mm).flags == ()
    assert int((scan.image > 0).sum()) == 2_524_869  # as many as in the original: the rounding took none to 0
    assert scan.image.max() == pytest.approx(683, abs=0.01)
    assert len(np.unique(scan.image)) <= 256


def test_the_text_beside_it_says_where_it_is_from_and_what_was_changed() -> None:
    for part in ("ds004884", "CC0 1.0", "Gibson M", "10.1038/s41597-024-03819-7", "134.5 ml", "cropped", "rounded"):
        assert part in _TEXT
    assert hashlib.sha256(gzip.decompress(_SCAN.read_bytes())).hexdigest() in _TEXT


def test_its_header_keeps_nothing_that_names_a_time_or_a_person() -> None:
    header = nib.load(_SCAN).header
    assert bytes(header["descrip"]).rstrip(b"\0") == b"ARC sub-M2017, cropped, 255 levels, CC0 1.0"
    assert not any(bytes(header[field]).strip(b"\0") for field in ("db_name", "aux_file", "intent_name"))
    assert list(header.extensions) == []


def test_git_and_so_the_wheel_take_it() -> None:
    """The wheel leaves out what git ignores, and images are ignored: the exception has to come after the rule."""
    rules = (_ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert rules.index("!src/insula/patient/*.nii.gz") > rules.index("*.nii.gz")


def test_packing_keeps_places_and_values(script: ModuleType) -> None:
    original = _original()
    packed = nib.Nifti1Image.from_bytes(gzip.decompress(script.pack(original)))
    assert packed.get_data_dtype() == np.uint8
    box = script.head_box(np.asarray(original.dataobj))
    assert box == (slice(4, 36), slice(4, 32), slice(4, 30))  # 4 voxels of air at least; whole fours; within the image
    values, kept = np.asarray(original.dataobj), packed.get_fdata()
    assert np.abs(kept - values[box]).max() <= float(packed.dataobj.slope) / 2 + 1e-3
    assert packed.affine @ [1, 2, 3, 1] == pytest.approx(original.affine @ [5, 6, 7, 1], abs=1e-4)
    assert (int(packed.header["sform_code"]), int(packed.header["qform_code"])) == (1, 1)
    assert b"someone" not in packed.to_bytes()


def test_packing_gives_the_same_bytes_again(script: ModuleType) -> None:
    first = script.pack(_original())
    assert script.pack(_original()) == first
    assert first[4:8] == bytes(4)  # no time in the gzip header


def test_a_head_that_fills_the_image_is_not_cropped(script: ModuleType) -> None:
    assert script.head_box(np.ones((9, 10, 11))) == (slice(0, 9), slice(0, 10), slice(0, 11))
