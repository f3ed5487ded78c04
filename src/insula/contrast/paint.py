"""Training images for the kind network: heads in other contrasts, drawn from label maps and real T1w heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from insula.augment import Original
from insula.contrast.arteries import arteries
from insula.contrast.kinds import T1W_KINDS, Kind
from insula.contrast.no_head import no_head
from insula.contrast.signal import levels
from insula.contrast.spoil import BOX, MM, SLOW, emptied, field, moved, noisy, posed, resolved, shading
from insula.simulate import Tissue
from insula.simulate.anatomy import BRAIN, GREY, WHITE, draw_palette
from insula.simulate.scanner import as_spin_echo

__all__ = ["Drawn", "draw"]

_PLAIN = {
    Tissue.OUTSIDE: "air",
    Tissue.VENTRICLE: "csf",
    Tissue.SULCAL_CSF: "csf",
    Tissue.OUTER_CSF: "csf",
    Tissue.CORTEX: "grey",
    Tissue.CEREBELLAR_GREY: "grey",
    Tissue.DEEP_GREY: "deep",
    Tissue.WHITE: "white",
    Tissue.CEREBELLAR_WHITE: "white",
    Tissue.BRAINSTEM: "white",
    Tissue.SKULL: "bone",
    Tissue.SCALP: "fat",
    Tissue.FACE: "muscle",
}
_AROUND = Tissue.OUTSIDE, Tissue.SKULL, Tissue.SCALP, Tissue.FACE
_GEOMETRIC = 0.15
"""Share of heads drawn as ellipsoids, so that the network learns the order of tissues and not a face."""
_SPIN_ECHO = 0.25
"""Share of real T1w heads that are shown as a spin echo."""
_DIM = 0.5
"""Share of these whose surroundings of the brain are dimmed, as by suppression of fat."""
_SLAB = 0.5
"""Share of angiographies that show only a slab of the head."""

Volume = Float[Tensor, "i j k"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One drawn image and what it shows."""

    image: Volume
    """At 2 mm, RAS+, air about 0 (bright if inverted)."""
    kind: Kind
    motion: bool
    """Whether the head moved so far that the image is of little use."""
    noisy: bool
    """Whether the noise is as large as half the contrast between grey and white matter."""
    ellipsoids: bool = False
    """Whether it shows nested ellipsoids instead of a head."""


