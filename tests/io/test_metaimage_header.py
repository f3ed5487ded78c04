"""A MetaImage header is whole, unambiguous and possible, or it is refused with the key and its value."""

from __future__ import annotations

import numpy as np
import pytest

from geometry.orders import ORDERS, stored_as, turned
from insula.errors import BadData
from insula.geometry import AxisMap, Grid
from insula.io.metaimage_header import Placement, parse_metaimage

_FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "True",
    "CompressedDataSize": "1234",
    "TransformMatrix": "0 1 0 1 0 0 0 0 -1",
    "Offset": "-10 20.5 3e1",
    "CenterOfRotation": "0 0 0",
    "AnatomicalOrientation": "RAI",
    "ElementSpacing": "0.5 1 2",
    "0010|0010": "DOE^JANE",
    "DimSize": "40 50 60",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}


def _header(ending: str = "\n", **changes: str | None) -> bytes:
    """The header with other values; None leaves a key out."""
    fields = {key: changes.pop(key, value) for key, value in _FIELDS.items()}
    last = fields.pop("ElementDataFile")
    fields |= {**changes, "ElementDataFile": last}
    return "".join(f"{key} = {value}{ending}" for key, value in fields.items() if value is not None).encode()


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_the_fields(ending: str) -> None:
    data = _header(ending)
    header = parse_metaimage(data + b"voxels\nElementDataFile = LOCAL\n")
    assert header.shape == (40, 50, 60)
    assert header.dtype == np.dtype("<i2")
    assert (header.offset, header.compressed, header.nbytes) == (len(data), 1234, 240_000)
    # i steps 0.5 mm to posterior, j 1 mm to the left, k 2 mm down
    expected = [[0, -1, 0, 10], [-0.5, 0, 0, -20.5], [0, 0, -2, 30], [0, 0, 0, 1]]
    assert np.array_equal(header.placement.affine(), expected)
    assert Grid(header.shape, header.placement.affine()).axcodes == "PLI"


def test_other_names_of_the_same_keys() -> None:
    other = _header(
        TransformMatrix=None,
        Offset=None,
        BinaryDataByteOrderMSB=None,
        Rotation=_FIELDS["TransformMatrix"],
        Position=_FIELDS["Offset"],
        ElementByteOrderMSB="True",
    )
    header = parse_metaimage(other)
    assert header.placement == parse_metaimage(_header()).placement
    assert header.dtype == np.dtype(">i2")


@pytest.mark.parametrize(
    ("changes", "compressed"),
    [
        ({}, 1234),
        ({"CompressedDataSize": None}, 0),
        ({"CompressedData": "False"}, None),
        ({"CompressedData": None}, None),
    ],
)
def test_compression(changes: dict[str, str | None], compressed: int | None) -> None:
    assert parse_metaimage(_header(**changes)).compressed == compressed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ObjectType": "Tube"}, "ObjectType 'Tube' is not Image"),
        ({"NDims": "4"}, "NDims '4' is not 3"),
        ({"BinaryData": "False"}, "BinaryData 'False' is not True"),
        ({"ElementDataFile": "scan.raw"}, "ElementDataFile 'scan.raw' is not LOCAL"),
        ({"HeaderSize": "348"}, "HeaderSize '348' is not 0"),
        ({"ElementNumberOfChannels": "3"}, "ElementNumberOfChannels '3' is not 1"),
        ({"ElementType": "MET_LONG"}, "ElementType 'MET_LONG' is not one of"),
        ({"ElementType": None}, "key ElementType is missing"),
        ({"TransformMatrix": None}, "key TransformMatrix is missing"),
        ({"Offset": None}, "key Offset is missing"),
        ({"ElementSpacing": None}, "key ElementSpacing is missing"),
        ({"Rotation": "1 0 0 0 1 0 0 0 1"}, "key TransformMatrix is given twice"),
        ({"DimSize": "40 50"}, "DimSize '40 50' is not 3 whole numbers"),
        ({"DimSize": "40 50 -60"}, "DimSize '40 50 -60' is not 3 whole numbers"),
        ({"DimSize": "40 50 0"}, "DimSize '40 50 0' is not 3 whole numbers"),
        ({"DimSize": "40 50 1"}, "is not a volume"),
        ({"DimSize": "4000 5000 6000"}, "223.5 GiB, over the limit"),
        ({"CompressedData": "perhaps"}, "CompressedData 'perhaps' is neither"),
        ({"CompressedDataSize": "0"}, "CompressedDataSize '0' is not 1 whole number above 0"),
        ({"ElementSpacing": "1 1 0"}, "ElementSpacing '1 1 0' is not above 0"),
        ({"ElementSpacing": "-1 1 1"}, "ElementSpacing '-1 1 1' is not above 0"),
        ({"ElementSpacing": "1 1 nan"}, "ElementSpacing '1 1 nan' is not 3 finite numbers"),
        ({"ElementSpacing": "1 1 500"}, "is not between 0.01 and 100 mm"),
        ({"Offset": "1 2 x"}, "Offset '1 2 x' is not 3 finite numbers"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 2"}, "length is not 1"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "is singular"),
        ({"TransformMatrix": "1 0 0 0.8 0.6 0 0 0 1"}, "is a shear"),
    ],
)
def test_what_is_missing_repeated_or_impossible_is_refused(changes: dict[str, str | None], words: str) -> None:
    with pytest.raises(BadData, match=words) as caught:
        parse_metaimage(_header(**changes))
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\0" * 400, b"", _header()[:-8], _header().replace(b"\n", b" ")])
def test_no_header_no_volume(data: bytes) -> None:
    with pytest.raises(BadData, match="has no MetaImage header"):
        parse_metaimage(data)


def test_a_volume_far_away_is_flagged() -> None:
    assert [flag.code for flag in parse_metaimage(_header(Offset="90000 0 0")).flags] == ["origin-far"]


@pytest.mark.parametrize("degrees", [0, 17])
@pytest.mark.parametrize("axes", ORDERS, ids=str)
def test_placement_there_and_back_is_the_identity(axes: AxisMap, degrees: float) -> None:
    grid = turned(Grid((5, 6, 7), [[0.9, 0, 0, -31], [0, 1.1, 0, 17], [0, 0, 2.5, 4], [0, 0, 0, 1]]), degrees)
    _, stored = stored_as(np.zeros(grid.shape), grid, axes)
    placement = Placement.of(stored)
    assert np.allclose(placement.affine(), stored.affine, atol=1e-12)
    again = Placement.of(Grid(stored.shape, placement.affine()))
    assert np.allclose(again.direction, placement.direction, atol=1e-12)
    assert again.origin_mm == placement.origin_mm
