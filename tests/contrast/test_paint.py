"""The drawn kinds have the order of tissues that their sequences give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.augment import Original
from insula.contrast.kinds import Kind
from insula.contrast.look import coarse, coarse_of_2mm
from insula.contrast.network import FaultNetwork, KindNetwork
from insula.contrast.paint import draw
from insula.contrast.signal import levels
from insula.contrast.symptoms import SYMPTOMS


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
    assert look.shape == (9, 12, 12, 12)
    assert torch.allclose(look[0], torch.nn.functional.avg_pool3d(fine, 4)[0, 0] / 2, atol=1e-6)
    assert coarse_of_2mm(torch.rand(24, 24, 24)).shape == (9, 12, 12, 12)


def _measured(channel: torch.Tensor) -> torch.Tensor:
    """Undo the logarithm of a look's spread or detail."""
    return ((3 * channel).exp() - 1) / 100


def test_details_share_out_the_spread() -> None:
    look = coarse(torch.rand(1, 1, 48, 48, 48))
    spread, details = _measured(look[1]), _measured(look[2:])
    assert torch.allclose(details.square().sum(0).sqrt(), spread, rtol=1e-3, atol=1e-5)
    assert float(details.amin(0).amax()) > 0


@pytest.mark.parametrize(
    ("axes", "channel"), [((2,), 2), ((1,), 3), ((1, 2), 4), ((0,), 5), ((0, 2), 6), ((0, 1), 7), ((0, 1, 2), 8)]
)
def test_a_detail_is_that_of_its_directions(axes: tuple[int, ...], channel: int) -> None:
    """Stripes, bars or a chessboard of 2 mm voxels."""
    image = torch.ones(48, 48, 48)
    for axis in axes:
        image = image * torch.where(torch.arange(48) // 2 % 2 == 0, 1.0, -1.0).view(
            [-1 if n == axis else 1 for n in range(3)]
        )
    measured = _measured(coarse(image[None, None])[2:])
    assert torch.allclose(measured[channel - 2], torch.tensor(1.0), rtol=1e-3)
    assert float(measured.sum(0).mean()) == pytest.approx(1.0, rel=1e-3)


def test_the_networks_give_every_kind_motion_and_noise() -> None:
    assert KindNetwork()(torch.rand(2, 9, 48, 56, 44)).shape == (2, len(Kind))
    assert FaultNetwork()(torch.rand(2, SYMPTOMS)).shape == (2, 2)


def test_the_kind_depends_on_the_first_two_channels_alone() -> None:
    looks = torch.rand(1, 9, 48, 56, 44)
    other = torch.cat([looks[:, :2], torch.rand(1, 7, 48, 56, 44)], dim=1)
    kinds = KindNetwork().eval()
    assert torch.equal(kinds(looks), kinds(other))
