"""Infarcts look as their kind demands, inside their outlines, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from insula.simulate import Acute, Chronic, Haemorrhagic, Lacune, Laminar, Look, Subacute, draw_look
from insula.simulate.fields import node_counts, noise
from insula.simulate.infarct import Where, blood, core_noise, depth_mm, grain, grain_cells, grain_room, infarct
from insula.simulate.ingredients import NO_LESION, Ingredients
from simulate.hosts import ball

_CSF, _GREY, _SIZE = 0.2, 0.6, 48
_CUBE = (_SIZE, _SIZE, _SIZE)


def noises(seed: int = 1, cells: tuple[float, float, float] = (2.6, 4.0, 12.0)) -> torch.Tensor:
    room = grain_room(_CUBE)
    nodes = torch.zeros(1, 3, *room)
    apart = np.zeros((1, 3, 3), np.float32)
    for n, mm in enumerate(cells):
        i, j, k = node_counts(_CUBE, mm)
        nodes[0, n, :i, :j, :k] = noise((i, j, k), seed=seed + n, device=torch.device("cpu"))
        apart[0, n] = (np.array(_CUBE) - 1) / (np.array((i, j, k)) - 1)
    return grain(nodes, torch.from_numpy(apart), _CUBE)


def insert(image: torch.Tensor, truth: torch.Tensor, look: Look | Ingredients, **where: torch.Tensor) -> torch.Tensor:
    """An infarct in a head that is white matter where nothing else is said."""
    numbers = look if isinstance(look, Ingredients) else look.ingredients(csf=_CSF, grey=_GREY)
    nothing = torch.zeros(1, *_CUBE, dtype=torch.bool)
    classes = {"cortex": nothing, "fluid": nothing, "outside": nothing, **{k: v[None].bool() for k, v in where.items()}}
    white = ~(classes["cortex"] | classes["fluid"] | classes["outside"])
    speckle = noise((1, *_CUBE), seed=5, device=torch.device("cpu"))
    row = torch.tensor([numbers], dtype=torch.float32)
    return infarct(image[None], truth[None], row, noises(), speckle, Where(white=white, **classes))[0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", [Chronic, Acute, Subacute, Laminar, Haemorrhagic, Lacune])
def test_an_infarct_changes_its_inside_and_nothing_else(kind: type[Look], seed: int) -> None:
    look = kind.sample(np.random.default_rng(seed))
    image, truth = torch.ones(_CUBE), ball(11)
    out = insert(image, truth, look)
    far = ball(13) == 0
    assert torch.allclose(out[far], image[far], atol=0.02)
    assert float((out - image)[ball(7) > 0].abs().mean()) > 0.02
    assert float(out.min()) >= 0


def test_nothing_is_changed_without_a_lesion() -> None:
    image = torch.rand(_CUBE)
    assert torch.equal(insert(image, torch.zeros(_CUBE), Chronic.sample(np.random.default_rng(0))), image)
    assert torch.equal(insert(image, ball(11), NO_LESION), image)


@pytest.mark.parametrize("seed", range(8))
def test_looks_keep_within_their_ranges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for look in (Chronic.sample(rng), Acute.sample(rng), Subacute.sample(rng), Laminar.sample(rng), Lacune.sample(rng)):
        n = look.ingredients(csf=_CSF, grey=_GREY)
        assert 0.3 <= n.inset_mm <= 2.0
    assert 0.55 <= Chronic.sample(rng).gliosis_level <= 0.76
    acute = Acute.sample(rng)
    assert 0.41 <= acute.swelling <= 0.79
    assert acute.ingredients(csf=_CSF, grey=_GREY).pull_mm <= 0
    assert 1.1 <= Laminar.sample(rng).ribbon_level <= 1.6
    lacune = Lacune.sample(rng)
    assert 0.17 <= lacune.level <= (0.35 if lacune.cavity else 0.73)
    subacute = Subacute.sample(rng)
    assert subacute.contrast <= 0.6
    assert subacute.ingredients(csf=_CSF, grey=_GREY).white_factor > subacute.acute.white_factor


def test_every_phase_draws_all_its_kinds() -> None:
    rng = np.random.default_rng(0)
    chronic, acute = ({type(draw_look(rng, phase=phase)) for _ in range(200)} for phase in ("chronic", "acute"))
    assert chronic == {Chronic, Laminar, Haemorrhagic}
    assert acute == {Acute, Subacute, Haemorrhagic}


def test_a_chronic_core_mixes_fluid_and_strands() -> None:
    look = replace(Chronic.sample(np.random.default_rng(3)), cavity_share=0.5, rim_mm=0.5, softness=0.2, inset_mm=0.5)
    core = insert(torch.ones(_CUBE), ball(16), look)[ball(10) > 0]
    fluid, tissue = float((core < 0.35).float().mean()), float((core > 0.45).float().mean())
    assert 0.25 < fluid < 0.75
    assert 0.15 < tissue < 0.7
    for share in (0.1, 0.9):
        other = insert(torch.ones(_CUBE), ball(16), replace(look, cavity_share=share))[ball(10) > 0]
        assert (float((other < 0.35).float().mean()) - fluid) * (share - 0.5) > 0


def test_the_cavity_has_a_rim_of_tissue_but_not_towards_the_surface() -> None:
    look = replace(Chronic.sample(np.random.default_rng(3)), cavity_share=0.97, rim_mm=2.5, inset_mm=0.3, border_mm=0.3)
    image, truth, outside = torch.ones(_CUBE), ball(14), torch.zeros(_CUBE)
    outside[:24] = 1  # the brain's surface cuts through the lesion
    truth = truth * (1 - outside)
    out = insert(image, truth, look, outside=outside)
    surface, inner_rim = out[25:27, 20:28, 20:28], out[35:37, 22:26, 22:26]
    assert float(surface.mean()) < 0.4
    assert float(inner_rim.mean()) > float(surface.mean()) + 0.15


@pytest.mark.parametrize("radius", [2.5, 5.0, 12.0])
def test_depth_reaches_its_most_in_the_middle_of_every_size(radius: float) -> None:
    depth = depth_mm(ball(radius)[None])[0]
    assert float(depth[24, 24, 24]) > 2.2
    assert float(depth[ball(radius + 3) == 0].max()) < 0
    if radius > 10:
        assert float(depth[24 + int(radius), 24, 24]) == pytest.approx(0, abs=1.0)


def test_swelling_fills_the_sulci_and_leaves_others() -> None:
    image, sulcus = torch.ones(_CUBE), torch.zeros(_CUBE)
    sulcus[:, 23:25] = 1
    image[sulcus > 0] = _CSF
    look = replace(Acute.sample(np.random.default_rng(0)), swelling=0.79, inset_mm=0.3)
    out = insert(image, ball(12), look, fluid=sulcus)
    inside, beyond = (sulcus > 0) & (ball(8) > 0), (sulcus > 0) & (ball(16) == 0)
    assert float(out[inside].mean()) > _CSF + 0.15
    assert float(out[beyond].mean()) == pytest.approx(_CSF, abs=0.01)


def test_a_ribbon_lies_in_the_cortex_alone() -> None:
    cortex = torch.zeros(_CUBE)
    cortex[20:23] = 1
    image = torch.where(cortex > 0, torch.tensor(_GREY), torch.tensor(1.0))
    look = replace(Laminar.sample(np.random.default_rng(1)), ribbon_level=1.5, ribbon_share=0.9, inset_mm=0.3)
    out = insert(image, ball(12), look, cortex=cortex)
    assert float(out[(cortex > 0) & (ball(9) > 0)].quantile(0.7)) > 1.1
    assert float(out[(cortex == 0) & (ball(9) > 0)].max()) < 1.1


def test_blood_is_bright_in_a_dark_rim() -> None:
    line = torch.linspace(-2, 3, 200).view(1, 1, 1, 200)
    out = blood(torch.full_like(line, 0.7), line, torch.tensor(1.0), torch.tensor(1.5), torch.tensor(0.2))[0, 0, 0]
    assert float(out[line.flatten() > 1.5].min()) > 1.3
    assert float(out[line.flatten() < 0.3].max()) == pytest.approx(0.7, abs=0.02)
    assert float(out.min()) < 0.45


@pytest.mark.parametrize("strands", [0.0, 0.5, 1.0])
def test_the_core_noise_is_standard_enough_to_cut(strands: float) -> None:
    noise = core_noise(noises(), torch.tensor(strands), torch.tensor(0.5))
    assert abs(float(noise.mean())) < 0.2
    assert float(noise.std()) == pytest.approx(1.0, abs=0.25)


def test_grain_varies_over_its_cells() -> None:
    fine, _, broad = noises().unbind(1)
    step = [float((x[:, 1:] - x[:, :-1]).square().mean().sqrt() / x.std()) for x in (fine, broad)]
    assert step[0] > 2 * step[1]
    cells = grain_cells(np.random.default_rng(0))
    assert 2.0 <= cells[0] <= 3.5 < cells[2]
