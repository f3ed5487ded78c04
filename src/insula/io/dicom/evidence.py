"""Evidence in a series' header: why it cannot be the T1w scan, and what speaks for or against it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from insula.io.dicom.slices import Slice

__all__ = ["MR_IMAGES", "evidence", "has_agent", "names_agent", "unfit"]

MR_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.4.1",  # enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.4",  # legacy converted enhanced MR
}
_TYPES = (
    (
        {"LOCALIZER", "LOCALISER", "SCOUT", "PROJECTION IMAGE", "MIP", "MINIP", "MAX_IP", "MIN_IP"},
        "a localiser or projection",
    ),
    ({"SUBTRACT", "SUBTRACTION", "SUB"}, "a subtraction"),
    (
        {
            "T1 MAP",
            "T1_MAP",
            "R1",
            "T2 MAP",
            "T2_MAP",
            "T2_STAR",
            "R2",
            "R2_STAR",
            "B0 MAP",
            "B1",
            "B1 MAP",
            "FIELD_MAP",
            "VELOCITY MAP",
        },
        "a map",
    ),
    ({"ADC", "FA", "TRACEW", "DIFFUSION", "EXP", "TENSOR", "TENSOR_B0"}, "a diffusion image"),
    ({"PERFUSION", "CBF", "CBV", "MTT", "TTP", "ASL", "FMRI", "MOCO"}, "a perfusion or functional image"),
)
"""ImageType values that exclude a series, with the reason."""
_DERIVED_MAPS = {"T1", "T2"}  # only in derived images; elsewhere they may name the contrast
_MAP_WORDS = re.compile(
    r"\bt1 ?map|\bt2 ?map|\b[rb][012] ?map|\bt1 images\b|\badc\b|\bfa\b|\btracew|\bfield ?map|\bgre field|\bb1\b"
)
_INVERSION_WORDS = re.compile(r"\binv ?[12]\b")
_UNIFORM_WORDS = re.compile(r"\buni\b|\bunit1\b|\buni ?den\b|\buniform\b")
_COMBINED_WORDS = re.compile(r"\brms\b|\bcombined\b")
_T1_WORDS = re.compile(r"t1|mp ?rage|mp2rage|spgr|bravo|\btfe|tfl3d|\bflash|\bvibe|\bmdeft|\bfspgr|\bmprg")
_OTHER_WORDS = re.compile(
    r"t2|flair|\bdark ?fluid|\bdwi|\bdiff|\bdti|\bep2d|\bepi\b|\bswi\b|\bswan\b|\btof\b|\bangio|\bmra\b|\bmrv\b|"
    r"\bperf|\basl\b|bold|fmri|"
    r"\bpd\b|\bscout|\bloc(al\w*)?\b|survey|3.?pl\b|\bphase\b|\bstir\b|\bciss\b|\bfiesta\b|\bdir\b"
)
_BEFORE_AGENT = re.compile(
    r"\b(pre|without|w o|wo|non|no|ohne|sans|sin|before|vor|nativ\w*|native)( iv)? ?"
    r"(contrast\w*|gad\w*|gd|ce|km|iv|c)\b|\bpre\b|\bnativ\w*\b"
)
_AGENT_WORDS = re.compile(
    r"\bpost\b|\bpost ?(contrast|gad\w*|gd|c|km)\b|\bgad\w*|\bgd\b|\+ ?(c|gd|km|gad\w*)\b|\bc\+|\bce\b|\bkm\b|"
    r"\bcontrast\w*|\bkontrast\w*|"
    r"\bdotarem|\bmagnevist|\bprohance|\bmultihance|\bt1 ?c\b|\bt1ce\b|\bmit km\b|\bnach km\b"
)
_LEAST_SLICES = 20
_SHORT_ECHO_MS, _LONG_ECHO_MS = 15.0, 60.0
_SHORT_REPETITION_MS = 900.0
_INVERSION_MS = (500.0, 1500.0)
_CSF_NULL_MS = 1600.0


def unfit(slices: Sequence[Slice], *, by_number: bool) -> str:
    """Return why a volume cannot be the scan, judged by its attributes and then by its name; empty if it can be.

    Args:
        slices: the volume's slices.
        by_number: whether the series was chosen by its number; its name and number of images are then ignored.
    """
    first = slices[0]
    if first.modality != "MR":
        return f"{first.modality[:8] or 'no modality'}, not MR"
    if first.sop_class not in MR_IMAGES:
        return "not an MR image"
    kinds = {word for slice_ in slices for word in slice_.kind[2:]} | {
        word for word in first.kind if word == "LOCALIZER"
    }
    for values, what in _TYPES:
        if kinds & values and (not by_number or what == "a localiser or projection"):
            return what
    if "DERIVED" in first.kind and kinds & _DERIVED_MAPS and not by_number:
        return "a map"
    if first.part != "magnitude":
        return f"{'an' if first.part == 'imaginary' else 'a'} {first.part} image"
    if by_number:
        return ""
    if any(slice_.b_value for slice_ in slices):
        return "a diffusion image"
    if _MAP_WORDS.search(first.words):
        return "a map"
    if _INVERSION_WORDS.search(first.words) and not _is_uniform(first):
        return "one inversion of an MP2RAGE"
    if "DERIVED" in first.kind and not any(points > 0 for points, _ in evidence(first)):
        return "derived from other images"
    return f"only {len(slices)} images" if len(slices) < _LEAST_SLICES else ""


def evidence(slice_: Slice) -> list[tuple[int, str]]:
    """Return (points, reason) for (above 0) and against (below 0) T1w weighting, attributes before words."""
    return [(points, why) for points, why in _reasons(slice_) if points]


def _reasons(slice_: Slice) -> Iterator[tuple[int, str]]:
    contrast = slice_.acquired_for
    if contrast == "T1":
        yield 4, "its header names T1 as the contrast"
    elif contrast not in ("", "UNKNOWN", "MIXED"):
        yield -4, "its header names a contrast other than T1"
    if _is_uniform(slice_):
        yield 3, "it is the uniform image of an MP2RAGE"
    if _COMBINED_WORDS.search(slice_.words):
        yield 1, "its echoes are combined"
    if "DERIVED" in slice_.kind and not _is_uniform(slice_):
        yield -1, "it is derived"
    if "EP" in slice_.sequence:
        yield -3, "it is echo-planar"
    if slice_.echo_ms is not None:
        if slice_.echo_ms > _LONG_ECHO_MS:
            yield -3, "its echo is long"
        inverted = slice_.inversion_ms is not None and _INVERSION_MS[0] <= slice_.inversion_ms <= _INVERSION_MS[1]
        quick = slice_.repetition_ms is not None and slice_.repetition_ms <= _SHORT_REPETITION_MS
        if slice_.echo_ms <= _SHORT_ECHO_MS and (inverted or quick):
            yield 1, "its timings are typical of T1w"
    if slice_.inversion_ms is not None and slice_.inversion_ms > _CSF_NULL_MS and not _is_uniform(slice_):
        yield -2, "its inversion time is typical of FLAIR"
    if _T1_WORDS.search(slice_.words):
        yield 2, "its name indicates T1"
    if _OTHER_WORDS.search(slice_.words):
        yield -3, "its name indicates another contrast"


def has_agent(slice_: Slice) -> bool:
    """Whether a volume was acquired with a contrast agent, by its attributes or its name."""
    return bool(slice_.contrast) or names_agent(slice_.words)


def names_agent(words: str) -> bool:
    """Whether a name indicates that a contrast agent was given; `pre contrast` and `w/o gd` do not."""
    return bool(_AGENT_WORDS.search(_BEFORE_AGENT.sub(" ", words)))


def _is_uniform(slice_: Slice) -> bool:
    return "UNI" in slice_.kind or bool(_UNIFORM_WORDS.search(slice_.words))
