"""gzip, bzip2, xz: our inflate against the standard library, and against damage."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import itertools
import lzma
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insula.errors import BadData, TooLarge
from insula.io.inflate import Inflating, check_deflated, inflate, inflate_at_most, packing_of, peel


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


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        pytest.param(a, b, marks=[] if "gzip" in (a, b) else [pytest.mark.long])
        for a, b in itertools.product(_PACK, repeat=2)
    ],
)
def test_what_is_inside_is_seen_through_two_packings_and_no_more(outer: str, inner: str) -> None:
    # more than `peel` unpacks
    content = np.random.default_rng(0).integers(0, 256, 2_200_000).astype(np.uint8).tobytes()
    pack = _PACK | {"xz": functools.partial(lzma.compress, preset=0)}
    twice = pack[outer](pack[inner](content))
    assert peel(lambda count: twice[:count], 540) == (content[:540], (outer, inner))
    thrice = gzip.compress(twice)
    with pytest.raises(BadData, match="more than 2 times; unpack it first"):
        peel(lambda count: thrice[:count], 540)


@pytest.mark.parametrize(
    ("head", "kind"),
    [(b"\x1f\x8b", "gzip"), (b"BZh9", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"text", ""), (b"", ""), (b"bzh9", "")],
)
def test_packings_are_known_by_their_first_bytes(head: bytes, kind: str) -> None:
    assert packing_of(head) == kind


def test_a_zlib_stream_is_no_gzip() -> None:
    with pytest.raises(BadData, match="the gzip stream .* is damaged"):
        inflate(zlib.compress(bytes(100)), 100)


def test_more_is_read_until_there_is_enough() -> None:
    content = np.random.default_rng(0).integers(0, 256, 1 << 20).astype(np.uint8).tobytes()
    packed = gzip.compress(content, compresslevel=0)
    assert peel(lambda count: packed[:count], 1 << 20) == (content, ("gzip",))
    assert peel(lambda count: content[:10][:count], 540) == (content[:10], ())


@pytest.mark.parametrize("size", [100, 5 << 20])
def test_a_damaged_start_is_refused_whatever_the_size(size: int) -> None:
    damaged = b"\x1f\x8b" + b"\xff" * size
    with pytest.raises(BadData, match="the gzip stream .* is damaged"):
        peel(lambda count: damaged[:count], 540)


def _streamed(packed: bytes, kind: str, most: int) -> bytes:
    with io.BufferedReader(Inflating(io.BufferedReader(io.BytesIO(packed)), kind, most=most), 1 << 12) as stream:
        return stream.read()


@pytest.mark.parametrize("kind", _PACK)
def test_a_stream_yields_what_inflate_does(kind: str) -> None:
    content = np.random.default_rng(0).integers(0, 200, 700_000).astype(np.uint8).tobytes()
    packed, half = _PACK[kind](content), _PACK[kind](content[:350_000]) + _PACK[kind](content[350_000:])
    for whole in (packed, half, packed + bytes(300_000)):
        assert _streamed(whole, kind, len(content)) == content
    with pytest.raises(TooLarge, match="would unpack to more than 699,999 bytes"):
        _streamed(packed, kind, len(content) - 1)
    for wrong, rule in (
        (packed[:-3], "ends before its end mark"),
        (packed[: len(packed) // 2], "ends before its end mark"),
        (packed + bytes(300_000) + b"more", "has other data after its end"),
        (packed[:999] + bytes(64) + packed[1063:], "is damaged|ends before"),
        (b"text", "has other data after its end"),
    ):
        with pytest.raises(BadData, match=f"the {kind} stream {rule}"):
            _streamed(wrong, kind, len(content))


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_member_may_begin_at_the_end_of_a_piece(missing: int) -> None:
    """Files are read in pieces of 256 KiB; the mark of the next member is then in two of them."""
    size = (1 << 18) - missing
    content = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8).tobytes()
    first = content[: 2 * size - len(gzip.compress(content, compresslevel=0))]
    packed = gzip.compress(first, compresslevel=0)
    assert len(packed) == size
    assert _streamed(packed + gzip.compress(b"second"), "gzip", 1 << 20) == first + b"second"
