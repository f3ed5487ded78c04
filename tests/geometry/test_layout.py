"""Volumes laid out anew: the same values, the other order in memory."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from insula.geometry import laid_out


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 1, 1), (3, 1, 7)])
def test_the_values_stay_and_the_order_is_the_one_asked_for(
    shape: tuple[int, int, int], order: Literal["C", "F"]
) -> None:
    volume = np.random.default_rng(0).normal(size=shape)
    for view in (volume, volume.transpose(2, 0, 1), volume[::-1, :, ::-1], np.asfortranarray(volume)):
        got = laid_out(view, order)
        assert np.array_equal(got, view)
        assert got.flags.c_contiguous if order == "C" else got.flags.f_contiguous
        assert got.flags.writeable
        assert not np.shares_memory(got, volume)


@pytest.mark.parametrize("stored", ["u1", ">i2", ">f8", "i8", "?"])
def test_it_casts_as_numpy_does(stored: str) -> None:
    volume = np.random.default_rng(1).integers(0, 200, (5, 4, 3)).astype(stored)
    got = laid_out(volume, "C", np.float32)
    assert got.dtype == np.float32
    assert np.array_equal(got, volume.astype(np.float32))
