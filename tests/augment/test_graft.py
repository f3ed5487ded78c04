"""A lesion is laid where an expert could have drawn it, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from insula.augment import Augmentation, Graft, Original, augment
from insula.augment.graft import lay_truth
from insula.config import AugmentConfig
from insula.simulate import Lacune, Outline, Tissue

_SLAB = 4
_BOX = (_SLAB * len(Tissue), 16, 16)
_CAN_INFARCT = {
    Tissue.SULCAL_CSF,  # experts' outlines span the sulci between gyri
    Tissue.CORTEX,
    Tissue.DEEP_GREY,
    Tissue.WHITE,
    Tissue.CEREBELLAR_GREY,
    Tissue.CEREBELLAR_WHITE,
    Tissue.BRAINSTEM,
}


def _slabs() -> torch.Tensor:
    """Codes of all tissues, a slab of each along the first axis."""
    codes = torch.tensor([int(kind) for kind in Tissue], dtype=torch.uint8).repeat_interleave(_SLAB)
    return codes[:, None, None].expand(_BOX).contiguous()


def test_the_truth_of_an_outline_over_every_tissue_is_in_those_that_can_infarct() -> None:
    codes, image = _slabs(), torch.full(_BOX, 100.0)
    outline = Outline(name="all", voxels=torch.ones(_BOX, dtype=torch.uint8), origin_mm=(0.0, 0.0, 0.0))
    off = AugmentConfig(deform_fraction=0, scan_fraction=0, artefact_chance=0, strip_fraction=0, graft_fraction=1)
    plan = Augmentation.sample(np.random.default_rng(0), off, box=_BOX, outlines=[outline])
    assert plan.lesions is not None
    look = Lacune(inset_mm=0.3, border_mm=0.3, texture=0.0, level=0.3, cavity=False)
    place = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))
    plan = replace(plan, lesions=replace(plan.lesions, look=look, grafts=(Graft(outline=0, placement=place),)))
    case = Original(image, torch.zeros(_BOX, dtype=torch.bool), tissue=codes)
    truth = augment([case], [plan], starts=[(0, 0, 0)], crop=_BOX, outlines=[outline]).truth[0]
    inside = truth[:, 8, 8].unflatten(0, (len(Tissue), _SLAB))
    assert {kind for kind, slab in zip(Tissue, inside, strict=True) if slab.all()} == _CAN_INFARCT
    assert {kind for kind, slab in zip(Tissue, inside, strict=True) if slab.any()} == _CAN_INFARCT


def test_a_truth_is_allowed_new_and_at_least_five_voxels() -> None:
    outlines = torch.zeros(1, 4, 4, 4)
    outlines[0, :2, :2, :2] = 1
    everywhere, nowhere = torch.ones(1, 4, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, 4)
    assert torch.equal(lay_truth(outlines, everywhere, nowhere), outlines)
    allowed = everywhere.clone()
    allowed[0, 0, 0, 0] = False
    lesion = nowhere.clone()
    lesion[0, 1, 1, :] = 1
    new = lay_truth(outlines, allowed, lesion)
    assert new.sum() == 5
    assert not (new.bool() & (~allowed | lesion.bool())).any()
    allowed[0, 0, 0, 1] = False
    assert not lay_truth(outlines, allowed, lesion).any(), "four voxels are no lesion"
