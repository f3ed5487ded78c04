"""Label maps become tissues; skulls close; CSF is trimmed to what the brain mask means."""

from __future__ import annotations

import numpy as np
import pytest

from insula.simulate import Tissue, from_dlmuse, from_freesurfer
from insula.simulate.anatomy import BRAIN, GREY, PARENCHYMA, WHITE, add_skull, draw_palette, trim_csf


def test_label_tables_know_their_tissues() -> None:
    assert from_dlmuse(np.array([0, 1, 51, 36, 81, 206, 38, 40, 35, 999])).tolist() == [0, 2, 1, 4, 5, 3, 6, 7, 8, 0]
    assert from_freesurfer(np.array([0, 24, 4, 10, 2, 1012, 8, 7, 16, 2035])).tolist() == [0, 2, 1, 4, 5, 3, 6, 7, 8, 3]
    assert from_freesurfer(np.array([507, 515, 502])).tolist() == [Tissue.SCALP, Tissue.SKULL, Tissue.FACE]


# left and right of the same structure, in FreeSurfer's table of labels
_PAIRS = [(2, 41), (3, 42), (4, 43), (5, 44), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52), (17, 53)]
_PAIRS += [(18, 54), (26, 58), (28, 60), (25, 57), (30, 62), (136, 137), (163, 164)]
_PAIRS += [(1000 + n, 2000 + n) for n in range(36)]


def test_both_sides_of_the_head_are_the_same_tissue() -> None:
    for left, right in _PAIRS:
        first, second = from_freesurfer(np.array([left, right]))
        assert first == second != Tissue.OUTSIDE, (left, right)


@pytest.mark.parametrize(
    ("labels", "tissue"),
    [
        ([251, 252, 253, 254, 255], Tissue.WHITE),  # the corpus callosum
        ([77, 85], Tissue.WHITE),
        ([14, 15, 72], Tissue.VENTRICLE),
        ([511, 514, 515], Tissue.SKULL),
        ([502, 506, 508, 509, 512, 516, 530], Tissue.FACE),
        ([250, 256, 999, 1036, 2036, 4095, 9999], Tissue.OUTSIDE),
    ],
)
def test_labels_without_a_side(labels: list[int], tissue: Tissue) -> None:
    assert set(from_freesurfer(np.array(labels)).tolist()) == {tissue}


def test_which_tissues_are_brain_and_which_are_parenchyma() -> None:
    """Every tissue is here, so that a new one has to be put into a group or into none."""
    white = {Tissue.WHITE, Tissue.CEREBELLAR_WHITE, Tissue.BRAINSTEM}
    grey = {Tissue.CORTEX, Tissue.DEEP_GREY, Tissue.CEREBELLAR_GREY}
    fluid = {Tissue.VENTRICLE, Tissue.SULCAL_CSF}
    around = {Tissue.OUTSIDE, Tissue.SKULL, Tissue.SCALP, Tissue.OUTER_CSF, Tissue.FACE}
    assert set(WHITE) == white
    assert set(GREY) == grey
    assert set(PARENCHYMA) == white | grey
    assert set(BRAIN) == white | grey | fluid
    assert set(Tissue) == white | grey | fluid | around


@pytest.mark.parametrize("kind", sorted({*PARENCHYMA, Tissue.VENTRICLE}))
def test_csf_is_measured_from_every_solid_tissue_and_from_the_ventricles(kind: Tissue) -> None:
    tissue = np.full((48, 48, 48), Tissue.SULCAL_CSF, np.uint8)
    tissue[18:30, 18:30, 18:30] = kind
    trimmed = trim_csf(tissue, reach_mm=3)
    assert (trimmed[15:33, 24, 24] != Tissue.OUTER_CSF).all()
    assert trimmed[14, 24, 24] == trimmed[33, 24, 24] == Tissue.OUTER_CSF


def test_a_skull_closes_around_the_brain_and_adds_none() -> None:
    tissue = np.zeros((64, 64, 64), np.uint8)
    tissue[20:44, 20:44, 20:44] = Tissue.WHITE
    dressed = add_skull(tissue)
    assert (dressed[tissue > 0] == Tissue.WHITE).all()
    assert dressed[19, 32, 32] == Tissue.OUTER_CSF
    assert dressed[14, 32, 32] == Tissue.SKULL
    assert dressed[8, 32, 32] == Tissue.SCALP
    assert dressed[0, 0, 0] == Tissue.OUTSIDE
    line = dressed[:20, 32, 32].tolist()[::-1]  # outward: 2 mm of CSF, 6 of skull, 6 of scalp
    assert line == [*[Tissue.OUTER_CSF] * 2, *[Tissue.SKULL] * 6, *[Tissue.SCALP] * 6, *[Tissue.OUTSIDE] * 6]
    assert np.isin(dressed, BRAIN).sum() == (tissue > 0).sum()


def test_csf_far_from_the_brain_and_below_it_is_not_brain() -> None:
    tissue = np.full((64, 64, 64), Tissue.SULCAL_CSF, np.uint8)
    tissue[20:44, 20:44, 20:44] = Tissue.WHITE
    tissue[30:32, 20:44, 20:44] = Tissue.SULCAL_CSF  # a fissure
    trimmed = trim_csf(tissue, reach_mm=3)
    assert trimmed[18, 32, 32] == Tissue.SULCAL_CSF
    assert trimmed[12, 32, 32] == Tissue.OUTER_CSF
    assert trimmed[32, 32, 18] == Tissue.OUTER_CSF
    assert trimmed[31, 32, 32] == Tissue.SULCAL_CSF
    assert (trimmed[tissue == Tissue.WHITE] == Tissue.WHITE).all()


def test_palettes_keep_the_order_of_t1w() -> None:
    for seed in range(20):
        palette = draw_palette(np.random.default_rng(seed))
        assert palette[Tissue.WHITE] == 1
        assert palette[Tissue.VENTRICLE] < palette[Tissue.CORTEX] < 1
        assert len(palette) == len(Tissue)
