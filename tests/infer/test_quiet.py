from __future__ import annotations

import logging
import sys
import warnings

import pytest

from insula.infer.quiet import quiet


def test_inside_nothing_is_heard_and_afterwards_all_is(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("test_quiet")
    logger.setLevel(logging.INFO)
    with warnings.catch_warnings(record=True) as heard, quiet("test_quiet"):
        sys.stdout.write("out\n")
        warnings.warn("careful", stacklevel=1)
        assert not logger.isEnabledFor(logging.WARNING)
    assert (capsys.readouterr().out, heard) == ("", [])
    assert logger.isEnabledFor(logging.INFO)


def test_an_error_passes_and_leaves_nothing_hushed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="loud"), quiet("test_quiet"):
        raise ValueError("loud")
    sys.stdout.write("out\n")
    assert capsys.readouterr().out == "out\n"
