"""The page's editor in every axis order: a ball painted at a place in the world is there, and nothing else changes."""

from __future__ import annotations

import gzip
import itertools
import json
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from serve.painting import ENVIRONMENT, MISSING, WEB

_SPACING_MM = (3.0, 4.0, 5.0)
_SHAPE = (26, 22, 18)
_PLACE = np.array([17.3, 7.4, 11.2])
"""Where the ball is painted [voxels], far from the planes in which a mirrored volume would look the same."""
_BRIGHT_MM, _LESION_MM = 8.0, 9.0
_LESION_AWAY_MM = np.array([-9.0, 9.0, -9.0])
_ROUNDING_MM = 0.01
_DTYPES = ("u1", "<i2", ">f4", ">i2")

_ENDS = ("LR", "PA", "IS")
_ORDERS = [
    "".join(_ENDS[axis][end] for axis, end in zip(axes, ends, strict=True))
    for axes in itertools.permutations(range(3))
    for ends in itertools.product((0, 1), repeat=3)
]
_OBLIQUE = [("RAS", 17), ("LPS", -12), ("PIR", 20), ("ASL", -25), ("SAL", 8), ("IRP", 31)]
"""Orders before the volume is turned about two axes by so many degrees."""


@pytest.mark.skipif(MISSING, reason="chromium or the page's packages are not installed")
def test_a_ball_is_painted_at_its_place_in_every_axis_order(tmp_path: Path) -> None:
    assert len(set(_ORDERS)) == 48
    cases = {order: (order, 0.0, False) for order in _ORDERS}
    for number, (order, degrees) in enumerate(_OBLIQUE):
        cases[f"{order}{degrees:+d}"] = (order, degrees, number % 2 == 1)
    for number, (name, (order, degrees, only_qform)) in enumerate(cases.items()):
        _write(tmp_path / "cases" / name, order, degrees, only_qform=only_qform, dtype=_DTYPES[number % len(_DTYPES)])

    command = ["node", str(WEB / "test" / "orders.mjs"), str(tmp_path / "cases"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["painted"] == len(cases)

    for name, (_, degrees, _) in cases.items():
        before = (tmp_path / "cases" / name / "mask.nii").read_bytes()
        after = gzip.decompress((tmp_path / "out" / f"{name}.nii.gz").read_bytes())
        _check(before, after, place_mm=_place_mm(degrees), radius_mm=told["radius_mm"])


def _affine(degrees: float) -> NDArray[np.float64]:
    """Returns that of the volume whose axes are R, A, S before it is turned."""
    angle = np.radians(degrees)
    turn = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(z=-angle, x=angle))
    return turn @ nibabel.affines.from_matvec(np.diag(_SPACING_MM), (-41.5, -38.0, -52.5))


def _place_mm(degrees: float) -> NDArray[np.float64]:
    return nibabel.affines.apply_affine(_affine(degrees), _PLACE)


def _away_mm(affine: NDArray[np.float64], shape: tuple[int, ...], place_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the distance of each voxel's centre to a place."""
    centres = nibabel.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    return np.linalg.norm(centres - place_mm, axis=-1)


def _write(folder: Path, order: str, degrees: float, *, only_qform: bool, dtype: str) -> None:
    """Write a scan that is bright at the place, a mask with a lesion beside it, a probability map and a record."""
    folder.mkdir(parents=True)
    affine, place = _affine(degrees), _place_mm(degrees)
    lesion = _away_mm(affine, _SHAPE, place + _LESION_AWAY_MM) <= _LESION_MM
    scan = np.where(_away_mm(affine, _SHAPE, place) <= _BRIGHT_MM, 1000, 100).astype(np.int16)
    volumes = {"scan": scan, "mask": lesion.astype(dtype), "prob": np.zeros(_SHAPE, np.float32)}
    for name, voxels in volumes.items():
        header = nibabel.Nifti1Header(endianness=">" if dtype[0] == ">" and name == "mask" else "<")
        image = nibabel.Nifti1Image(voxels, affine, header, dtype=voxels.dtype)
        image = image.as_reoriented(
            nibabel.orientations.ornt_transform(
                nibabel.orientations.axcodes2ornt(("R", "A", "S")), nibabel.orientations.axcodes2ornt(tuple(order))
            )
        )
        placement = image.affine.copy()
        image.set_sform(placement, 0 if only_qform else 1)
        image.set_qform(placement, 1 if only_qform else 0)
        image.header["descrip"] = b"kept as it is"
        image.header["cal_max"] = 1000 if name == "scan" else 0
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"kept as well"))
        nibabel.save(image, folder / f"{name}.nii")
    volume_ml = float(lesion.sum()) * float(np.prod(_SPACING_MM)) / 1000
    (folder / "record.json").write_text(json.dumps(_record(place.tolist(), volume_ml)))


def _record(place_mm: list[float], volume_ml: float) -> dict[str, object]:
    """Returns what the page reads of a record."""
    lesion = {"number": 1, "volume_ml": volume_ml, "centre_mm": place_mm, "extent_mm": [1, 1, 1]}
    return {
        "volume_ml": volume_ml,
        "lesion_count": 1,
        "lesions": [{**lesion, "mean_probability": 0.9, "confidence": None}],
        "confidence": {},
        "flags": [],
        "threshold": 0.5,
        "scan": {"shape": _SHAPE, "spacing_mm": _SPACING_MM},
        "provenance": {"weights": {"name": "none"}, "inference": {}},
    }


def _check(before: bytes, after: bytes, *, place_mm: NDArray[np.float64], radius_mm: float) -> None:
    """All bytes but those of changed voxels are the same, and the changed voxels are those in the ball."""
    old, new = (nibabel.Nifti1Image.from_bytes(data) for data in (before, after))
    start = old.dataobj.offset
    assert start > 352
    assert before[:start] == after[:start]
    assert len(before) == len(after)
    np.testing.assert_array_equal(old.affine, new.affine)

    was, now = (np.asarray(image.dataobj) for image in (old, new))
    away = _away_mm(new.affine, was.shape, place_mm)
    clear = np.abs(away - radius_mm) > _ROUNDING_MM
    assert clear.mean() > 0.99
    ball = away <= radius_mm
    assert (ball & (was == 0)).sum() > 50
    assert (ball & (was == 1)).sum() > 3
    np.testing.assert_array_equal(now[clear], np.where(ball, 1, was)[clear])
