"""The kinds of image that the network distinguishes."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["NAMES", "T1W_KINDS", "Kind"]


class Kind(IntEnum):
    """Kind of an image of a head; the weights were trained on T1w."""

    T1W = 0
    T1W_AGENT = 1
    INVERTED = 2
    T2W = 3
    T2STAR = 4
    FLAIR = 5
    PD = 6
    DWI = 7
    ADC = 8
    T1_MAP = 9
    FA = 10
    INV1 = 11
    ANGIOGRAPHY = 12
    PHASE = 13
    CT = 14
    PET = 15
    NO_HEAD = 16


T1W_KINDS = (Kind.T1W, Kind.T1W_AGENT, Kind.INVERTED)
"""Kinds that are segmented, perhaps with a flag."""

NAMES = {
    Kind.T1W: "T1-weighted",
    Kind.T1W_AGENT: "T1-weighted with a contrast agent",
    Kind.INVERTED: "T1-weighted and inverted",
    Kind.T2W: "T2-weighted",
    Kind.T2STAR: "T2*-weighted or functional",
    Kind.FLAIR: "FLAIR",
    Kind.PD: "proton-density-weighted",
    Kind.DWI: "diffusion-weighted",
    Kind.ADC: "a map of diffusion",
    Kind.T1_MAP: "a map of T1 or T2",
    Kind.FA: "a map of anisotropy",
    Kind.INV1: "the first inversion of an MP2RAGE",
    Kind.ANGIOGRAPHY: "angiography",
    Kind.PHASE: "a phase image",
    Kind.CT: "CT",
    Kind.PET: "PET or SPECT",
    Kind.NO_HEAD: "no head",
}
"""Names of the kinds in messages."""
