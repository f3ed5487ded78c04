"""What looks like an infarct and is none: each kind where and as dark as it should be."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from insula.simulate import Blob, Confounders, Tissue
from insula.simulate.blobs import MOST_BLOBS, blob_numbers, draw_blobs
from insula.simulate.confounders import KINDS, Kind, white_matter_disease
from insula.simulate.fields import identity

_SIZE = 40


def _draw(image: torch.Tensor, blobs: tuple[Blob, ...], classes: torch.Tensor) -> torch.Tensor:
    numbers = {k: torch.tensor(v, dtype=torch.float32) for k, v in blob_numbers([blobs]).items()}
    index = identity((_SIZE,) * 3, device=torch.device("cpu"))[None]
    return draw_blobs(image[None], index, numbers, classes[None])[0]


def _all_white() -> torch.Tensor:
    classes = torch.zeros(5, _SIZE, _SIZE, _SIZE)
    classes[0] = 1
    return classes


def test_every_kind_is_known() -> None:
    assert get_args(Kind) == KINDS


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.7, -0.3, 1.1)])
def test_blobs_are_the_ellipsoids_they_say(turn: tuple[float, float, float]) -> None:
    """Against a slow reference: rotate, divide by the radii, compare with 1."""
    radii, centre = (9.0, 4.0, 5.0), (18.0, 21.0, 19.5)
    blob = Blob(centre=centre, radii_mm=radii, turn=turn, level=0.3, softness=0.01)
    out = _draw(torch.ones(_SIZE, _SIZE, _SIZE), (blob,), _all_white())
    away = np.moveaxis(np.indices((_SIZE,) * 3), 0, -1) - np.array(centre)
    own = Rotation.from_rotvec(turn).inv().apply(away.reshape(-1, 3)) / radii
    inside = (np.linalg.norm(own, axis=1) < 1).reshape((_SIZE,) * 3)
    assert (np.abs(out.numpy() - np.where(inside, 0.3, 1.0)) < 0.1).mean() > 0.985


def test_a_factor_multiplies_and_a_level_replaces() -> None:
    image = torch.full((_SIZE, _SIZE, _SIZE), 0.8)
    darker = Blob(centre=(10, 20, 20), radii_mm=(5, 5, 5), factor=0.5, softness=0.02)
    fluid = Blob(centre=(30, 20, 20), radii_mm=(5, 5, 5), level=0.2, softness=0.02)
    out = _draw(image, (darker, fluid), _all_white())
    assert float(out[10, 20, 20]) == pytest.approx(0.4, abs=0.01)
    assert float(out[30, 20, 20]) == pytest.approx(0.2, abs=0.01)
    assert float(out[20, 5, 5]) == pytest.approx(0.8, abs=0.01)


def test_blobs_stay_in_their_tissue() -> None:
    classes = torch.zeros(5, _SIZE, _SIZE, _SIZE)
    classes[0, :20], classes[3, 20:] = 1, 1  # white matter beside a ventricle
    plexus = Blob(
        centre=(20, 20, 20), radii_mm=(6, 6, 6), level=0.6, white=False, grey=False, ventricle=True, softness=0.02
    )
    out = _draw(torch.ones(_SIZE, _SIZE, _SIZE), (plexus,), classes)
    assert torch.equal(out[:20], torch.ones_like(out[:20]))
    assert float(out[22, 20, 20]) == pytest.approx(0.6, abs=0.01)


def _places() -> dict[Tissue, np.ndarray]:
    rng = np.random.default_rng(0)
    low = {Tissue.WHITE: 40, Tissue.CORTEX: 20, Tissue.DEEP_GREY: 90, Tissue.VENTRICLE: 90, Tissue.BRAINSTEM: 95}
    return {kind: rng.uniform(start, start + 40, (200, 3)) for kind, start in low.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_each_kind_is_drawn_within_its_range(kind: Kind, seed: int) -> None:
    to_atlas = np.eye(4)
    to_atlas[:3, 3] = (-96, -130, -80)
    confounders = Confounders.sample(
        np.random.default_rng(seed),
        places=_places(),
        to_atlas=to_atlas,
        csf=0.2,
        only=kind,
        lesion=(120.0, 115.0, 100.0),
    )
    assert confounders.kinds == (kind,)
    assert len(confounders.blobs) <= MOST_BLOBS
    if kind == "caps":
        assert 0.73 <= confounders.caps_factor <= 0.96
    elif kind == "atrophy":
        assert confounders.shift.atrophy_mm != 0
    elif kind == "wide_ventricle":
        assert confounders.shift.side_mm > 0
    else:
        assert confounders.blobs
    if kind == "tract":
        assert all(0.85 <= blob.factor <= 0.95 for blob in confounders.blobs)
    if kind in ("arachnoid_cyst", "tumour"):
        assert confounders.shift.push_mm >= 3
    if kind == "perivascular":
        assert all(min(blob.radii_mm) < 1.5 for blob in confounders.blobs)


def _sampled(count: int, **options: Any) -> list[Confounders]:
    rng, places = np.random.default_rng(0), _places()
    return [Confounders.sample(rng, places=places, to_atlas=np.eye(4), csf=0.2, **options) for _ in range(count)]


_DRAWN: dict[Kind, tuple[tuple[int, int], tuple[float, float], float, dict[str, bool]]] = {
    # kind: number, level, softness, where it shows
    "perivascular": ((2, 7), (0.25, 0.55), 0.25, {"white": True, "grey": True}),
    "dots": ((2, 8), (0.0, 0.0), 0.4, {"white": True}),
    "choroid": ((1, 4), (0.4, 0.7), 0.3, {"ventricle": True}),
    "ovoids": ((4, 12), (0.0, 0.0), 0.25, {"white": True}),
    "arachnoid_cyst": ((1, 1), (0.18, 0.22), 0.05, {"white": True, "grey": True, "csf": True}),
    "resection": ((1, 1), (0.16, 0.22), 0.04, {"white": True, "grey": True, "csf": True, "outside": True}),
    "tumour": ((1, 1), (0.3, 0.6), 0.2, {"white": True, "grey": True, "csf": True, "ventricle": True}),
}


@pytest.mark.parametrize("kind", _DRAWN)
def test_how_many_how_dark_and_where(kind: Kind) -> None:
    counts, levels, softness, where = _DRAWN[kind]
    heads = _sampled(150, only=kind)
    numbers = [len(head.blobs) for head in heads]
    assert (min(numbers), max(numbers)) == counts
    blobs = [blob for head in heads for blob in head.blobs]
    assert levels[0] <= min(blob.level for blob in blobs) <= max(blob.level for blob in blobs) <= levels[1]
    assert max(blob.level for blob in blobs) >= levels[1] - 0.1 * (levels[1] - levels[0])
    assert {blob.softness for blob in blobs} == {softness}
    for place in ("white", "grey", "csf", "ventricle", "outside"):
        assert {getattr(blob, place) for blob in blobs} == {where.get(place, False)}
    assert len({blob.turn for blob in blobs}) == len(blobs)


def test_a_cyst_pushes_the_cortex_by_part_of_its_radius() -> None:
    for head in _sampled(20, only="arachnoid_cyst"):
        (blob,) = head.blobs
        assert head.shift.push_radius_mm == blob.radii_mm[0]
        assert head.shift.push_mm == pytest.approx(0.6 * blob.radii_mm[0])
        assert head.shift.push_centre == blob.centre


def test_shares_of_the_heads() -> None:
    heads = _sampled(600)
    shares = {kind: np.mean([kind in head.kinds for head in heads]) for kind in KINDS}
    expected = (0.35, 0.3, 0.3, 0.08, 0.05, 0.03, 0.04, 0.5, 0.45, 0.12, 0.6)
    assert shares == pytest.approx(dict(zip(KINDS, expected, strict=True)), abs=0.06)


def test_large_ones_come_first_so_that_small_ones_never_take_their_room() -> None:
    for head in _sampled(10, rate=1e3):
        cyst, cavity = head.blobs[:2]
        assert len(head.blobs) == MOST_BLOBS
        assert (cyst.csf, cyst.outside, cavity.csf, cavity.outside) == (True, False, True, True)
        assert "tumour" not in head.kinds  # a head has room for one push


def test_nothing_is_drawn_at_a_rate_of_zero_or_in_a_head_without_tissues() -> None:
    rng = np.random.default_rng(0)
    assert Confounders.sample(rng, places=_places(), to_atlas=np.eye(4), csf=0.2, rate=0) == Confounders()
    empty = Confounders.sample(rng, places={}, to_atlas=np.eye(4), csf=0.2, rate=100)
    assert empty.blobs == ()


def test_caps_follow_the_ventricles() -> None:
    white = torch.ones(1, 48, 48, 48, dtype=torch.bool)
    ventricle = torch.zeros_like(white)
    ventricle[:, 16:32, 10:38, 16:32] = True
    white &= ~ventricle
    noise, caps = torch.zeros(1, 48, 48, 48), torch.tensor([[0.8, 0.8]])
    out = white_matter_disease(torch.ones(1, 48, 48, 48), ventricle, white, noise, caps)[0]
    assert float(out[33, 24, 24]) < 0.9
    assert float(out[2, 2, 2]) > 0.99
    none = white_matter_disease(torch.ones(1, 48, 48, 48), ventricle, white, noise, torch.tensor([[1.0, 2.0]]))
    assert torch.equal(none, torch.ones_like(none))