def draw(host: Original, kind: Kind, seed: int, *, moves: float = 0.2) -> Drawn:
    """Draw one head of one kind, with its own pose, resolution, shading, noise, movement and perhaps a lesion.

    Args:
        host: a head or a label map with its tissues, in the training box at 1 mm.
        kind: what to draw; `NO_HEAD` draws a phantom, another body part, or nothing but noise.
        seed: seed of all random draws.
        moves: share of heads that move during the scan, 0 to 1.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    if kind is Kind.NO_HEAD:
        return Drawn(no_head(rng, generator), kind, motion=False, noisy=False)
    ellipsoids = bool(rng.random() < _GEOMETRIC)
    if ellipsoids:
        host = _geometric(host, rng)
    assert host.tissue is not None
    tissue = host.tissue[1::2, 1::2, 1::2]
    if kind is Kind.PHASE:
        return Drawn(posed(_phase(tissue, rng, generator), rng), kind, motion=False, noisy=False, ellipsoids=ellipsoids)
    t1w = host.image if host.image is not None and kind in T1W_KINDS and rng.random() < 0.75 else None
    image = _real(t1w, tissue, rng, generator) if t1w is not None else _painted(host, tissue, kind, rng, generator)
    inside = _among(tissue, BRAIN)
    white = float(image[_among(tissue, WHITE)].median())
    grey = float(image[_among(tissue, GREY)].median())
    if kind is Kind.T1W_AGENT:
        image = _agent(image, tissue, white, rng, generator)
    if kind is Kind.ANGIOGRAPHY:
        vessels = torch.maximum(_vessels(inside, rng, generator, few=True), arteries(inside, rng))
        image = torch.maximum(image, float(rng.uniform(2, 5)) * vessels)
    if rng.random() < (0.9 if kind in SLOW else 0.35 if host.skull else 0.0):
        image = image * _stripped(tissue, inside, kind, rng)
    image = resolved(image, kind, rng)
    image, motion = moved(image, rng) if rng.random() < moves else (image, False)
    image = image * shading((*image.shape,), generator, float(rng.uniform(0, 0.5)) * (kind is not Kind.CT))
    if kind is Kind.ANGIOGRAPHY and rng.random() < _SLAB:
        image = _slab(image, inside, rng)
    image = posed(image, rng)
    image, hidden = noisy(image, kind, abs(white - grey), white, rng, generator)
    if rng.random() < 0.45:
        image = emptied(image, white, rng)
    if kind is Kind.INVERTED:
        image = float(torch.quantile(image.flatten()[::7], 0.999)) * float(rng.uniform(0.95, 1.3)) - image
    return Drawn(image, kind, motion=motion, noisy=hidden, ellipsoids=ellipsoids)


def _geometric(host: Original, rng: np.random.Generator) -> Original:
    """Return a head of nested ellipsoids, as in computed phantoms."""
    grids = np.meshgrid(*(MM * (np.arange(n) - n / 2) for n in BOX), indexing="ij", sparse=True)

    def inside(middle: np.ndarray, axes: np.ndarray) -> np.ndarray:
        return sum(((g - m) / a) ** 2 for g, m, a in zip(grids, middle, axes, strict=True)) < 1

    axes, middle = rng.uniform([66, 82, 66], [88, 106, 96]), rng.normal(0, 3, 3)
    tissue = np.zeros(BOX, np.uint8)
    skull = bool(rng.random() < 0.7)
    for code, low, high in (
        (Tissue.SCALP, 3, 9),
        (Tissue.SKULL, 3, 9),
        (Tissue.SULCAL_CSF, 1, 5),
        (Tissue.CORTEX, 3, 12),
        (Tissue.WHITE, 0, 0),
    ):
        if skull or code not in (Tissue.SCALP, Tissue.SKULL):
            tissue[inside(middle, axes)] = code
        axes = axes - rng.uniform(low, high) if high else axes
    place, half = rng.uniform([6, -30, -10], [18, 10, 25]), rng.uniform([3, 12, 5], [9, 32, 14])
    for side in (-1, 1) if rng.random() < 0.85 else ():
        tissue[inside(middle + place * [side, 1, 1], half)] = Tissue.VENTRICLE
    for side in (-1, 1) if rng.random() < 0.4 else ():
        tissue[inside(middle + np.array([side * 26.0, 5.0, 0.0]), rng.uniform(6, 14, 3))] = Tissue.DEEP_GREY
    tissues = torch.from_numpy(tissue.repeat(2, 0).repeat(2, 1).repeat(2, 2))
    return Original.lesion_free("ellipsoids", None, tissues, host.to_atlas, skull=skull)


def _real(
    image: Volume, tissue: UInt8[Tensor, "i j k"], rng: np.random.Generator, generator: torch.Generator
) -> Volume:
    """Return a T1w head as it was scanned, with another gamma and perhaps a lesion, or as a spin echo.

    A spin echo's fat may be suppressed.

    Args:
        image: the scan, at 1 mm.
        tissue: codes of `Tissue`, at 2 mm.
        rng: random number generator.
        generator: generator of its noise.
    """
    scanned = _scanned(image).clamp(0, 3) ** float(rng.uniform(0.7, 1.4))
    scanned = scanned * (1 - 0.75 * _lesion(tissue, rng, generator))
    if rng.random() >= _SPIN_ECHO:
        return scanned
    white = float(scanned[_among(tissue, WHITE)].median())
    scanned = white * as_spin_echo(scanned / white, float(rng.uniform(0.6, 1)))
    if rng.random() >= _DIM:
        return scanned
    return torch.where(_among(tissue, _AROUND), scanned * float(rng.uniform(0.2, 0.9)), scanned)


def _scanned(image: Volume) -> Volume:
    """Average a 1 mm scan to 2 mm, and scale it so that its brightest half percent exceeds 1."""
    image = functional.avg_pool3d(image.float()[None, None], 2)[0, 0]
    return image / float(torch.quantile(image.flatten()[::5], 0.995))


def _among(tissue: UInt8[Tensor, "i j k"], codes: Sequence[int]) -> Tensor:
    return torch.isin(tissue, torch.tensor(codes, dtype=torch.uint8))


def _painted(
    host: Original, tissue: UInt8[Tensor, "i j k"], kind: Kind, rng: np.random.Generator, generator: torch.Generator
) -> Volume:
    shape = tuple(tissue.shape)
    means = levels(kind, rng)
    if kind in T1W_KINDS and rng.random() < 0.5:
        palette = draw_palette(rng)
        table = torch.tensor([palette[code] for code in Tissue])
    else:
        table = torch.tensor([means[_PLAIN[code]] for code in Tissue])
    image = table[tissue.long()]
    mixed = field(shape, 5, generator)  # fat, muscle, marrow and air lie side by side around the brain
    for code, _, second, cut in (
        (Tissue.SCALP, "fat", "muscle", 0.6),
        (Tissue.FACE, "muscle", "fat", 0.3),
        (Tissue.SKULL, "bone", "fat", 0.8),
    ):
        second_tissue = (tissue == code) & (mixed > float(rng.normal(cut, 0.4)))
        image = torch.where(second_tissue, means[second], image)
    image = torch.where((tissue == Tissue.FACE) & (mixed < float(rng.normal(-0.9, 0.3))), means["air"], image)
    fresh = rng.random() < 0.5
    lesion = _lesion(tissue, rng, generator)
    image = torch.lerp(image, torch.full_like(image, means["fresh" if fresh else "lesion"]), lesion)
    even = rng.random() < 0.15
    for cell, most in ((2, 0.10), (5, 0.08)):
        image = image * (1 + (0.0 if even else float(rng.uniform(0.01, most))) * field(shape, cell, generator))
    # the surroundings of the brain come from a real head, with its greys exchanged
    if host.image is not None and rng.random() < 0.7:
        knots = torch.tensor(
            [means["air"], *(rng.uniform(0.05, 1.2, 3) if kind is not Kind.CT else [1.0, 1.1, 0.9])],
            dtype=torch.float32,
        )
        place = _scanned(host.image).clamp(0, 1) * 3
        low = place.floor().clamp(0, 2).long()
        other = torch.lerp(knots[low], knots[low + 1], place - low)
        image = torch.where(_among(tissue, _AROUND), other, image)
    if kind in (Kind.T1_MAP, Kind.ADC, Kind.FA) and rng.random() < 0.5:  # maps are noise where there is no signal
        bottom = tissue == Tissue.OUTSIDE
        image = torch.where(bottom, torch.rand(shape, generator=generator) * float(rng.uniform(0.2, 1.2)), image)
    return image


def _lesion(tissue: UInt8[Tensor, "i j k"], rng: np.random.Generator, generator: torch.Generator) -> Volume:
    """Return each voxel's share of lesion: none in half of the heads, a large part of a hemisphere in some."""
    if rng.random() < 0.5:
        return torch.zeros(tissue.shape)
    brain = _among(tissue, BRAIN)
    places = brain.nonzero()
    share = torch.zeros(tissue.shape)
    for _ in range(int(rng.integers(1, 4))):
        middle = places[int(rng.integers(len(places)))].float()
        radii = torch.tensor(np.exp(rng.uniform(np.log(3), np.log(35), 3)) / MM, dtype=torch.float32)
        grids = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in tissue.shape), indexing="ij")
        away = sum(((g - m) / r) ** 2 for g, m, r in zip(grids, middle, radii, strict=True))
        share = torch.maximum(share, ((1.2 + 0.5 * field(tuple(tissue.shape), 4, generator) - away) * 2).clamp(0, 1))
    return share * brain * float(rng.uniform(0.5, 1.0))


