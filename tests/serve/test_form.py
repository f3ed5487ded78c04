from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from insula.errors import BadData, InsulaError, UsageError
from insula.serve.form import file_of_form, is_form

_TYPE = "multipart/form-data; boundary=xYzZY"
_HEAD = b'Content-Disposition: form-data; name="scan"; filename="a.nii"\r\nContent-Type: application/octet-stream'


def _form(*files: bytes, mark: bytes = b"--xYzZY", end: bytes = b"--\r\n", before: bytes = b"") -> bytes:
    parts = b"".join(mark + b"\r\n" + _HEAD + b"\r\n\r\n" + file + b"\r\n" for file in files)
    return before + parts + mark + end


def _read(body: bytes, kind: str = _TYPE, *, cuts: list[int] | None = None) -> bytes:
    edges = [0, *sorted(cuts or []), len(body)]

    async def pieces() -> AsyncIterator[bytes]:
        for start, stop in pairwise(edges):
            yield body[start:stop]

    async def all_of_it() -> bytes:
        return b"".join([piece async for piece in file_of_form(pieces(), kind)])

    return asyncio.run(all_of_it())


@pytest.mark.parametrize(
    "file",
    [
        b"x",
        b"",
        b"\r\n",
        b"--xYzZY",
        b"\r\n--xYzZ",
        b"\r\n--",
        b"\n--xYzZY\r\n",
        b"\r\n\r\n\r\n--xYzz",
        bytes(range(256)) * 100,
    ],
)
def test_the_file_is_what_was_sent_however_it_is_cut(file: bytes) -> None:
    draw = random.Random(0)
    for before in (b"", b"a word before it\r\n"):
        body = _form(file, before=before)
        assert _read(body) == file
        assert _read(body, cuts=list(range(1, len(body)))[:2000]) == file, "byte by byte"
        for _ in range(20):
            assert _read(body, cuts=draw.choices(range(len(body) + 1), k=5)) == file


@pytest.mark.parametrize(
    "kind", ['multipart/form-data; boundary="xYzZY"', "Multipart/Form-Data;charset=utf-8; boundary=xYzZY"]
)
def test_ways_to_write_the_boundary(kind: str) -> None:
    assert is_form(kind)
    assert _read(_form(b"scan"), kind) == b"scan"


@pytest.mark.parametrize(
    "kind", ["", "application/octet-stream", "multipart/mixed; boundary=x", "text/plain; a=multipart/form-data"]
)
def test_other_kinds_are_no_forms(kind: str) -> None:
    assert not is_form(kind)


@pytest.mark.parametrize(
    ("body", "kind", "rule"),
    [
        (_form(b"a", b"b"), _TYPE, "more than one part"),
        (_form(b"a")[:-4], _TYPE, "is truncated"),
        (_form(b"a")[:-20], _TYPE, "is truncated"),
        (b"", _TYPE, "is truncated"),
        (b"--xYzZY--\r\n", _TYPE, "contains no file"),
        (bytes(20_000), _TYPE, "does not start"),
        (_form(b"a") + bytes(20_000), _TYPE, "continues"),
        (_form(b"a"), "multipart/form-data", "no valid boundary"),
        (_form(b"a"), f"multipart/form-data; boundary={'x' * 71}", "no valid boundary"),
        (_form(b"a"), "multipart/form-data; boundary=other", "is truncated"),
    ],
)
def test_damaged_forms_are_refused(body: bytes, kind: str, rule: str) -> None:
    with pytest.raises(UsageError if "one part" in rule else BadData, match=rule):
        _read(body, kind)


def test_random_damage_gives_a_file_or_a_refusal() -> None:
    draw = random.Random(1)
    whole = _form(bytes(draw.randrange(256) for _ in range(300)))
    refused = 0
    for _ in range(500):
        body = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(body))
            body[at : at + draw.randrange(3)] = bytes(draw.randrange(256) for _ in range(draw.randrange(3)))
        try:
            _read(bytes(body), cuts=draw.choices(range(len(body) + 1), k=3))
        except InsulaError:
            refused += 1
    assert 0 < refused < 500
