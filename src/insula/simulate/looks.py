"""Looks of infarcts on T1w: six kinds, each a few numbers.

Levels are relative to the white matter of the same head, lengths in millimetres. A range without a source is an
estimate, to be checked on real scans.

Source:
    Bloch simulation of MPRAGE at 3 T (TI 900 ms, TR 2300 ms) for gliosis, cysts, oedema and methaemoglobin; Seghier
    2014 (chronic lesions), Shen 2023 and Dhar 2016 (swelling), Reimann 2000 (laminar and haemorrhagic change), Duering
    2023, STRIVE-2 (lacunes).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, Literal, TypeAlias

import numpy as np

from insula.simulate.ingredients import NO_LESION, Ingredients

__all__ = [
    "Acute",
    "Chronic",
    "Haemorrhagic",
    "Lacune",
    "Laminar",
    "Look",
    "Subacute",
    "draw_look",
]


@dataclass(frozen=True, kw_only=True)
class _Border:
    inset_mm: float
    """Distance inside the outline at which the visible change ends: experts draw 0.3 to 2 mm beyond it."""
    border_mm: float
    """Width of that soft border."""
    texture: float
    """Unevenness of the tissue inside, at 2 to 5 mm."""


@dataclass(frozen=True, kw_only=True)
class Chronic(_Border):
    """An infarct months to years old: fluid and strands of tissue in any proportion, gliosis, neighbours pulled in."""

    phase: ClassVar[Literal["chronic"]] = "chronic"
    gliosis_level: float
    flatness: float
    cavity_share: float
    """Share of the core that is fluid, 0 to 1."""
    cavity_level: float
    strands: float
    softness: float
    regions: float
    rim_mm: float
    pull_mm: float
    widening_mm: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Chronic:
        """Draw a chronic look."""
        share = float(rng.beta(1.2, 0.9))
        return cls(
            **_border(rng),
            texture=float(rng.uniform(0.05, 0.14)),
            gliosis_level=float(rng.uniform(0.55, 0.76)),
            flatness=float(rng.uniform(0.3, 0.9)),
            cavity_share=min(max(share, 0.03), 0.97),
            cavity_level=float(rng.uniform(0.15, 0.32)),
            strands=float(rng.uniform(0.1, 0.9)),
            softness=float(rng.uniform(0.15, 0.6)),
            regions=float(rng.uniform(0.2, 1.1)),
            rim_mm=float(rng.uniform(0.5, 3.5)),
            pull_mm=float(rng.uniform(0.5, 3.0)),
            widening_mm=float(rng.uniform(0.6, 2.2)),
        )

    def ingredients(self, *, csf: float, grey: float) -> Ingredients[float]:
        """Return the look's numbers in a head with these levels of CSF and grey matter."""
        return NO_LESION._replace(
            inset_mm=self.inset_mm,
            border_mm=self.border_mm,
            white_factor=0.5 + 0.5 * self.gliosis_level,
            grey_factor=0.97,
            flatness=self.flatness,
            gliosis_level=max(self.gliosis_level, csf + 0.1),
            texture=self.texture,
            csf_cut=NormalDist().inv_cdf(1 - self.cavity_share),
            csf_soft=self.softness,
            strands=self.strands,
            regions=self.regions,
            rim_mm=self.rim_mm,
            cavity_level=_fluid(self.cavity_level, csf),
            pull_mm=self.pull_mm,
            widening_mm=self.widening_mm,
        )


