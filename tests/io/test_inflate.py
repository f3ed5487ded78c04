"""gzip, bzip2, xz: our inflate against the standard library, and against damage."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insula.errors import BadData, TooLarge
from insula.io.inflate import check_deflated, inflate, inflate_at_most, peel


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


@given(st.binary(max_size=3000), st.sampled_from([0, 1, 9]), st.integers(0, 300_000), st.data())
@settings(max_examples=60, deadline=None)
def test_a_deflated_stream_passes_at_its_own_length_and_no_shorter_limit(
    content: bytes, level: int, zeros: int, data: st.DataObject
) -> None:
    content += bytes(zeros)
    stream = zlib.compressobj(level, wbits=-15)
    packed = stream.compress(content) + stream.flush()
    check_deflated(packed, len(content))
    check_deflated(packed + b"\0", len(content))
    if content:
        with pytest.raises(TooLarge, match=f"more than {len(content) - 1:,} bytes"):
            check_deflated(packed, len(content) - 1)
    with pytest.raises(BadData, match="ends before"):
        check_deflated(packed[: data.draw(st.integers(0, len(packed) - 1))], len(content))


_PACK = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("kind", _PACK)
def test_every_packing_is_read_to_its_end_mark(kind: str) -> None:
    content = np.random.default_rng(0).integers(0, 9, 300_000).astype(np.uint8).tobytes()
    packed = _PACK[kind](content)
    assert inflate(packed, len(content)) == content
    assert inflate(_PACK[kind](content[:1000]) + _PACK[kind](content[1000:]), len(content)) == content
    for wrong in (packed[:-3], packed[: len(packed) // 2], packed + b"more", packed[:999] + bytes(64) + packed[1063:]):
        with pytest.raises(BadData, match=f"the {kind} stream"):
            inflate(wrong, len(content))
    with pytest.raises(BadData, match="holds more than"):
        inflate(_PACK[kind](bytes(50_000_000)), 1000)
    with pytest.raises(BadData, match="is shorter"):
        inflate(packed, len(content) + 1)
    with pytest.raises(TooLarge, match="more than 1,000"):
        inflate_at_most(packed, 1000)


def test_a_stream_that_wants_gigabytes_of_memory_is_refused() -> None:
    packed = lzma.compress(bytes(1000), filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}])
    with pytest.raises(BadData, match="the xz stream"):
        inflate(packed, 1000)


@pytest.mark.parametrize("outer", _PACK)
@pytest.mark.parametrize("inner", _PACK)
def test_what_is_inside_is_seen_through_two_packings_and_no_more(outer: str, inner: str) -> None:
    content = np.random.default_rng(0).integers(0, 256, 4_000_000).astype(np.uint8).tobytes()
    twice = _PACK[outer](_PACK[inner](content))
    assert peel(lambda count: twice[:count], 540) == (content[:540], (outer, inner))
    thrice = gzip.compress(twice)
    with pytest.raises(BadData, match="more than 2 times; unpack it first"):
        peel(lambda count: thrice[:count], 540)