def _agent(
    image: Volume, tissue: UInt8[Tensor, "i j k"], white: float, rng: np.random.Generator, generator: torch.Generator
) -> Volume:
    """Brighten sinuses, vessels, dura, plexus and mucosa above white matter."""
    bright = white * float(rng.uniform(1.2, 2.4))
    brain = _among(tissue, BRAIN)
    where = _vessels(brain, rng, generator)
    rim = functional.max_pool3d(brain[None, None].float(), 5, 1, 2)[0, 0].bool() & ~brain
    where = torch.maximum(
        where, rim * (field(tuple(tissue.shape), 4, generator) > float(rng.uniform(0.2, 1.0))).float()
    )
    plexus = (tissue == Tissue.VENTRICLE) & (field(tuple(tissue.shape), 2, generator) > 1.2)
    mucosa = (tissue == Tissue.FACE) & (field(tuple(tissue.shape), 3, generator) > 0.6)
    where = torch.maximum(where, torch.maximum(plexus.float(), mucosa.float()))
    return torch.lerp(image, torch.full_like(image, bright), where * float(rng.uniform(0.6, 1.0)))


def _vessels(brain: Tensor, rng: np.random.Generator, generator: torch.Generator, *, few: bool = False) -> Volume:
    """Return a map of vessels: tubes along the brain's midline and surface, and winding through its base."""
    shape = tuple(brain.shape)
    out = torch.zeros(shape)
    places = brain.nonzero()
    low, high = places.amin(0), places.amax(0)
    middle = int((low[0] + high[0]) / 2)
    if not few or rng.random() < 0.3:  # the superior sagittal sinus
        for j in range(int(low[1]), int(high[1]) + 1):
            column = brain[max(middle - 1, 0) : middle + 2, j].any(0).nonzero()
            if len(column):
                top = int(column.max())
                out[middle - 1 : middle + 2, j, top : top + 3] = 1
    # two fields are zero together along winding lines
    ridge = field(shape, 7, generator).abs() + field(shape, 7, generator).abs()
    tubes = ridge < float(rng.uniform(0.06, 0.16))
    reach = torch.arange(shape[2]) < float(low[2]) + (0.5 if few else 1.0) * float(high[2] - low[2])
    near = functional.max_pool3d(brain[None, None].float(), 3, 1, 1)[0, 0].bool()
    return torch.maximum(out, (tubes & near & reach[None, None]).float())


