"""Lesions that no training draws stay where they are told, and look otherwise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.config import SimulateConfig
from insula.simulate import Host, LesionShape, ScannerLook, Tissue, UnfamiliarKind, insert_unfamiliar, simulate_head

_CSF, _GREY, _WHITE = 0.2, 0.6, 1.0


def _ball(radius: float, size: int = 48) -> torch.Tensor:
    place = torch.stack(torch.meshgrid(*[torch.arange(size) - size / 2] * 3, indexing="ij"))
    return (place.square().sum(0).sqrt() < radius).float()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["cysts", "laminar", "bleeding"])
def test_each_kind_shows_what_it_is_called_for(kind: UnfamiliarKind, seed: int) -> None:
    image, lesion = torch.full((48, 48, 48), _WHITE), _ball(11)
    rng = np.random.default_rng(seed)
    out = insert_unfamiliar(image, lesion, rng, csf=_CSF, grey=_GREY, kind=kind)
    inside, core, rim = lesion > 0, _ball(7) > 0, (lesion > 0) & (_ball(10.5) == 0)
    assert torch.equal(out[_ball(14) == 0], image[_ball(14) == 0])
    assert float((out[core] < 0.9).float().mean()) > 0.5  # most of it is darker than white matter
    dark, bright = (out[inside] < _CSF * 1.2).float().mean(), (out[inside] > 1.15 * _GREY).float().mean()
    if kind == "cysts":
        assert 0.15 < dark < 0.7
    elif kind == "laminar":
        assert float(out[rim].mean()) > float(out[core].mean()) + 0.1
    else:
        assert 0.03 < bright < 0.6


def test_only_the_lesion_looks_otherwise() -> None:
    """Same anatomy, same truth, same scanner, for the same chance."""
    tissue = torch.full((48, 48, 48), int(Tissue.WHITE), dtype=torch.uint8)
    host = Host(name="h", image=torch.ones(48, 48, 48), tissue=tissue, to_atlas=np.eye(4), skull=False)
    shape = LesionShape(name="l", voxels=(_ball(7, 16) > 0).to(torch.uint8), origin_mm=(16.0, 16.0, 16.0))
    config, look = SimulateConfig(painted_fraction=0, strip_fraction=0, deface_fraction=0), ScannerLook()
    one, two = (
        simulate_head(host, [shape], config, np.random.default_rng(3), look=look, unfamiliar=unfamiliar)
        for unfamiliar in (False, True)
    )
    assert one.truth.sum() > 100
    assert torch.equal(one.truth, two.truth)
    wide = torch.nn.functional.max_pool3d(one.truth[None, None], 13, stride=1, padding=6)[0, 0] > 0
    assert torch.allclose(one.image[~wide], two.image[~wide], atol=1e-5)
    assert not torch.allclose(one.image[one.truth > 0], two.image[one.truth > 0], atol=0.05)
