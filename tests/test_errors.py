"""The error family: one sentence, one code, and the same after a trip between processes."""

from __future__ import annotations

import errno
import os
import pickle

import pytest

from insula import errors
from insula.errors import InsulaError, Interrupted, as_insula_error, from_os_error, place_of

_CODES = {
    "UsageError": 2,
    "BadData": 65,
    "NoInput": 66,
    "Unavailable": 69,
    "InternalBug": 70,
    "CannotCreate": 73,
    "IOFault": 74,
    "Preempted": 75,
    "NoPermission": 77,
}


@pytest.mark.parametrize(("name", "code"), _CODES.items())
def test_every_kind_has_its_code_and_reads_as_a_sentence(name: str, code: int) -> None:
    error = getattr(errors, name)("patch", "90 on axis i", "is not divisible by 16", "use 80 or 96")
    assert error.code == code
    assert str(error) == "patch 90 on axis i is not divisible by 16; use 80 or 96"
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.value, str(again)) == (type(error), "90 on axis i", str(error))


def test_an_empty_part_leaves_no_gap() -> None:
    assert str(InsulaError("the file", "", "is HTML", "log in")) == "the file is HTML; log in"


def test_interrupted_exits_as_a_shell_would() -> None:
    assert errors.Interrupted(2).exit_code == 130
    assert pickle.loads(pickle.dumps(errors.Interrupted(15))).exit_code == 143


@pytest.mark.parametrize(
    ("number", "writing", "code"),
    [
        (errno.ENOSPC, True, 73),
        (errno.EDQUOT, True, 73),
        (errno.EROFS, True, 73),
        (errno.ENOTDIR, True, 73),
        (errno.ENAMETOOLONG, True, 73),
        (errno.EACCES, True, 77),
        (errno.EACCES, False, 77),
        (errno.EIO, True, 74),
        (errno.EIO, False, 74),
        (errno.ENOENT, False, 66),
        (errno.ELOOP, False, 66),
        (errno.ENOENT, True, 73),
    ],
)
def test_system_errors_find_their_place(number: int, writing: bool, code: int) -> None:
    known = from_os_error(OSError(number, os.strerror(number)), what="the file", value="a.nii", writing=writing)
    assert known.code == code
    assert "a.nii" in str(known)


def test_of_a_bug_kind_and_place_are_told_and_never_its_text() -> None:
    try:
        raise ValueError("Unable to convert 'CANARY^1960-01-01' to 'DA' object")
    except ValueError as error:
        text, place = str(as_insula_error(error)), place_of(error)
    assert text.startswith("ValueError at test_errors.py:") and text.startswith(f"{place} ")
    assert "CANARY" not in text


def test_a_step_that_goes_on_after_any_error_does_not_take_a_signal_for_one() -> None:
    assert not issubclass(Interrupted, Exception)
    assert "signal 15" in str(Interrupted(15))
