"""Infarcts look as their phase demands, and only where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.simulate import (
    LesionLook,
    ScannerLook,
    Tissue,
    from_dlmuse,
    from_freesurfer,
    insert_lesion,
    paint,
    scan_with,
)
from insula.simulate.anatomy import add_skull
from insula.simulate.fields import blur
from insula.simulate.lesion import pull

_CSF, _GREY, _WHITE = 0.2, 0.6, 1.0


def _ball(radius: float, size: int = 48) -> torch.Tensor:
    place = torch.stack(torch.meshgrid(*[torch.arange(size) - size / 2] * 3, indexing="ij"))
    return (place.square().sum(0).sqrt() < radius).float()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("phase", ["acute", "chronic"])
def test_a_lesion_darkens_white_matter_and_leaves_the_rest(phase: str, seed: int) -> None:
    look = LesionLook.sample(np.random.default_rng(seed), phase=phase)  # type: ignore[arg-type]
    image, lesion = torch.full((48, 48, 48), _WHITE), _ball(11)
    out = insert_lesion(image, lesion, look, csf=_CSF, grey=_GREY)
    core = _ball(6) > 0
    if phase == "acute":  # swollen and mildly dark, never a cavity
        assert 0.6 < float(out[core].mean()) < 0.97
        assert look.pull_mm <= 0
    else:
        assert float(out[core].mean()) < 0.95
        assert look.pull_mm >= 0
    far = _ball(22) == 0
    assert torch.equal(out[far], image[far])


def _hollow(cavity_depth: float) -> LesionLook:
    return LesionLook(
        phase="chronic", tissue_factor=0.7, cavity_depth=cavity_depth, cavity_level=0.0, border_mm=0.5, patchiness=0.0,
        pull_mm=0.0, seed=1,
    )  # fmt: skip


def test_a_cavity_is_csf_and_its_rim_is_not() -> None:
    look = _hollow(0.6)
    out = insert_lesion(torch.full((48, 48, 48), _WHITE), _ball(12), look, csf=_CSF, grey=_GREY)
    assert float(out[_ball(5) > 0].mean()) == pytest.approx(_CSF, abs=0.03)
    rim = (_ball(11.5) > 0) & (_ball(10.5) == 0)
    assert 0.4 < float(out[rim].mean()) < 0.9


@pytest.mark.parametrize("radius", [3.0, 5.0, 12.0])
def test_a_lacune_has_a_cavity_as_a_territory_has(radius: float) -> None:
    out = insert_lesion(torch.full((48, 48, 48), _WHITE), _ball(radius), _hollow(0.5), csf=_CSF, grey=_GREY)
    assert float(out[_ball(1.5) > 0].mean()) == pytest.approx(_CSF, abs=0.06)
    assert float(out[_ball(radius + 3) == 0].min()) == _WHITE


def test_tissue_loss_pulls_the_neighbours_in() -> None:
    """Ex-vacuo: what lay outside the lesion is now found nearer to it; its sources lie farther out."""
    look = LesionLook(
        phase="chronic",
        tissue_factor=0.7,
        cavity_depth=2.0,
        cavity_level=0.0,
        border_mm=0.5,
        patchiness=0.0,
        pull_mm=3.0,
        seed=1,
    )
    step = pull(_ball(10), look)
    assert float(step[0, 24 + 13, 24, 24]) > 0.5
    assert float(step[0, 24 - 13, 24, 24]) < -0.5
    assert float(step.norm(dim=0).max()) == pytest.approx(3.0, rel=1e-3)
    assert float(pull(torch.zeros(48, 48, 48), look).abs().max()) == 0


def test_label_tables_know_their_tissues() -> None:
    assert from_dlmuse(np.array([0, 1, 51, 36, 81, 206, 38, 40, 35, 999])).tolist() == [0, 2, 1, 4, 5, 3, 6, 7, 8, 0]
    assert from_freesurfer(np.array([0, 24, 4, 10, 2, 1012, 8, 7, 16, 2035])).tolist() == [0, 2, 1, 4, 5, 3, 6, 7, 8, 3]


def test_a_skull_closes_around_the_brain() -> None:
    tissue = np.zeros((64, 64, 64), np.uint8)
    tissue[20:44, 20:44, 20:44] = Tissue.WHITE
    dressed = add_skull(tissue)
    assert (dressed[tissue > 0] == Tissue.WHITE).all()
    assert dressed[19, 32, 32] == Tissue.SULCAL_CSF
    assert dressed[14, 32, 32] == Tissue.SKULL
    assert dressed[8, 32, 32] == Tissue.SCALP
    assert dressed[0, 0, 0] == Tissue.OUTSIDE


def test_painted_tissues_keep_the_order_of_t1w() -> None:
    tissue = torch.zeros((32, 32, 32), dtype=torch.uint8)
    tissue[:, :16], tissue[:16, :16] = int(Tissue.WHITE), int(Tissue.VENTRICLE)
    for seed in range(5):
        image, means = paint(tissue, np.random.default_rng(seed))
        assert float(image[2:14, 2:14].mean()) == pytest.approx(means[Tissue.VENTRICLE], abs=0.1)
        assert means[Tissue.VENTRICLE] < means[Tissue.CORTEX] < means[Tissue.WHITE]


def test_a_perfect_scanner_only_scales() -> None:
    image = torch.rand(16, 16, 16)
    assert torch.allclose(scan_with(image, ScannerLook(), white=2.0), image / 2)


def test_noise_and_thick_slices_do_what_they_say() -> None:
    flat = torch.ones(48, 48, 48)
    noisy = scan_with(flat, ScannerLook(noise=0.05, seed=1), white=1.0)
    assert float(noisy.std()) == pytest.approx(0.05, rel=0.05)
    line = torch.zeros(48, 48, 48)
    line[:, :, 24] = 1
    thick = scan_with(line, ScannerLook(slice_mm=5.0, slice_axis=2), white=1.0)
    assert float(thick.max()) < 0.4
    assert float(thick.sum()) == pytest.approx(float(line.sum()), rel=0.1)


def test_blur_agrees_with_scipy() -> None:
    from scipy import ndimage

    volume = torch.randn(20, 22, 24)
    expected = ndimage.gaussian_filter(volume.numpy(), 1.3, mode="nearest", truncate=3.0)
    assert np.allclose(blur(volume, 1.3).numpy(), expected, atol=0.02)