@dataclass(frozen=True, kw_only=True)
class Acute(_Border):
    """An infarct up to a week old: swollen and darker, without a cavity; sulci close."""

    phase: ClassVar[Literal["acute"]] = "acute"
    white_factor: float
    grey_factor: float
    swelling: float
    """Share of the sulcal CSF inside that is lost, 0.41 to 0.79."""
    push_mm: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Acute:
        """Draw an acute look."""
        return cls(
            **_border(rng, vague=1.6),
            texture=float(rng.uniform(0.0, 0.06)),
            white_factor=float(rng.uniform(0.66, 0.82)),
            grey_factor=float(rng.uniform(0.60, 0.78)),
            swelling=float(rng.uniform(0.41, 0.79)),
            push_mm=float(rng.uniform(0, 2.5)),
        )

    def ingredients(self, *, csf: float, grey: float) -> Ingredients[float]:
        """Return the look's numbers in a head with these levels of CSF and grey matter."""
        return NO_LESION._replace(
            inset_mm=self.inset_mm,
            border_mm=self.border_mm,
            white_factor=self.white_factor,
            grey_factor=self.grey_factor,
            flatness=0.25,
            gliosis_level=max(self.grey_factor * grey, csf) + 0.1,
            texture=self.texture,
            swelling=self.swelling,
            pull_mm=-self.push_mm,
            widening_mm=-0.5 * self.push_mm,
        )


@dataclass(frozen=True, kw_only=True)
class Subacute(_Border):
    """An infarct one to five weeks old: the change fades (fogging), sometimes nearly completely."""

    phase: ClassVar[Literal["acute"]] = "acute"
    contrast: float
    """Remaining share of an acute infarct's contrast, 0.1 to 0.6; at 0 nobody could see the truth."""
    acute: Acute

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Subacute:
        """Draw a subacute look."""
        return cls(
            **_border(rng, vague=1.6),
            texture=float(rng.uniform(0.0, 0.06)),
            contrast=float(rng.uniform(0.1, 0.6)),
            acute=Acute.sample(rng),
        )

    def ingredients(self, *, csf: float, grey: float) -> Ingredients[float]:
        """Return the look's numbers in a head with these levels of CSF and grey matter."""
        whole = self.acute.ingredients(csf=csf, grey=grey)
        white, dark = (1 - self.contrast * (1 - factor) for factor in (whole.white_factor, whole.grey_factor))
        return whole._replace(
            inset_mm=self.inset_mm,
            border_mm=self.border_mm,
            texture=self.texture,
            white_factor=white,
            grey_factor=dark,
            flatness=0.4 * self.contrast,
            swelling=0.6 * whole.swelling,
            pull_mm=0.3 * whole.pull_mm,
            widening_mm=0.3 * whole.widening_mm,
        )


@dataclass(frozen=True, kw_only=True)
class Laminar(_Border):
    """Cortical laminar necrosis: from two weeks to a year and a half, a bright ribbon along the infarcted cortex."""

    phase: ClassVar[Literal["chronic"]] = "chronic"
    ribbon_level: float
    """Level of the ribbon, 1.1 to 1.6."""
    ribbon_share: float
    """Share of the infarcted cortex that has the ribbon."""
    beneath: Chronic | Subacute

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Laminar:
        """Draw a look of laminar necrosis."""
        beneath = Chronic.sample(rng) if rng.random() < 0.6 else Subacute.sample(rng)
        return cls(
            **_border(rng),
            texture=beneath.texture,
            ribbon_level=float(rng.uniform(1.1, 1.6)),
            ribbon_share=float(rng.uniform(0.3, 0.9)),
            beneath=beneath,
        )

    def ingredients(self, *, csf: float, grey: float) -> Ingredients[float]:
        """Return the look's numbers in a head with these levels of CSF and grey matter."""
        return self.beneath.ingredients(csf=csf, grey=grey)._replace(
            inset_mm=self.inset_mm,
            border_mm=self.border_mm,
            ribbon_level=self.ribbon_level,
            ribbon_cut=NormalDist().inv_cdf(1 - self.ribbon_share),
        )


