"""What is no T1w scan of a head is refused, and what is one is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from insula.config import PrepareConfig, SegmentConfig
from insula.contrast import check_contrast, look_at, refuse_labels, verdict_of
from insula.errors import BadData
from insula.geometry import Grid
from insula.predict import segment
from insula.prepare import prepare
from insula.simulate import Artefacts, phantom_case
from insula.simulate.artefacts import disturb
from insula.simulate.phantom import Sphere, phantom_grid
from insula.types import Flag
from insula.volume import Case, Scan

_GRID = phantom_grid(spacing_mm=(2.0, 2.0, 2.0))
_T1W = (0.0, 0.15, 0.22, 0.25, 0.6, 0.95, 1.0)  # air, skull, ventricle, CSF, grey matter, scalp, white matter
_LIKE = {
    "T2w": (0.0, 0.1, 1.0, 1.0, 0.55, 0.35, 0.4),
    "T2w, bright scalp": (0.0, 0.1, 1.0, 1.0, 0.5, 0.8, 0.38),
    "a map of T1": (0.0, 0.2, 1.0, 0.95, 0.33, 0.08, 0.2),
    "diffusion": (0.0, 0.02, 0.1, 0.1, 0.8, 0.02, 0.62),
}


def _scan(levels: tuple[float, ...], *, noise: float = 0.015, grid: Grid = _GRID) -> Scan:
    """The phantom's head with other greys."""
    clean = phantom_case(grid, lesions=(), noise=0.0, scale=1.0).scan
    knots = np.array(sorted(_T1W))
    image = np.asarray(levels, np.float32)[np.abs(clean.image[..., None] - knots).argmin(-1)]
    image = image + noise * np.random.default_rng(0).standard_normal(image.shape, dtype=np.float32)
    return replace(clean, image=np.abs(image).astype(np.float32) * 1000)


def _image(scan: Scan) -> torch.Tensor:
    return look_at(scan, prepare(scan, PrepareConfig()), PrepareConfig())


@pytest.mark.parametrize("lesions", [(), (Sphere((-38.0, -10.0, 18.0), 14.0),), (Sphere((-35.0, -20.0, 15.0), 28.0),)])
@pytest.mark.parametrize("skull", [True, pytest.param(False, marks=pytest.mark.long)])
@pytest.mark.parametrize("noise", [pytest.param(0.01, marks=pytest.mark.long), 0.06])
def test_heads_with_the_tissues_of_t1w_are_taken(lesions: tuple[Sphere, ...], skull: bool, noise: float) -> None:
    scan = phantom_case(_GRID, lesions, skull=skull, noise=noise).scan
    assert "contrast-agent-seen" not in [flag.code for flag in check_contrast(_image(scan))]


@pytest.mark.parametrize(
    "kind", [kind if kind in ("T2w", "diffusion") else pytest.param(kind, marks=pytest.mark.long) for kind in _LIKE]
)
def test_other_orders_of_tissue_are_refused(kind: str) -> None:
    with pytest.raises(BadData, match="assume_t1w"):
        check_contrast(_image(_scan(_LIKE[kind])))


def _ball() -> NDArray[np.float32]:
    place = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) * n for n in _GRID.shape), indexing="ij"))
    return ((place**2).sum(0) < 80**2).astype(np.float32)


def test_a_ball_of_water_is_no_head() -> None:
    noise = 0.02 * np.random.default_rng(0).standard_normal(_GRID.shape, dtype=np.float32)
    with pytest.raises(BadData, match="the image"):
        check_contrast(_image(Scan(np.abs(_ball() + noise) * 900, _GRID, name="ball")))


def test_noise_is_no_head() -> None:
    image = np.random.default_rng(0).random(_GRID.shape, dtype=np.float32) + 2 * _ball()
    with pytest.raises(BadData):
        check_contrast(_image(Scan(image, _GRID, name="noise")))


def test_the_door_refuses_it_unless_told(tiny_weights: Path) -> None:
    scan = _scan(_LIKE["T2w"])
    with pytest.raises(BadData, match="looks like"):
        segment(scan, SegmentConfig(device="cpu"), weights=str(tiny_weights))
    result = segment(scan, SegmentConfig(device="cpu", assume_t1w=True), weights=str(tiny_weights))
    assert result.mask.grid == scan.grid
    (flag,) = (flag for flag in result.flags if flag.code == "contrast-assumed")
    assert "looks like" in flag.text and flag.severity == "warning"


