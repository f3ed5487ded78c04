"""Whole simulated heads: repeatable, their truth inside the brain, controls empty."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from insula.config import SimulateConfig
from insula.simulate import Host, LesionShape, ScannerLook, Tissue, demo_case, simulate_head
from insula.simulate.anatomy import BRAIN, add_skull
from insula.simulate.phantom import phantom_case, phantom_grid


def small_host() -> Host:
    """A phantom head as a host: 64 x 72 x 64 voxels, one millimetre each as far as the simulator knows."""
    grid = phantom_grid(spacing_mm=(3.0, 3.1, 3.0), shape=(64, 72, 64))
    image = phantom_case(grid, ()).scan.image / 1000
    brain = phantom_case(grid, (), skull=False).scan.image / 1000
    tissue = np.zeros(grid.shape, np.uint8)
    for level, kind in ((0.1, Tissue.SULCAL_CSF), (0.4, Tissue.CORTEX), (0.8, Tissue.WHITE)):
        tissue[brain > level] = kind
    return Host(
        name="phantom", image=torch.from_numpy(image), tissue=torch.from_numpy(add_skull(tissue, skull_mm=2, scalp_mm=2)),
        to_atlas=np.diag([3.0, 3.1, 3.0, 1.0]) + np.array([[0, 0, 0, -94.5], [0, 0, 0, -128], [0, 0, 0, -84.5], [0, 0, 0, 0]]), skull=True,
    )  # fmt: skip


def small_shape() -> LesionShape:
    """A ball of 40 mm in the left hemisphere, in atlas millimetres."""
    place = np.moveaxis(np.indices((48, 48, 48)), 0, -1) - 24
    ball = (np.linalg.norm(place, axis=-1) < 20).astype(np.uint8)
    return LesionShape(name="ball", voxels=torch.from_numpy(ball), origin_mm=(-62.0, -40.0, -2.0))


@pytest.mark.parametrize("seed", range(4))
def test_a_head_repeats_and_its_lesion_lies_in_the_brain(seed: int) -> None:
    host, shapes = small_host(), [small_shape()]
    a, b = (simulate_head(host, shapes, SimulateConfig(), np.random.default_rng(seed)) for _ in range(2))
    assert torch.equal(a.image, b.image)
    assert torch.equal(a.truth, b.truth)
    assert a.truth.sum() > 50
    assert a.phase == "chronic"
    assert torch.isfinite(a.image).all()
    assert float(a.image.min()) >= 0


def test_without_shapes_it_is_a_control() -> None:
    head = simulate_head(small_host(), [], SimulateConfig(), np.random.default_rng(0))
    assert head.phase == "control"
    assert not head.truth.any()


def test_stripping_leaves_nothing_outside_the_brain() -> None:
    config = SimulateConfig(strip_fraction=1.0, painted_fraction=0.0)
    host = small_host()
    brain = torch.isin(host.tissue, torch.tensor(BRAIN, dtype=torch.uint8)).float().mean()
    head = simulate_head(host, [], config, np.random.default_rng(3))
    assert float((head.image > 0.2).float().mean()) < 2 * float(brain)


def test_defacing_takes_the_lower_front_away_and_no_brain() -> None:
    host, looks = small_host(), []
    host = replace(host, image=torch.ones_like(host.tissue, dtype=torch.float32))  # tissue out to the rim
    for share in (0.0, 1.0):
        config = SimulateConfig(strip_fraction=0.0, deface_fraction=share, painted_fraction=0.0)
        looks.append(simulate_head(host, [], config, np.random.default_rng(3), look=ScannerLook()).image)
    gone = (looks[0] > 0.05) & (looks[1] == 0)
    assert gone.sum() > 100
    assert not gone[:, :36].any()
    assert not gone[:, :, 32:].any()
    kept = looks[1] > 0
    assert torch.equal(looks[0][kept], looks[1][kept])


def test_the_demo_subject_has_an_infarct_darker_than_its_brain() -> None:
    case = demo_case()
    assert 5 < case.truth.volume_ml < 60
    inside, outside = case.scan.image[case.truth.voxels], case.scan.image[case.scan.image > 300]
    assert np.median(inside) < 0.7 * np.median(outside)
