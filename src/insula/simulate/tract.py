"""The corticospinal tract below an infarct, a little darker months later, and not part of what experts outline."""

from __future__ import annotations

import numpy as np

from insula.simulate.blobs import Blob

__all__ = ["degenerating_tract"]

_TRACT_MM = ((26, -20, 40), (25, -16, 20), (21, -15, 4), (14, -17, -10), (8, -22, -24), (5, -32, -46))
"""The right corticospinal tract in MNI millimetres: corona radiata, internal capsule, peduncle, pons, pyramid."""


def degenerating_tract(
    rng: np.random.Generator, lesion: tuple[float, float, float], to_atlas: np.ndarray
) -> list[Blob]:
    """Return ellipsoids along the tract on the infarct's side; none if the infarct lies too far from it.

    Args:
        rng: the source of chance.
        lesion: middle of the infarct [voxels of the head].
        to_atlas: 4x4, voxel of the head -> MNI millimetre.
    """
    x, y, z = (to_atlas @ [*lesion, 1.0])[:3]
    side = 1.0 if x > 0 else -1.0
    if not (15 < abs(x) < 45 and -45 < y < 15 and -10 < z < 60):
        return []
    points = np.array([[side * px, py, pz, 1.0] for px, py, pz in _TRACT_MM]) @ np.linalg.inv(to_atlas).T
    factor = float(rng.uniform(0.85, 0.95))
    out = []
    for start, end in zip(points[:-1, :3], points[1:, :3], strict=True):
        step = end - start
        length = float(np.linalg.norm(step))
        turn = np.cross([0, 0, 1], step / length)
        angle = np.arccos(np.clip(step[2] / length, -1, 1))
        turn = turn / max(float(np.linalg.norm(turn)), 1e-9) * angle
        i, j, k = (float(v) for v in (start + end) / 2)
        out.append(
            Blob(
                centre=(i, j, k),
                radii_mm=(3.0, 3.0, 0.62 * length),
                turn=(float(turn[0]), float(turn[1]), float(turn[2])),
                factor=factor,
                softness=0.4,
                grey=False,
            )
        )
    return out
