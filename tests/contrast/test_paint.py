"""The drawn kinds have the order of tissues that their sequences give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.augment import Original
from insula.contrast import paint
from insula.contrast.arteries import arteries
from insula.contrast.kinds import Kind
from insula.contrast.network import FaultNetwork, KindNetwork, _seen
from insula.contrast.paint import draw
from insula.contrast.signal import levels
from insula.contrast.symptoms import SYMPTOMS
from insula.simulate import Tissue


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


@pytest.mark.parametrize(
    ("kind", "brighter", "darker"),
    [(Kind.T1W, "white", "grey"), (Kind.FLAIR, "grey", "white"), (Kind.PD, "grey", "white")],
)
def test_relaxation_times_of_a_head_belong_to_one_field(kind: Kind, brighter: str, darker: str) -> None:
    means = [levels(kind, np.random.default_rng(seed)) for seed in range(400)]
    assert sum(each[brighter] < each[darker] for each in means) <= 24


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


def test_the_networks_give_every_kind_motion_and_noise() -> None:
    assert KindNetwork()(torch.rand(2, 96, 112, 88)).shape == (2, len(Kind))
    assert FaultNetwork()(torch.rand(2, SYMPTOMS)).shape == (2, 2)


def test_the_kind_depends_on_means_details_and_extremes() -> None:
    """Images of the same means, with details of the same spread and another sign, or with another extreme."""
    kinds = KindNetwork().eval()
    flat, detail, extreme = torch.ones(1, 96, 112, 88), torch.zeros(2, 2, 2), torch.full((2, 2, 2), -1 / 7)
    detail[0], detail[1], extreme[0, 0, 0] = 1, -1, 1
    detail, extreme = (part.repeat(48, 56, 44)[None] for part in (detail, extreme / extreme.std(correction=0)))
    logits = [kinds(image) for image in (flat, flat + 1, flat + detail, flat - detail, flat + extreme)]
    for n, first in enumerate(logits):
        for second in logits[n + 1 :]:
            assert not torch.allclose(first, second, atol=1e-5)


def test_the_extremes_are_the_brightest_and_the_darkest_within_4_mm() -> None:
    image = torch.zeros(1, 24, 24, 24)
    image[0, 4, 4, 4], image[0, 10, 10, 10] = 8.0, -8.0  # one voxel of 2 mm, in one block of 4 mm
    above, below = ((3 * _seen(image)[0, 2:4]).exp() - 1) / 100
    assert above[2, 2, 2] == pytest.approx(7.0, rel=1e-3) and below[2, 2, 2] == pytest.approx(1.0, rel=1e-3)
    assert above[5, 5, 5] == pytest.approx(1.0, rel=1e-3) and below[5, 5, 5] == pytest.approx(7.0, rel=1e-3)
    assert int((above > 1e-3).sum()) == int((below > 1e-3).sum()) == 2


def test_arteries_lie_at_the_base_of_the_brain_on_both_sides() -> None:
    brain = torch.zeros(96, 112, 88, dtype=torch.bool)
    brain[15:80, 15:98, 25:80] = True
    share = torch.stack([arteries(brain, np.random.default_rng(seed)) for seed in range(12)])
    assert 0 <= float(share.min()) < float(share.max()) <= 1
    millilitres = share.sum((1, 2, 3)) * 0.008
    assert bool(((millilitres > 1.5) & (millilitres < 9)).all())
    by_height = share.sum((0, 1, 2))
    assert float(by_height[:53].sum()) > 0.9 * float(by_height.sum())  # the lower half of the brain and below it
    left, right = share[:, :47].sum(), share[:, 47:].sum()
    assert float(left) == pytest.approx(float(right), rel=0.25)
    assert not torch.equal(share[0], share[1])


def test_no_artery_is_put_outside_the_image() -> None:
    brain = torch.zeros(20, 24, 16, dtype=torch.bool)
    brain[1:19, 1:23, 0:15] = True
    assert arteries(brain, np.random.default_rng(0)).shape == (20, 24, 16)


@pytest.mark.long
def test_some_angiographies_show_a_slab_alone(host: Original, monkeypatch: pytest.MonkeyPatch) -> None:
    def height(slab: float, seed: int) -> int:
        monkeypatch.setattr(paint, "_SLAB", slab)
        slices = draw(host, Kind.ANGIOGRAPHY, seed, moves=0.0).image.mean((0, 1))
        return int((slices > 0.3 * slices.max()).sum()) * 2

    heights = np.array([[height(slab, seed) for seed in range(6)] for slab in (0.0, 1.0)])
    assert heights[1].mean() < 0.8 * heights[0].mean()


def test_some_real_heads_are_shown_as_a_spin_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    tissue = torch.full((24, 24, 24), int(Tissue.OUTSIDE), dtype=torch.uint8)
    tissue[2:8], tissue[8:16], tissue[16:22] = int(Tissue.SCALP), int(Tissue.CORTEX), int(Tissue.WHITE)
    shells = [Tissue.SCALP, Tissue.CORTEX, Tissue.WHITE]
    levels = torch.zeros(len(Tissue))
    levels[shells] = torch.tensor([1.5, 0.56, 1.0])
    image = levels[tissue.long()].repeat_interleave(2, 0).repeat_interleave(2, 1).repeat_interleave(2, 2)

    def shown(share: float, seed: int, dim: float = 0.0) -> list[float]:
        monkeypatch.setattr(paint, "_SPIN_ECHO", share)
        monkeypatch.setattr(paint, "_DIM", dim)
        seen = paint._real(image, tissue, np.random.default_rng(seed), torch.Generator().manual_seed(seed))
        scalp, grey, white = (float(seen[tissue == kind].median()) for kind in shells)
        return [grey / white, scalp / white]

    plain, spin_echo = (np.array([shown(share, seed) for seed in range(6)]) for share in (0.0, 1.0))
    assert (spin_echo[:, 0] > plain[:, 0] + 0.1).all() and (spin_echo[:, 0] < 0.95).all()
    assert (spin_echo[:, 1] > plain[:, 1]).all()
    dim = np.array([shown(1.0, seed, dim=1.0) for seed in range(6)])
    assert (dim[:, 0] == spin_echo[:, 0]).all()
    assert (dim[:, 1] < 0.95 * spin_echo[:, 1]).all()