@dataclass(frozen=True, kw_only=True)
class Haemorrhagic(_Border):
    """An infarct with blood: spots of 1 to 3 mm, bright while methaemoglobin, dark rims of iron afterwards."""

    phase: Literal["acute", "chronic"]
    blood_level: float
    """Level of the spots: 1.1 to 1.6, or 0.1 to 0.4 if only iron is left."""
    blood_share: float
    iron_level: float
    beneath: Acute | Subacute | Chronic

    @classmethod
    def sample(cls, rng: np.random.Generator, *, phase: Literal["acute", "chronic"] = "chronic") -> Haemorrhagic:
        """Draw a haemorrhagic look."""
        if phase == "chronic":
            beneath: Acute | Subacute | Chronic = Chronic.sample(rng)
        else:
            beneath = Acute.sample(rng) if rng.random() < 0.5 else Subacute.sample(rng)
        iron = float(rng.uniform(0.1, 0.4))
        old = phase == "chronic" and rng.random() < 0.6
        return cls(
            phase=phase,
            **_border(rng),
            texture=beneath.texture,
            blood_level=iron if old else float(rng.uniform(1.1, 1.6)),
            blood_share=float(rng.uniform(0.04, 0.2)),
            iron_level=iron,
            beneath=beneath,
        )

    def ingredients(self, *, csf: float, grey: float) -> Ingredients[float]:
        """Return the look's numbers in a head with these levels of CSF and grey matter."""
        return self.beneath.ingredients(csf=csf, grey=grey)._replace(
            inset_mm=self.inset_mm,
            border_mm=self.border_mm,
            blood_level=self.blood_level,
            blood_cut=NormalDist().inv_cdf(1 - self.blood_share),
            iron_level=self.iron_level,
        )


@dataclass(frozen=True, kw_only=True)
class Lacune(_Border):
    """A small deep infarct: 3 to 15 mm, ovoid; 61 % become a cavity, the others a scar."""

    phase: ClassVar[Literal["chronic"]] = "chronic"
    level: float
    """Level of the cavity (0.17 to 0.35) or of the scar (0.59 to 0.73)."""
    cavity: bool

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Lacune:
        """Draw the look of a lacune."""
        cavity = bool(rng.random() < 0.61)
        level = float(rng.uniform(0.17, 0.35) if cavity else rng.uniform(0.59, 0.73))
        return cls(**_border(rng), texture=float(rng.uniform(0.0, 0.05)), level=level, cavity=cavity)

    def ingredients(self, *, csf: float, grey: float) -> Ingredients[float]:
        """Return the look's numbers in a head with these levels of CSF and grey matter."""
        return NO_LESION._replace(
            inset_mm=min(self.inset_mm, 0.8),
            border_mm=self.border_mm,
            flatness=0.85,
            grey_factor=0.9,
            white_factor=0.9,
            gliosis_level=max(self.level, csf),
            texture=self.texture,
            **({"csf_cut": -2.0, "csf_soft": 0.3, "cavity_level": _fluid(self.level, csf)} if self.cavity else {}),
        )


Look: TypeAlias = Chronic | Acute | Subacute | Laminar | Haemorrhagic | Lacune
"""Any kind of infarct."""


def draw_look(rng: np.random.Generator, *, phase: Literal["acute", "chronic"]) -> Look:
    """Draw a look of a phase, except for lacunes, which depend on the outline."""
    chance = rng.random()
    if phase == "chronic":
        return (Chronic if chance < 0.82 else Laminar if chance < 0.90 else Haemorrhagic).sample(rng)
    if chance < 0.55:
        return Acute.sample(rng)
    return Subacute.sample(rng) if chance < 0.80 else Haemorrhagic.sample(rng, phase="acute")


def _border(rng: np.random.Generator, *, vague: float = 1.0) -> dict[str, float]:
    return {"inset_mm": float(rng.uniform(0.3, 2.0)), "border_mm": float(rng.uniform(0.3, vague))}


def _fluid(level: float, csf: float) -> float:
    """Return a level of fluid near the given one; in most heads it is close to their CSF, and never far from it."""
    return 0.35 * level + 0.65 * csf if abs(level - csf) > 0.12 else level
