"""A series is separated into volumes by the fewest attributes that suffice."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from insula.io.dicom import read_dicom
from insula.io.dicom.slices import Slice, slices_of
from insula.io.dicom.volumes import Volume, volumes_of
from io_series import header, sample, write_series

_ACROSS = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def _stack(count: int = 10, name: str = "", **changes: Any) -> list[Slice]:
    """Slices 3 mm apart; `name` makes their UIDs differ from those of another stack."""
    plain = [slices_of(Path(f"IM{n}"), header(n, Rows=24, Columns=20))[0] for n in range(count)]
    return [replace(slice_, uid=slice_.uid + name, **changes) for slice_ in plain]


def _described(volumes: list[Volume]) -> list[tuple[str, int]]:
    return [(volume.label, len(volume.slices)) for volume in volumes]


def test_one_stack_is_one_volume_whatever_else_differs() -> None:
    slices = [replace(slice_, acquisition=n, echo_ms=float(n)) for n, slice_ in enumerate(_stack())]
    (volume,) = volumes_of(slices)
    assert volume == Volume(tuple(slices))


_PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "part 1": ({"part": "magnitude"}, {"part": "phase"}),
    "echo 1": ({"echo_ms": 1.7}, {"echo_ms": 3.6}),
    "time point 1": ({"time": ("", "1")}, {"time": ("", "2")}),
    "acquisition 1": ({"acquisition": 1}, {"acquisition": 2}),
    "inversion 1": ({"inversion_ms": 700.0, "number": 1}, {"inversion_ms": 2500.0, "number": 2}),
    "image type 1": ({"kind": ("A",), "number": 1}, {"kind": ("B",), "number": 2}),
}


@pytest.mark.parametrize("label", _PAIRS)
@pytest.mark.parametrize("swapped", [False, True])
def test_two_stacks_in_one_place_are_separated_by_what_differs(label: str, swapped: bool) -> None:
    first, second = (_stack(name=f".{n}", **values) for n, values in enumerate(_PAIRS[label]))
    volumes = volumes_of([*second, *first] if swapped else [*first, *second])
    assert _described(volumes) == [(label, 10), (label.replace("1", "2"), 10)]
    assert volumes[0].slices == tuple(first)
    assert volumes[1].slices == tuple(second)


def test_several_attributes_separate_what_one_does_not() -> None:
    parts = [
        _stack(name=f".{n}", part=part, echo_ms=echo)
        for n, (part, echo) in enumerate([("magnitude", 1.7), ("magnitude", 3.6), ("phase", 1.7), ("phase", 3.6)])
    ]
    volumes = volumes_of([slice_ for part in reversed(parts) for slice_ in part])
    assert [volume.slices for volume in volumes] == [tuple(part) for part in parts]
    assert [volume.label for volume in volumes] == ["echo 1", "echo 2", "echo 3", "echo 4"]


def test_an_attribute_of_every_slice_does_not_take_a_volume_apart() -> None:
    stacks = [
        [replace(slice_, echo_ms=float(n)) for n, slice_ in enumerate(_stack(name=name, time=("", name)))]
        for name in ("1", "2")
    ]
    volumes = volumes_of([*stacks[1], *stacks[0]])
    assert [(volume.label, volume.slices) for volume in volumes] == [
        ("time point 1", tuple(stacks[0])),
        ("time point 2", tuple(stacks[1])),
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([{"acquisition": None, "number": 8}], [{"acquisition": 1, "number": 2}]),
        ([{"kind": ("B",), "number": None}], [{"kind": ("A",), "number": 1}]),
        ([{"kind": ("B",), "number": 9}, {"kind": ("B",), "number": 1}], [{"kind": ("A",), "number": 2}] * 2),
    ],
    ids=["acquisition", "no image number", "least image number"],
)
def test_the_first_volume(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    stacks = [
        [replace(slice_, **values) for slice_, values in zip(_stack(len(of)), of, strict=True)]
        for of in (first, second)
    ]
    stacks[1] = [replace(slice_, uid=slice_.uid + ".1") for slice_ in stacks[1]]
    assert [volume.slices for volume in volumes_of([*stacks[1], *stacks[0]])] == [tuple(stack) for stack in stacks]


def test_stacks_that_nothing_separates_stay_together() -> None:
    slices = [*_stack(), *_stack(name=".1")]
    assert volumes_of(slices) == [Volume(tuple(slices))]


def test_copies_of_an_image_are_no_second_volume() -> None:
    slices = [*_stack(), *(replace(slice_, path=Path("copy"), echo_ms=9.0) for slice_ in _stack())]
    assert _described(volumes_of(slices)) == [("", 20)]


@pytest.mark.parametrize(("distance_mm", "count"), [(0.0, 2), (0.0099, 2), (0.0101, 1)])
def test_slices_that_lie_within_a_hundredth_of_a_millimetre_share_a_place(distance_mm: float, count: int) -> None:
    first, second = _stack(2, echo_ms=1.0)[0], _stack(2, ".1", echo_ms=2.0)[0]
    assert first.position is not None
    second = replace(second, position=(first.position[0] + distance_mm, *first.position[1:]))
    assert len(volumes_of([first, second])) == count


@pytest.mark.parametrize(("planning", "strays"), [(1, 1), (2, 0)])
def test_a_tenth_of_the_images_may_lie_in_another_direction(planning: int, strays: int) -> None:
    (volume,) = volumes_of([*_stack(planning, ".1", axes=_ACROSS), *_stack(10)[planning:]])
    assert volume.strays == strays
    assert len(volume.slices) == 10 - strays


def test_strays_are_counted_for_each_volume_of_the_series() -> None:
    stray = _stack(1, ".2", axes=_ACROSS)
    volumes = volumes_of([*_stack(echo_ms=1.0), *stray, *_stack(name=".1", echo_ms=2.0)])
    assert [(volume.label, len(volume.slices), volume.strays) for volume in volumes] == [
        ("echo 1", 10, 1),
        ("echo 2", 10, 1),
    ]
    inseparable = volumes_of([*_stack(), *stray, *_stack(name=".1")])
    assert [(len(volume.slices), volume.strays) for volume in inseparable] == [(20, 1)]


@pytest.mark.parametrize(("turn", "strays"), [(0.001, 0), (0.0011, 1)])
def test_rounded_directions_are_one_direction(turn: float, strays: int) -> None:
    turned = replace(_stack(1, ".1")[0], axes=(1.0, turn, 0.0, 0.0, 1.0, 0.0))
    (volume,) = volumes_of([*_stack(11)[1:], turned])
    assert volume.strays == strays


def test_images_without_a_direction_or_a_place_stay_with_their_series() -> None:
    (volume,) = volumes_of(_stack(axes=None, position=None))
    assert (len(volume.slices), volume.strays) == (10, 0)
    (volume,) = volumes_of([*_stack(11)[1:], replace(_stack(1, ".1")[0], axes=None)])
    assert (len(volume.slices), volume.strays) == (10, 1)


_VOLUMES = {
    "phase": ({}, {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"]}),
    "real": ({}, {"ImageType": ["ORIGINAL", "PRIMARY", "R_FFE", "R", "FFE"]}),
    "twice": ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}),
    "echoes": ({"EchoTime": 1.7, "EchoNumbers": 1}, {"EchoTime": 3.6, "EchoNumbers": 2}),
    "echoes without a number": ({"EchoTime": 1.7}, {"EchoTime": 3.6}),
    "moments": ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}),
    "phase of a later echo": ({"EchoTime": 1.7}, {"EchoTime": 3.6, "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}),
}


@pytest.mark.parametrize("kind", _VOLUMES)
@pytest.mark.parametrize("swapped", [False, True])
def test_volumes_of_one_series_are_told_apart_and_the_first_magnitude_is_taken(
    kind: str, swapped: bool, tmp_path: Path
) -> None:
    order = (1, 0) if swapped else (0, 1)
    for place, which in enumerate(order):

        def numbered(data: Dataset, number: int, place: int = place, which: int = which) -> Dataset:
            data.InstanceNumber = 100 * place + number + 1
            data.SOPInstanceUID = generate_uid(entropy_srcs=[f"{which} {number}"])
            data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
            return data

        write_series(tmp_path / str(which), sample(which + 1), change=numbered, **_VOLUMES[kind][which])
    assert np.array_equal(read_dicom(tmp_path).scan.image, sample(1))
    (text,) = (flag.text for flag in read_dicom(tmp_path).scan.flags if flag.code == "series-chosen")
    assert re.match(r"Series 3 \(22 images, [a-z ]+ 1\) was taken", text)
    assert np.array_equal(read_dicom(tmp_path, series=3).scan.image, sample(1))
