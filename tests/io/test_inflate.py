"""gzip: our inflate against the standard library, and against damage."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insula.errors import BadData
from insula.io.inflate import inflate


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4), st.integers(0, 64))
@settings(max_examples=60, deadline=None)
def test_it_inflates_what_gzip_packed(parts: list[bytes], padding: int) -> None:
    whole = b"".join(parts)
    packed = b"".join(gzip.compress(part) for part in parts) + bytes(padding)
    assert inflate(packed, len(whole)) == whole


@given(st.binary(min_size=1, max_size=3000), st.data())
@settings(max_examples=100, deadline=None)
def test_every_cut_is_noticed(content: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(content)
    cut = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(BadData):
        inflate(packed[:cut], len(content))


@pytest.mark.parametrize("announced", [99, 101])
def test_another_length_than_announced_is_named(announced: int) -> None:
    with pytest.raises(BadData, match=str(announced)):
        inflate(gzip.compress(bytes(100)), announced)
