"""Signal of tissues in MRI sequences, PET and CT."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from insula.contrast.kinds import Kind

__all__ = ["MATTER", "levels"]

_TOGETHER = 0.75
"""How much of a relaxation time's place in its range all tissues of a head have in common."""


@dataclass(frozen=True)
class _Matter:
    """Ranges of one tissue's properties at 1.5 to 3 T."""

    t1: tuple[float, float]  # ms
    t2: tuple[float, float]  # ms
    water: tuple[float, float]  # proton density, CSF 1
    adc: tuple[float, float]  # 1e-3 mm2/s
    fa: tuple[float, float]
    hu: tuple[float, float]
    uptake: tuple[float, float]  # of FDG or a perfusion tracer, grey matter 1


MATTER = {
    "air": _Matter((1000, 1000), (50, 50), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (-1000, -1000), (0.0, 0.02)),
    "csf": _Matter((3300, 4600), (900, 2200), (1.0, 1.0), (2.6, 3.3), (0.02, 0.12), (0, 12), (0.03, 0.2)),
    "grey": _Matter((1000, 1550), (82, 105), (0.78, 0.86), (0.75, 0.95), (0.08, 0.2), (33, 42), (0.85, 1.15)),
    "deep": _Matter((900, 1300), (62, 85), (0.75, 0.84), (0.68, 0.85), (0.12, 0.3), (34, 44), (0.85, 1.25)),
    "white": _Matter((620, 920), (62, 82), (0.66, 0.73), (0.65, 0.85), (0.35, 0.6), (24, 33), (0.25, 0.45)),
    "bone": _Matter((300, 900), (5, 40), (0.03, 0.3), (0.0, 0.3), (0.0, 0.2), (400, 1600), (0.02, 0.2)),
    "fat": _Matter((240, 400), (60, 160), (0.85, 1.0), (0.0, 0.2), (0.0, 0.2), (-120, -60), (0.05, 0.3)),
    "muscle": _Matter((850, 1400), (28, 48), (0.72, 0.85), (1.0, 1.5), (0.2, 0.4), (40, 65), (0.1, 0.5)),
    "lesion": _Matter((1300, 3200), (120, 500), (0.85, 1.0), (0.9, 2.6), (0.05, 0.25), (5, 30), (0.05, 0.6)),
    "fresh": _Matter((1100, 1700), (95, 150), (0.8, 0.92), (0.3, 0.55), (0.1, 0.3), (18, 30), (0.1, 0.7)),
}
"""Tissues and materials of a head, old and fresh infarcts included.

Source:
    Wansapura 1999, JMRI 9:531, Stanisz 2005, MRM 54:507 (T1, T2); Tofts 2003, Quantitative MRI of the Brain (proton
    density, diffusion); Hounsfield units as in textbooks of radiology. Ranges are wider than those of healthy adults.
"""


def levels(kind: Kind, rng: np.random.Generator) -> dict[str, float]:
    """Draw the signal of each tissue: the brain's between about 0 and 1, air the darkest (CT may exceed 1).

    Args:
        kind: any but PHASE and NO_HEAD, which are not made of tissues.
        rng: draws the tissues, the sequence and its timing.
    """
    common = {"t1": float(rng.random()), "t2": float(rng.random())}
    drawn = {name: _draw(matter, rng, common) for name, matter in MATTER.items()}
    if kind is Kind.CT:
        return _window({name: properties["hu"] for name, properties in drawn.items()}, rng)
    if kind is Kind.PET:
        return {name: properties["uptake"] for name, properties in drawn.items()}
    if kind is Kind.FA:
        return {name: properties["fa"] for name, properties in drawn.items()}
    if kind is Kind.ADC:
        return {name: properties["adc"] / 3 for name, properties in drawn.items()}
    if kind is Kind.T1_MAP:
        relaxation, most = ("t1", 4500.0) if rng.random() < 0.7 else ("t2", float(rng.uniform(200, 2000)))
        return {name: min(properties[relaxation], most) / most * (name != "air") for name, properties in drawn.items()}
    sequence = _SEQUENCES[kind](rng)
    signals = {name: sequence(properties) for name, properties in drawn.items()}
    suppressed = float(rng.uniform(0.0, 0.15)) if rng.random() < _FAT_SUPPRESSED.get(kind, 0.15) else 1.0
    signals["fat"] *= suppressed
    most = max(signals[name] for name in ("csf", "grey", "deep", "white"))
    return {name: value / most for name, value in signals.items()}


def _draw(matter: _Matter, rng: np.random.Generator, common: dict[str, float]) -> dict[str, float]:
    """Draw one tissue's properties.

    The relaxation times of all tissues lie high or low in their ranges together, as they change with the field.
    """
    out = {}
    for name, (low, high) in vars(matter).items():
        place = float(rng.random())
        if name in common:
            place = _TOGETHER * common[name] + (1 - _TOGETHER) * place
        out[name] = low + (high - low) * place
    return out


