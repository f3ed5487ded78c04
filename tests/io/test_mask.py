"""Masks are read in every form that tools store them in, and refused where the form leaves a doubt."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from corpus.files import GRID, nifti
from insula.errors import BadData, NoInput
from insula.io import SeveralLabels, read_mask

_PLACE = (slice(2, 5), slice(3, 6), slice(1, 4))
_OTHER = (slice(7, 9), slice(3, 6), slice(1, 4))


def _saved(folder: Path, value: float, *, other: float | None = None, background: float = 0.0) -> Path:
    """A mask with a value in one place and, perhaps, with another in a second place."""
    values = np.full(GRID.shape, background, np.float32)
    values[_PLACE] = value
    if other is not None:
        values[_OTHER] = other
    path = folder / "m.nii"
    path.write_bytes(nifti(values))
    return path


def _marked(*places: tuple[slice, ...]) -> np.ndarray:
    voxels = np.zeros(GRID.shape, bool)
    for place in places:
        voxels[place] = True
    return voxels


@pytest.mark.parametrize(
    ("value", "code"),
    [(1.0, None), (0.99999998, None), (1.0005, None), (255.0, "mask-scaled"), (7.0, "mask-scaled")],
)
def test_one_value_is_the_lesion(value: float, code: str | None, tmp_path: Path) -> None:
    mask = read_mask(_saved(tmp_path, value))
    assert np.array_equal(mask.voxels, _marked(_PLACE))
    assert [flag.code for flag in mask.flags] == ([] if code is None else [code])
    assert mask.grid == GRID


def test_an_empty_mask_is_a_mask(tmp_path: Path) -> None:
    for label in (None, 3):
        mask = read_mask(_saved(tmp_path, 0.0), label=label)
        assert not mask.voxels.any()
        assert mask.flags == ()


def test_probabilities_are_thresholded_at_a_half(tmp_path: Path) -> None:
    mask = read_mask(_saved(tmp_path, 0.51, other=0.5))
    assert np.array_equal(mask.voxels, _marked(_PLACE))
    (flag,) = mask.flags
    assert flag.code == "mask-probabilities"
    assert "holds 3 values" in flag.text


@pytest.mark.parametrize("label", [None, 255])
def test_labels_a_fiftieth_apart_are_one_label(label: int | None, tmp_path: Path) -> None:
    mask = read_mask(_saved(tmp_path, 255.0, other=250.0), label=label)
    assert np.array_equal(mask.voxels, _marked(_PLACE, _OTHER))
    assert [(flag.code, "250 and 255" in flag.text) for flag in mask.flags] == [("mask-near-level", True)]


def test_of_several_labels_one_has_to_be_chosen(tmp_path: Path) -> None:
    path = _saved(tmp_path, 1.0, other=2.0)
    with pytest.raises(SeveralLabels, match=r"with labels \[1, 2\] has more than one label; choose"):
        read_mask(path)
    for label, place in ((1, _PLACE), (2, _OTHER)):
        mask = read_mask(path, label=label)
        assert np.array_equal(mask.voxels, _marked(place))
        assert mask.flags == ()
    with pytest.raises(BadData, match="with values up to 2 has no label 3"):
        read_mask(path, label=3)
    with pytest.raises(SeveralLabels):
        read_mask(_saved(tmp_path, 255.0, other=249.0))  # more than a fiftieth apart


@pytest.mark.parametrize(
    ("value", "background", "rule"),
    [
        (1.0, -0.5, "with the value -0.5 has negative values"),
        (1.7, 0.0, "with values up to 1.7 is neither labels nor probabilities"),
        (np.nan, 0.0, "holds NaN or infinite voxels"),
        (np.inf, 0.0, "holds NaN or infinite voxels"),
    ],
)
def test_what_is_no_mask_is_refused(value: float, background: float, rule: str, tmp_path: Path) -> None:
    with pytest.raises(BadData, match=rule):
        read_mask(_saved(tmp_path, value, background=background))


def test_a_mask_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match=r"m\.nii"):
        read_mask(tmp_path / "m.nii")


def test_two_volumes_are_no_mask_and_nobody_is_asked_for_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "two_mask.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6, 2), np.uint8), np.eye(4)), path)
    with pytest.raises(BadData, match=r"of 2 frames is not one volume; save one 3-D volume") as caught:
        read_mask(path)
    assert "frame=" not in str(caught.value)
