"""What is measured of a case once."""

from __future__ import annotations

import torch

from insula.augment import Original


def test_each_separate_lesion_is_known_for_itself() -> None:
    mask = torch.zeros(24, 20, 16, dtype=torch.bool)
    mask[2:6, 3:7, 4:8] = True
    mask[6, 7, 8] = True  # touches by a corner, so it is the same lesion
    mask[20:22, 15, 10] = True
    case = Original(torch.zeros(24, 20, 16), mask)
    assert sorted(len(lesion) for lesion in case.lesions) == [2, 65]
    again = torch.zeros_like(mask)
    for lesion in case.lesions:
        again[tuple(torch.from_numpy(lesion).long().T)] = True
    assert torch.equal(again, mask)
    assert Original(torch.zeros(24, 20, 16), torch.zeros_like(mask)).lesions == ()
