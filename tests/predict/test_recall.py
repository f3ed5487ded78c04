"""A memory's places are where the network's are, in the scan's own space."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from insula.checkpoint import Card, Weights
from insula.config import AttentionUNet, MambaUNet, PrepareConfig
from insula.config.calibration import Scaling
from insula.errors import Unavailable
from insula.models import build_model
from insula.predict import remember
from insula.volume import Case

_PREPARE = PrepareConfig(box=(48, 56, 44), spacing_mm=4.0)


def _weights(mode: str = "self_sorting", size: int = 6) -> Weights:
    torch.manual_seed(0)
    config = MambaUNet(
        widths=(4, 8, 16),
        norm="group",
        stem="full",
        reduction=1,
        state=4,
        memory=mode,  # type: ignore[arg-type]
        memory_size=size,
    )
    return Weights(
        ((build_model(config).eval(), Scaling()),), Card(name="small", model=config, prepare=_PREPARE), "sha"
    )


def test_tokens_come_best_first_inside_the_box_and_back_in_the_scan(coarse_case: Case) -> None:
    remembered = remember(coarse_case.scan, _weights())
    assert [token.score for token in remembered.tokens] == sorted((t.score for t in remembered.tokens), reverse=True)
    assert len(remembered.tokens) == 6
    assert remembered.side == 4
    assert remembered.image.shape == remembered.lesion.shape == (48, 56, 44)
    for token in remembered.tokens:
        assert all(start % 4 == 0 for start in token.corner)
        assert np.allclose(remembered.grid.centre_mm(np.array(token.corner) + 1.5), token.centre_mm)
    assert remembered.cells().sum() == 6 * 4**3
    assert not remembered.cells(mirrored=True).any()


def test_a_brightened_place_is_the_one_remembered(coarse_case: Case) -> None:
    """The coarse head made to read one feature: the token that has most of it comes first."""
    weights = _weights()
    model = weights.model
    with torch.no_grad():
        model.memory.head.weight.zero_()  # type: ignore[union-attr]
        model.memory.head.weight[0, 3] = 1  # type: ignore[union-attr]
    remembered = remember(coarse_case.scan, weights)
    with torch.inference_mode():
        image = torch.from_numpy(remembered.image)[None, None]
        feature = model.encode(model.enter(model.shallow(image)))[-1][0, 3]
    best = np.unravel_index(int(feature.argmax()), feature.shape)
    assert tuple(4 * int(n) for n in best) == remembered.tokens[0].corner


def test_mirror_images_lie_across_the_middle(coarse_case: Case) -> None:
    remembered = remember(coarse_case.scan, _weights("self_sorting_mirror"))
    originals = [token for token in remembered.tokens if not token.mirrored]
    images = [token for token in remembered.tokens if token.mirrored]
    assert len(originals) == len(images) == 6
    for original, other in zip(originals, images, strict=True):
        assert other.corner == (48 - 4 - original.corner[0], *original.corner[1:])
        assert other.score == original.score
    assert remembered.cells(mirrored=True).any()


@pytest.mark.long
def test_a_memory_larger_than_the_grid_is_all_of_it(coarse_case: Case) -> None:
    for mode, mirrored in (("self_sorting", 0), ("self_sorting_mirror", 12 * 14 * 11)):
        remembered = remember(coarse_case.scan, _weights(mode, size=5000))
        assert sum(token.mirrored for token in remembered.tokens) == mirrored
        assert len(remembered.tokens) == 12 * 14 * 11 + mirrored


def test_a_model_without_a_memory_says_so(coarse_case: Case) -> None:
    config = AttentionUNet(widths=(4, 8), norm="instance", stem="full")
    plain = Weights(
        ((build_model(config).eval(), Scaling()),), Card(name="plain", model=config, prepare=_PREPARE), "sha"
    )
    for weights in (plain, _weights("off")):
        with pytest.raises(Unavailable, match="without a memory"):
            remember(coarse_case.scan, weights)
