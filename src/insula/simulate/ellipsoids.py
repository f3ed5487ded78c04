"""Small ellipsoids that look like an infarct and are none, with one function for each kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from insula.simulate.anatomy import Tissue
from insula.simulate.blobs import Blob

__all__ = ["DRAWERS", "Places", "choose_voxel", "draw_turn"]

Places = Mapping[Tissue, np.ndarray]
"""Voxels (n, 3) of each tissue."""


def choose_voxel(rng: np.random.Generator, places: Places, *kinds: Tissue) -> tuple[float, float, float] | None:
    """Draw a voxel of the given tissues; None if the head has none."""
    pools = [places[kind] for kind in kinds if len(places.get(kind, ()))]
    if not pools:
        return None
    pool = pools[int(rng.integers(len(pools)))]
    x, y, z = (float(v) for v in pool[int(rng.integers(len(pool)))])
    return x, y, z


def _several(
    rng: np.random.Generator, places: Places, kinds: tuple[Tissue, ...], count: int, blob: object
) -> list[Blob]:
    out = []
    for _ in range(count):
        if (centre := choose_voxel(rng, places, *kinds)) is not None:
            out.append(blob(centre))  # type: ignore[operator]
    return out


def draw_turn(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a rotation vector [radians] in any direction."""
    x, y, z = (float(v) for v in rng.normal(0, 1.0, 3))
    return x, y, z


def _perivascular(rng: np.random.Generator, places: Places, csf: float) -> list[Blob]:
    """Draw perivascular spaces: tubes under 3 mm wide, in the basal ganglia and the white matter above."""
    level = csf + float(rng.uniform(0.05, 0.35))

    def tube(centre: tuple[float, float, float]) -> Blob:
        across = float(rng.uniform(0.6, 1.4))
        return Blob(
            centre=centre,
            radii_mm=(across, across, float(rng.uniform(3, 8))),
            turn=draw_turn(rng),
            level=level,
            softness=0.25,
        )

    return _several(rng, places, (Tissue.DEEP_GREY, Tissue.WHITE), int(rng.integers(2, 8)), tube)


def _dots(rng: np.random.Generator, places: Places, csf: float) -> list[Blob]:
    """Draw white matter hyperintensities away from the ventricles: dots of 2 to 10 mm, mildly dark on T1w."""
    factor = float(rng.uniform(0.73, 0.96))

    def dot(centre: tuple[float, float, float]) -> Blob:
        a, b, c = (float(v) for v in np.exp(rng.uniform(np.log(1.0), np.log(5.0))) * rng.uniform(0.6, 1.0, 3))
        return Blob(centre=centre, radii_mm=(a, b, c), turn=draw_turn(rng), factor=factor, softness=0.4, grey=False)

    return _several(rng, places, (Tissue.WHITE,), int(rng.integers(2, 9)), dot)


def _choroid(rng: np.random.Generator, places: Places, csf: float) -> list[Blob]:
    """Draw choroid plexus and cysts in it: 2 to 8 mm in the ventricles, most in the trigone."""
    pool = places.get(Tissue.VENTRICLE)
    if pool is None or not len(pool):
        return []
    behind = pool[pool[:, 1] < np.quantile(pool[:, 1], 0.5)]
    spots = {**places, Tissue.VENTRICLE: behind if len(behind) else pool}
    level = float(rng.uniform(0.4, 0.7))

    def plexus(centre: tuple[float, float, float]) -> Blob:
        a, b, c = (float(v) for v in rng.uniform(1.0, 4.0, 3))
        return Blob(
            centre=centre,
            radii_mm=(a, b, c),
            turn=draw_turn(rng),
            level=level,
            softness=0.3,
            white=False,
            grey=False,
            ventricle=True,
        )

    return _several(rng, spots, (Tissue.VENTRICLE,), int(rng.integers(1, 5)), plexus)


def _ovoids(rng: np.random.Generator, places: Places, csf: float) -> list[Blob]:
    """Draw lesions of multiple sclerosis: ovoids of 3 to 15 mm in the white matter, most at the ventricles."""
    factor = float(rng.uniform(0.45, 0.8))

    def ovoid(centre: tuple[float, float, float]) -> Blob:
        length = float(rng.uniform(1.5, 7.5))
        across = length * float(rng.uniform(0.4, 0.8))
        return Blob(
            centre=centre,
            radii_mm=(length, across, across),
            turn=draw_turn(rng),
            factor=factor,
            softness=0.25,
            grey=False,
        )

    return _several(rng, places, (Tissue.WHITE,), int(rng.integers(4, 13)), ovoid)


def _resection(rng: np.random.Generator, places: Places, csf: float) -> list[Blob]:
    """Draw a surgical cavity: fluid, sharp, without strands, open to a gap in the skull."""
    centre = choose_voxel(rng, places, Tissue.CORTEX)
    if centre is None:
        return []
    a, b, c = (float(v) for v in rng.uniform(8, 24, 3))
    return [
        Blob(
            centre=centre,
            radii_mm=(a, b, c),
            turn=draw_turn(rng),
            level=csf * float(rng.uniform(0.8, 1.1)),
            softness=0.04,
            csf=True,
            outside=True,
        )
    ]


DRAWERS = {
    "perivascular": _perivascular,
    "dots": _dots,
    "choroid": _choroid,
    "ovoids": _ovoids,
    "resection": _resection,
}