def _window(hu: dict[str, float], rng: np.random.Generator) -> dict[str, float]:
    """Scale Hounsfield units as they are, or as a viewer's window leaves them."""
    if rng.random() < 0.6:
        return {name: (value + 1000) / 1000 for name, value in hu.items()}
    low, high = float(rng.uniform(-60, 0)), float(rng.uniform(80, 200))
    return {name: (min(max(value, low), high) - low) / (high - low) for name, value in hu.items()}


def _t1w(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """Draw MPRAGE, a spoiled gradient echo, or a spin echo with a short repetition time."""
    which = rng.random()
    if which < 0.7:
        inversion, repetition = float(rng.uniform(750, 1100)), float(rng.uniform(1700, 2700))
        return lambda m: m["water"] * abs(_inverted(m["t1"], inversion, repetition)) * math.exp(-3 / m["t2"])
    if which < 0.85:
        flip, repetition = math.radians(float(rng.uniform(15, 35))), float(rng.uniform(8, 30))
        return lambda m: _spoiled(m, flip, repetition, 4.0)
    repetition, echo = float(rng.uniform(380, 650)), float(rng.uniform(8, 16))
    return lambda m: _spin_echo(m, repetition, echo)


def _t2w(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    repetition, echo = float(rng.uniform(2500, 9000)), float(rng.uniform(70, 130))
    return lambda m: _spin_echo(m, repetition, echo)


def _t2star(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """Draw a gradient echo: functional or susceptibility-weighted."""
    repetition, echo, flip = (
        float(rng.uniform(500, 3000)),
        float(rng.uniform(20, 45)),
        math.radians(float(rng.uniform(15, 90))),
    )
    return lambda m: _spoiled({**m, "t2": m["t2"] * 0.6}, flip, repetition, echo)


def _flair(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    repetition, echo = float(rng.uniform(5000, 11000)), float(rng.uniform(85, 150))
    null = 3900 * math.log(2 / (1 + math.exp(-repetition / 3900))) * float(rng.uniform(0.94, 1.06))
    return lambda m: m["water"] * abs(_inverted(m["t1"], null, repetition)) * math.exp(-echo / m["t2"])


def _pd(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    repetition, echo = float(rng.uniform(2000, 6000)), float(rng.uniform(8, 32))
    return lambda m: _spin_echo(m, repetition, echo)


def _dwi(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    b, echo = float(rng.uniform(0.7, 1.5)), float(rng.uniform(60, 110))
    return lambda m: m["water"] * math.exp(-echo / m["t2"]) * math.exp(-b * m["adc"])


def _inv1(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """Draw an inversion near the null of grey matter.

    White matter is bright, grey matter dark, and CSF bright again in the magnitude.
    """
    inversion, repetition = float(rng.uniform(600, 800)), float(rng.uniform(5000, 6000))
    return lambda m: m["water"] * abs(_inverted(m["t1"], inversion, repetition)) * math.exp(-3 / m["t2"])


def _angiography(rng: np.random.Generator):  # type: ignore[no-untyped-def]
    flip, repetition = math.radians(float(rng.uniform(15, 30))), float(rng.uniform(20, 40))
    return lambda m: _spoiled(m, flip, repetition, 5.0)


def _spin_echo(m: dict[str, float], repetition: float, echo: float) -> float:
    return m["water"] * (1 - math.exp(-repetition / m["t1"])) * math.exp(-echo / m["t2"])


def _spoiled(m: dict[str, float], flip: float, repetition: float, echo: float) -> float:
    left = math.exp(-repetition / m["t1"])
    return m["water"] * math.sin(flip) * (1 - left) / (1 - math.cos(flip) * left) * math.exp(-echo / m["t2"])


def _inverted(t1: float, inversion: float, repetition: float) -> float:
    return 1 - 2 * math.exp(-inversion / t1) + math.exp(-repetition / t1)


_SEQUENCES = {
    Kind.T1W: _t1w,
    Kind.T1W_AGENT: _t1w,
    Kind.INVERTED: _t1w,
    Kind.T2W: _t2w,
    Kind.T2STAR: _t2star,
    Kind.FLAIR: _flair,
    Kind.PD: _pd,
    Kind.DWI: _dwi,
    Kind.INV1: _inv1,
    Kind.ANGIOGRAPHY: _angiography,
}
_FAT_SUPPRESSED = {Kind.DWI: 1.0, Kind.T2STAR: 0.7, Kind.FLAIR: 0.5, Kind.T2W: 0.3, Kind.ANGIOGRAPHY: 0.6}
