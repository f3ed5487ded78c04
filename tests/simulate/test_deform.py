"""Deformations move as told and never fold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.simulate import Deformation
from insula.simulate.fields import identity

_CPU = torch.device("cpu")
_SHAPE = (40, 44, 48)


def test_none_is_the_identity() -> None:
    assert torch.allclose(Deformation().index(_SHAPE, device=_CPU), identity(_SHAPE, device=_CPU), atol=1e-4)


def test_mirroring_twice_is_the_identity() -> None:
    index = Deformation(mirror=True).index(_SHAPE, device=_CPU)
    assert torch.allclose(index.flip(1)[0], identity(_SHAPE, device=_CPU)[0], atol=1e-4)


def test_a_shift_comes_from_where_it_was() -> None:
    index = Deformation(shift_mm=(3.0, 0.0, 0.0)).index(_SHAPE, device=_CPU)
    assert torch.allclose(index[0], identity(_SHAPE, device=_CPU)[0] - 3, atol=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_the_jacobian_stays_positive(seed: int) -> None:
    """Anatomy is stretched, never folded: even at the strongest setting that sampling allows."""
    deformation = Deformation(elastic_mm=5.0, cell_mm=20.0, seed=seed)
    index = deformation.index(_SHAPE, device=_CPU)
    rows = torch.stack([torch.stack(torch.gradient(component)) for component in index])  # (3, 3, i, j, k)
    jacobian = torch.linalg.det(rows.permute(2, 3, 4, 0, 1))
    assert float(jacobian.min()) > 0
    assert float((index - identity(_SHAPE, device=_CPU)).abs().max()) > 1  # and it does deform


def test_a_sample_replays() -> None:
    a, b = (Deformation.sample(np.random.default_rng(4)) for _ in range(2))
    assert a == b
    assert torch.equal(a.index(_SHAPE, device=_CPU), b.index(_SHAPE, device=_CPU))
