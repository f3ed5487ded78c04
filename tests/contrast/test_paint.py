"""The drawn kinds have the order of tissues that their sequences give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.augment import Original
from insula.contrast import paint
from insula.contrast.kinds import Kind
from insula.contrast.look import coarse, coarse_of_2mm
from insula.contrast.network import SEEN, FaultNetwork, KindNetwork
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


_QUICK = (Kind.T1W, Kind.FLAIR, Kind.PHASE, Kind.NO_HEAD)


@pytest.mark.parametrize(
    "kind", [kind if kind in _QUICK else pytest.param(kind, marks=pytest.mark.long) for kind in Kind]
)
def test_a_drawing_is_finite_and_the_same_again(kind: Kind, host: Original) -> None:
    drawing, again = draw(host, kind, 5), draw(host, kind, 5)
    assert drawing.image.shape == (96, 112, 88)
    assert bool(torch.isfinite(drawing.image).all())
    assert torch.equal(drawing.image, again.image)
    assert not torch.equal(drawing.image, draw(host, kind, 6).image)


def test_looks_are_the_same_whether_made_at_1_or_at_2_mm() -> None:
    fine = torch.rand(1, 1, 48, 48, 48)
    look = coarse(fine)
    assert look.shape == (11, 12, 12, 12)
    assert torch.allclose(look[0], torch.nn.functional.avg_pool3d(fine, 4)[0, 0] / 2, atol=1e-6)
    assert coarse_of_2mm(torch.rand(24, 24, 24)).shape == (11, 12, 12, 12)


def _measured(channel: torch.Tensor) -> torch.Tensor:
    """Undo the logarithm of a look's spread or detail."""
    return ((3 * channel).exp() - 1) / 100


def test_details_share_out_the_spread() -> None:
    look = coarse(torch.rand(1, 1, 48, 48, 48))
    spread, details = _measured(look[1]), _measured(look[2:9])
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
    measured = _measured(coarse(image[None, None])[2:9])
    assert torch.allclose(measured[channel - 2], torch.tensor(1.0), rtol=1e-3)
    assert float(measured.sum(0).mean()) == pytest.approx(1.0, rel=1e-3)


def test_the_networks_give_every_kind_motion_and_noise() -> None:
    assert KindNetwork()(torch.rand(2, 11, 48, 56, 44)).shape == (2, len(Kind))
    assert FaultNetwork()(torch.rand(2, SYMPTOMS)).shape == (2, 2)


def test_the_kind_depends_on_the_mean_the_spread_and_the_extremes_alone() -> None:
    looks, other = torch.rand(2, 1, 11, 48, 56, 44)
    other[:, list(SEEN)] = looks[:, list(SEEN)]
    kinds = KindNetwork().eval()
    assert torch.equal(kinds(looks), kinds(other))
    for channel in SEEN:
        changed = looks.clone()
        changed[:, channel] += 1
        assert not torch.equal(kinds(looks), kinds(changed))


def test_the_extremes_are_the_brightest_and_the_darkest_within_4_mm() -> None:
    image = torch.zeros(1, 1, 48, 48, 48)
    image[0, 0, 8:10, 8:10, 8:10] = 8.0  # one block of 2 mm, in one of 4 mm
    image[0, 0, 20:22, 20:22, 20:22] = -8.0
    above, below = _measured(coarse(image)[9:])
    assert above[2, 2, 2] == pytest.approx(7.0, rel=1e-3) and below[2, 2, 2] == pytest.approx(1.0, rel=1e-3)
    assert above[5, 5, 5] == pytest.approx(1.0, rel=1e-3) and below[5, 5, 5] == pytest.approx(7.0, rel=1e-3)
    assert int((above > 1e-3).sum()) == int((below > 1e-3).sum()) == 2


@pytest.mark.long
def test_some_angiographies_show_a_slab_alone(host: Original, monkeypatch: pytest.MonkeyPatch) -> None:
    def height(slab: float, seed: int) -> int:
        monkeypatch.setattr(paint, "_SLAB", slab)
        slices = draw(host, Kind.ANGIOGRAPHY, seed, moves=0.0).image.mean((0, 1))
        return int((slices > 0.3 * slices.max()).sum()) * 2

    heights = np.array([[height(slab, seed) for seed in range(6)] for slab in (0.0, 1.0)])
    assert heights[1].mean() < 0.8 * heights[0].mean()