def _codes(scan: Scan) -> set[str]:
    return {flag.code for flag in check_contrast(_image(scan))} & {"motion", "low-signal"}


@pytest.mark.parametrize(("noise", "codes"), [(0.01, set()), (0.06, set()), (0.2, {"low-signal"})])
def test_noise_that_hides_the_contrast_of_tissues_is_flagged(noise: float, codes: set[str]) -> None:
    assert _codes(phantom_case(_GRID, (), noise=noise).scan) == codes


@pytest.mark.parametrize("ghost", [pytest.param(0.0, marks=pytest.mark.long), 0.6])
def test_a_head_that_moves_far_during_the_scan_is_flagged_and_not_refused(ghost: float) -> None:
    scan = phantom_case(_GRID, (), noise=0.015).scan
    fault = Artefacts(ghost=ghost, ghost_every=4, move_deg=(8.0, -8.0, 8.0), move_mm=(3.0, 3.0, 3.0), move_at=0.56)
    moved = disturb(torch.from_numpy(np.array(scan.image)), fault).numpy()
    assert _codes(scan) == set()
    assert _codes(replace(scan, image=moved)) == {"motion"}


@pytest.mark.parametrize("factor", [3.0, 100.0])
@pytest.mark.parametrize("assume", [False, True])
def test_slices_with_a_damaged_scale_are_the_reason_and_not_a_contrast(
    factor: float, assume: bool, coarse_case: Case, tiny_weights: Path
) -> None:
    """A factor of 3 makes the head look like another kind, and a factor of 100 leaves no head at all."""
    middle = coarse_case.scan.grid.shape[2] // 2
    image = coarse_case.scan.image.copy()
    image[:, :, middle - 3 : middle + 4 : 2] *= factor
    texts = [f"Slice {middle + 1} stands out, because RescaleSlope ({factor:g}) differs.", "Slice 40 stands out."]
    config = SegmentConfig(device="cpu", assume_t1w=assume)
    scan = replace(coarse_case.scan, image=image)
    odd = replace(scan, flags=tuple(Flag("slice-scaling-odd", text) for text in texts))
    if assume and factor == 3.0:
        flags = segment(odd, config, weights=str(tiny_weights)).flags
        assert {"slice-scaling-odd", "contrast-assumed"} <= {flag.code for flag in flags}
        return
    with pytest.raises(BadData) as error:
        segment(odd, config, weights=str(tiny_weights))
    assert f"slice {middle + 1} stands out, because RescaleSlope ({factor:g}) differs (1 more" in str(error.value)
    assert "FLAIR" not in str(error.value) and "T2" not in str(error.value)
    with pytest.raises(BadData) as error:
        segment(scan, config, weights=str(tiny_weights))
    assert "stands out" not in str(error.value)


def test_what_looks_like_t1w_is_not_flagged_when_it_is_assumed() -> None:
    image = _image(phantom_case(_GRID, (), noise=0.015).scan)
    assert check_contrast(image, assume_t1w=True) == check_contrast(image)


def test_other_ways_of_preparing_change_no_verdict(coarse_case: Case) -> None:
    other = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)
    verdict = verdict_of(look_at(coarse_case.scan, prepare(coarse_case.scan, other), other))
    assert verdict.t1w == pytest.approx(verdict_of(_image(coarse_case.scan)).t1w, abs=0.15)
    assert not verdict.refused


def test_the_verdict_does_not_hang_on_units_and_axis_order(coarse_case: Case) -> None:
    verdict = verdict_of(_image(coarse_case.scan))
    other = verdict_of(_image(replace(coarse_case.scan, image=coarse_case.scan.image * np.float32(1e-4))))
    assert verdict.t1w == pytest.approx(other.t1w, abs=1e-3)


@pytest.mark.parametrize("levels", [1, 12])
def test_masks_and_label_maps_are_refused(levels: int) -> None:
    labels = np.zeros((40, 40, 40), np.float32)
    for n in range(levels):
        labels[5:35, 5:35, 5 + 2 * n : 35] = n + 1
    with pytest.raises(BadData, match="is a mask or a label map"):
        refuse_labels(labels)


def test_scans_of_few_bits_and_enlarged_scans_are_no_label_maps() -> None:
    rng = np.random.default_rng(0)
    scan = rng.integers(40, 60, (30, 30, 30)).astype(np.float32)
    refuse_labels(scan)
    refuse_labels(scan.repeat(2, 0).repeat(2, 1).repeat(2, 2))
