"""Which series cannot be the T1w scan, and what counts for or against one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    MRSpectroscopyStorage,
)

from insula.io.dicom.evidence import evidence, has_agent, names_agent, unfit
from insula.io.dicom.slices import Slice, slices_of
from io_series import header

_BLANK = {"SeriesDescription": "", "ProtocolName": "", "EchoTime": "", "RepetitionTime": "", "InversionTime": ""}


def _slice(**changes: Any) -> Slice:
    """A slice about which nothing is known except that it is an original MR image."""
    (plain,) = slices_of(Path("IM1"), header(0, Rows=24, Columns=20, **_BLANK))
    return replace(plain, **changes)


def _unfit(by_number: bool = False, count: int = 20, **changes: Any) -> str:
    return unfit([_slice(**changes)] * count, by_number=by_number)


def _points(**changes: Any) -> list[int]:
    return [points for points, _ in evidence(_slice(**changes))]


_TYPES = {
    "a localiser or projection": "LOCALIZER, LOCALISER, SCOUT, PROJECTION IMAGE, MIP, MINIP, MAX_IP, MIN_IP",
    "a subtraction": "SUBTRACT, SUBTRACTION, SUB",
    "a map": "T1 MAP, T1_MAP, R1, T2 MAP, T2_MAP, T2_STAR, R2, R2_STAR, B0 MAP, B1, B1 MAP, FIELD_MAP, VELOCITY MAP",
    "a diffusion image": "ADC, FA, TRACEW, DIFFUSION, EXP, TENSOR, TENSOR_B0",
    "a perfusion or functional image": "PERFUSION, CBF, CBV, MTT, TTP, ASL, FMRI, MOCO",
}


@pytest.mark.parametrize(
    ("what", "word"), [(what, word) for what, words in _TYPES.items() for word in words.split(", ")]
)
def test_image_types_that_exclude_a_series(what: str, word: str) -> None:
    assert _unfit(kind=("ORIGINAL", "PRIMARY", "M", word)) == what
    assert _unfit(kind=("ORIGINAL", "PRIMARY", f"{word} 2")) == ""
    only_a_localiser_stays_out = what if what.startswith("a localiser") else ""
    assert _unfit(True, kind=("ORIGINAL", "PRIMARY", "M", word)) == only_a_localiser_stays_out


def test_a_localiser_may_say_so_in_its_second_value_and_others_may_not() -> None:
    assert _unfit(kind=("ORIGINAL", "LOCALIZER")) == "a localiser or projection"
    assert _unfit(kind=("ORIGINAL", "MIP")) == ""
    one_of_many = [*[_slice()] * 20, _slice(kind=("ORIGINAL", "PRIMARY", "MIP"))]
    assert unfit(one_of_many, by_number=False) == "a localiser or projection"


@pytest.mark.parametrize("name", ["T1", "T2"])
def test_a_derived_t1_or_t2_is_a_map_and_an_original_one_is_not(name: str) -> None:
    assert _unfit(kind=("DERIVED", "PRIMARY", name)) == "a map"
    assert _unfit(kind=("ORIGINAL", "PRIMARY", name)) == ""
    assert _unfit(True, kind=("DERIVED", "PRIMARY", name)) == ""
    assert _unfit(kind=("DERIVED", "PRIMARY", "M"), words="mprage") == ""


@pytest.mark.parametrize("kind", [MRImageStorage, EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage])
def test_every_class_of_mr_image_is_fit(kind: str) -> None:
    assert _unfit(sop_class=kind) == ""


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"modality": "CT", "sop_class": CTImageStorage}, "CT, not MR"),
        ({"modality": ""}, "no modality, not MR"),
        ({"sop_class": MRSpectroscopyStorage}, "not an MR image"),
        ({"part": "phase"}, "a phase image"),
        ({"part": "real"}, "a real image"),
        ({"part": "imaginary"}, "an imaginary image"),
    ],
)
def test_what_no_number_makes_fit(changes: dict[str, Any], why: str) -> None:
    assert _unfit(**changes) == _unfit(True, **changes) == why


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"b_value": 1000.0}, "a diffusion image"),
        ({"words": "t1 map"}, "a map"),
        ({"words": "gre field mapping"}, "a map"),
        ({"words": "mp2rage inv1"}, "one inversion of an MP2RAGE"),
        ({"kind": ("DERIVED", "SECONDARY", "M")}, "derived from other images"),
        ({"count": 19}, "only 19 images"),
    ],
)
def test_what_is_unfit_unless_its_number_was_given(changes: dict[str, Any], why: str) -> None:
    assert _unfit(**changes) == why
    assert _unfit(True, **changes) == ""


def test_the_uniform_image_of_an_mp2rage_is_fit() -> None:
    assert _unfit(words="mp2rage inv1 uni images") == ""
    assert _unfit(words="mp2rage inv1", kind=("DERIVED", "PRIMARY", "M", "UNI")) == ""
    assert _unfit(words="uni", kind=("DERIVED", "PRIMARY", "M")) == ""


@pytest.mark.parametrize(
    ("changes", "points"),
    [
        ({}, []),
        ({"acquired_for": "T1"}, [4]),
        ({"acquired_for": "T2"}, [-4]),
        ({"acquired_for": "UNKNOWN"}, []),
        ({"acquired_for": "MIXED"}, []),
        ({"words": "uni"}, [3]),
        ({"kind": ("DERIVED", "PRIMARY", "M", "UNI")}, [3]),
        ({"kind": ("DERIVED", "PRIMARY", "M")}, [-1]),
        ({"words": "rms"}, [1]),
        ({"sequence": ("EP",)}, [-3]),
        ({"words": "t1"}, [2]),
        ({"words": "mprage"}, [2]),
        ({"words": "t2"}, [-3]),
        ({"words": "flair"}, [-3]),
        ({"words": "t1 flair"}, [2, -3]),
        # timings [ms]
        ({"echo_ms": 60.0}, []),
        ({"echo_ms": 60.1}, [-3]),
        ({"echo_ms": 15.0, "repetition_ms": 900.0}, [1]),
        ({"echo_ms": 15.0, "repetition_ms": 900.1}, []),
        ({"echo_ms": 15.1, "repetition_ms": 900.0}, []),
        ({"echo_ms": 15.0, "inversion_ms": 500.0}, [1]),
        ({"echo_ms": 15.0, "inversion_ms": 499.9}, []),
        ({"echo_ms": 15.0, "inversion_ms": 1500.0}, [1]),
        ({"echo_ms": 15.0, "inversion_ms": 1500.1}, []),
        ({"echo_ms": 15.0}, []),
        ({"inversion_ms": 900.0, "repetition_ms": 500.0}, []),
        ({"inversion_ms": 1600.0}, []),
        ({"inversion_ms": 1600.1}, [-2]),
        ({"inversion_ms": 2500.0, "words": "uni"}, [3]),
    ],
    ids=str,
)
def test_points(changes: dict[str, Any], points: list[int]) -> None:
    assert _points(**changes) == points


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("t1 post", True),
        ("t1 ce", True),
        ("t1 +c", True),
        ("t1 mit km", True),
        ("t1 gad", True),
        ("t1", False),
        ("t1 pre contrast", False),
        ("t1 w o gd", False),
        ("t1 ohne km", False),
        ("t1 nativ", False),
        ("", False),
    ],
)
def test_whether_a_name_indicates_an_agent(words: str, given: bool) -> None:
    assert names_agent(words) is given
    assert has_agent(_slice(words=words)) is given
    assert has_agent(_slice(words=words, contrast=True))
