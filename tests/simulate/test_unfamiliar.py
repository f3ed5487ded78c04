"""Lesions that no training draws stay inside their outline, and look as they are called."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.simulate import UnfamiliarKind, insert_unfamiliar
from simulate.hosts import ball

_CSF, _GREY, _WHITE = 0.2, 0.6, 1.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["honeycomb", "layered", "scrambled"])
def test_each_kind_shows_what_it_is_called_for(kind: UnfamiliarKind, seed: int) -> None:
    image, lesion = torch.full((48, 48, 48), _WHITE), ball(11)
    rng = np.random.default_rng(seed)
    out = insert_unfamiliar(image, lesion, rng, csf=_CSF, grey=_GREY, kind=kind)
    inside, far = ball(9) > 0, ball(14) == 0
    assert torch.equal(out[far], image[far])
    assert float((out[inside] < 0.9).float().mean()) > 0.9  # darker than white matter
    values = out[inside]
    if kind == "honeycomb":  # walls and chambers
        assert 0.08 < float((values > 0.95 * _GREY * 0.7).float().mean()) < 0.9
        assert float((values < 0.42).float().mean()) > 0.1
    elif kind == "layered":  # one side darker than the other
        halves = [float(out[:, part][inside[:, part]].mean()) for part in (slice(0, 24), slice(24, 48))]
        assert abs(halves[0] - halves[1]) > 0.05
    else:
        assert float(values.max()) <= _GREY + 0.05


def test_the_kind_is_drawn_if_it_is_not_given() -> None:
    image, lesion = torch.full((32, 32, 32), _WHITE), ball(8, 32)
    kinds = {
        round(float(insert_unfamiliar(image, lesion, np.random.default_rng(n), csf=_CSF, grey=_GREY).mean()), 6)
        for n in range(6)
    }
    assert len(kinds) >= 4


def test_an_outline_of_a_few_voxels_is_enough() -> None:
    image, lesion = torch.full((16, 16, 16), _WHITE), torch.zeros(16, 16, 16)
    lesion[8, 8, 7:10] = 1
    for kind in ("honeycomb", "layered", "scrambled"):
        rng = np.random.default_rng(0)
        out = insert_unfamiliar(image, lesion, rng, csf=_CSF, grey=_GREY, kind=kind)  # type: ignore[arg-type]
        assert torch.isfinite(out).all()
        assert float(out[8, 8, 8]) < _WHITE