def _slab(image: Volume, brain: Tensor, rng: np.random.Generator) -> Volume:
    """Keep 50 to 110 mm above the lower end of the brain, where the large arteries are."""
    heights = brain.any(0).any(0).nonzero()
    bottom = int(heights.min()) + int(rng.integers(-5, 12))
    top = bottom + round(float(rng.uniform(50, 110)) / MM)
    heights = torch.arange(image.shape[2])
    return image * ((heights >= bottom) & (heights < top))


def _stripped(tissue: Tensor, inside: Tensor, kind: Kind, rng: np.random.Generator) -> Volume:
    """Return the factor of a skull strip: 1 in the brain and a margin around it, 0 outside.

    Echo-planar images may keep a little signal outside.
    """
    grown = functional.max_pool3d(inside[None, None].float(), 3, 1, 1)[0, 0]
    left = float(rng.uniform(0, 0.3)) if kind in SLOW and rng.random() < 0.6 else 0.0
    return grown + (1 - grown) * left


def _phase(tissue: UInt8[Tensor, "i j k"], rng: np.random.Generator, generator: torch.Generator) -> Volume:
    """Return a phase image: wraps inside the head, noise over the whole circle outside."""
    shape = tuple(tissue.shape)
    smooth = float(rng.uniform(0.5, 6)) * field(shape, 16, generator) + 0.2 * field(shape, 2, generator)
    noise = (torch.rand(shape, generator=generator) - 0.5) * 2 * math.pi
    turned = torch.remainder(torch.where(tissue > 0, smooth + 0.15 * noise, noise) + math.pi, 2 * math.pi)
    return turned * (tissue > 0 if rng.random() < 0.3 else 1)
