"""Displacements: lesions pull, masses push, CSF spaces widen, and nothing moves without a reason."""

from __future__ import annotations

import pytest
import torch

from insula.simulate import Shift, Tissue
from insula.simulate.fields import identity, look_up
from insula.simulate.shift import near_lesion, pull, push, toward_csf, widen
from simulate.hosts import ball

_CPU = torch.device("cpu")


def _index(size: int = 48) -> torch.Tensor:
    return identity((size, size, size), device=_CPU)[None]


def test_tissue_loss_pulls_the_neighbours_in() -> None:
    """Ex vacuo: what lay outside the lesion is now found nearer to it; its sources lie farther out."""
    step = pull(ball(10)[None], torch.tensor([3.0]))[0]
    assert float(step[0, 24 + 13, 24, 24]) > 0.5
    assert float(step[0, 24 - 13, 24, 24]) < -0.5
    assert float(step.norm(dim=0).max()) == pytest.approx(3.0, rel=1e-3)
    assert float(pull(torch.zeros(1, 48, 48, 48), torch.tensor([3.0])).abs().max()) == 0


def _ventricle() -> tuple[torch.Tensor, torch.Tensor]:
    tissue = torch.full((48, 48, 48), int(Tissue.WHITE), dtype=torch.uint8)
    csf = ball(8)
    tissue[csf > 0] = int(Tissue.VENTRICLE)
    return tissue, csf


@pytest.mark.parametrize(("mm", "sign"), [(1.0, 1), (-0.5, -1), (0.0, 0)])
def test_csf_spaces_widen_and_narrow(mm: float, sign: int) -> None:
    tissue, csf = _ventricle()
    direction = look_up(toward_csf(tissue), (_index()[0] - 0.5) / 2, repeat_rim=True)[None]
    none = torch.zeros(1, 48, 48, 48)
    shifts = torch.tensor([Shift(atrophy_mm=mm).numbers()])
    index = _index() + widen(_index(), direction, none, none, shifts, torch.zeros(1))
    after, before = float(look_up(csf[None], index[0])[0].sum()), float(csf.sum())
    if sign:
        assert (after - before) * sign > 0.05 * before
    else:
        assert after == pytest.approx(before)


def test_a_lesion_widens_what_is_near_and_leaves_the_far_side() -> None:
    tissue, csf = _ventricle()
    direction = look_up(toward_csf(tissue), (_index()[0] - 0.5) / 2, repeat_rim=True)[None]
    lesion = torch.zeros(1, 48, 48, 48)
    lesion[:, 36:44, 18:30, 18:30] = 1
    shifts = torch.tensor([Shift().numbers()])
    step = widen(_index(), direction, near_lesion(lesion), lesion, shifts, torch.tensor([1.5]))
    moved = look_up(csf[None], (_index() + step)[0])[0]
    assert float(moved[24:].sum() / csf[24:].sum()) > 1.08
    assert float(moved[24:].sum() - csf[24:].sum()) > 1.5 * float(moved[:24].sum() - csf[:24].sum())
    assert float(step[:, :, 36:44, 18:30, 18:30].abs().max()) == 0


def test_a_mass_makes_room_for_itself() -> None:
    shift = Shift(push_mm=5.0, push_radius_mm=6.0, push_centre=(24.0, 24.0, 24.0))
    step = push(_index(), torch.tensor([shift.numbers()]))
    line = torch.zeros(48, 48, 48)
    line[26] = 1  # a sheet of tissue beside the middle
    moved = look_up(line[None], (_index() + step)[0])[0]
    assert float(moved[26, 24, 24]) < 0.2
    assert int(moved[24:, 24, 24].argmax()) > 3
    assert float(step[:, :, 0].abs().max()) < 0.3 * 5
    assert float(push(_index(), torch.tensor([Shift().numbers()])).abs().max()) == 0


def test_lesions_count_as_near_over_centimetres() -> None:
    near = near_lesion(ball(16, 64)[None])[0]
    assert float(near[32, 32, 32]) > 0.5
    assert float(near[0, 0, 0]) < 0.2
    assert float(near_lesion(torch.zeros(1, 32, 32, 32)).max()) == 0
