"""The drawn kinds have the order of tissues that their sequences give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.augment import Original
from insula.contrast.kinds import Kind
from insula.contrast.look import coarse, coarse_of_2mm
from insula.contrast.network import KindNetwork
from insula.contrast.paint import draw
from insula.contrast.signal import levels


@pytest.fixture(scope="module")
def host() -> Original:
    """Ellipsoids of scalp, skull, CSF, grey and white matter."""
    grids = np.meshgrid(*(np.arange(n) - n / 2 for n in (192, 224, 176)), indexing="ij", sparse=True)
    tissue = np.zeros((192, 224, 176), np.uint8)
    for code, cut in ((10, 0), (9, 6), (2, 12), (3, 14), (5, 20)):
        tissue[sum((g / (a - cut)) ** 2 for g, a in zip(grids, (80, 98, 82), strict=True)) < 1] = code
    tissue[sum((g / a) ** 2 for g, a in zip(grids, (15, 25, 10), strict=True)) < 1] = 1
    return Original.lesion_free("ellipsoids", None, torch.from_numpy(tissue), np.eye(4), skull=True)


_BRIGHTEST = {
    Kind.T1W: "white",
    Kind.T2W: "csf",
    Kind.ADC: "csf",
    Kind.T1_MAP: "csf",
    Kind.FA: "white",
    Kind.PET: "grey",
}
_DARKEST = {
    Kind.T1W: "csf",
    Kind.T2W: "white",
    Kind.FLAIR: "csf",
    Kind.DWI: "csf",
    Kind.FA: "csf",
    Kind.PET: "csf",
}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.PHASE, Kind.NO_HEAD)])
def test_tissues_have_the_order_of_the_sequence(kind: Kind) -> None:
    brightest, darkest = [], []
    for seed in range(40):
        means = {
            name: value
            for name, value in levels(kind, np.random.default_rng(seed)).items()
            if name in ("csf", "grey", "white")
        }
        brightest.append(max(means, key=means.__getitem__))
        darkest.append(min(means, key=means.__getitem__))
    if kind in _BRIGHTEST:
        assert brightest.count(_BRIGHTEST[kind]) >= 30
    if kind in _DARKEST:
        assert darkest.count(_DARKEST[kind]) >= 30


@pytest.mark.parametrize("kind", Kind)
def test_a_drawing_is_finite_and_the_same_again(kind: Kind, host: Original) -> None:
    drawing, again = draw(host, kind, 5), draw(host, kind, 5)
    assert drawing.image.shape == (96, 112, 88)
    assert bool(torch.isfinite(drawing.image).all())
    assert torch.equal(drawing.image, again.image)
    assert not torch.equal(drawing.image, draw(host, kind, 6).image)


def test_looks_are_the_same_whether_made_at_1_or_at_2_mm() -> None:
    fine = torch.rand(1, 1, 48, 48, 48)
    look = coarse(fine)
    assert look.shape == (2, 12, 12, 12)
    assert torch.allclose(look[0], torch.nn.functional.avg_pool3d(fine, 4)[0, 0] / 2, atol=1e-6)
    assert coarse_of_2mm(torch.rand(24, 24, 24)).shape == (2, 12, 12, 12)


def test_the_network_gives_every_kind_motion_and_noise() -> None:
    assert KindNetwork()(torch.zeros(2, 2, 48, 56, 44)).shape == (2, len(Kind) + 2)
