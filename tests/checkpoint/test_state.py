"""Training states: the newest whole one counts, and none runs code."""

from __future__ import annotations

import hashlib
import logging
import pickle
from pathlib import Path

import pytest
import torch

from insula.checkpoint import has_state, load_state, save_state
from insula.errors import BadData

_CPU = torch.device("cpu")


def test_there_and_back_and_only_two_are_kept(tmp_path: Path) -> None:
    assert load_state(tmp_path, device=_CPU) is None
    assert not has_state(tmp_path)
    for step in (1, 2, 3):
        save_state(tmp_path, step, {"step": step, "weights": torch.arange(step)})
    assert has_state(tmp_path)
    state = load_state(tmp_path, device=_CPU)
    assert state is not None
    assert state["step"] == 3
    assert torch.equal(state["weights"], torch.arange(3))
    assert len(list(tmp_path.glob("state-*.pt"))) == 2


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_damaged_one_is_passed_over_and_said(
    content: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_state(tmp_path, 1, {"step": 1})
    newest = save_state(tmp_path, 2, {"step": 2})
    newest.write_bytes(newest.read_bytes()[:-40] if content is None else content)
    with caplog.at_level(logging.WARNING):
        state = load_state(tmp_path, device=_CPU)
    assert state == {"step": 1}
    assert newest.name in caplog.text


def test_when_all_are_damaged_it_says_so(tmp_path: Path) -> None:
    save_state(tmp_path, 1, {"step": 1}).write_bytes(b"")
    with pytest.raises(BadData, match="state-00000001"):
        load_state(tmp_path, device=_CPU)


class _Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_a_malicious_pickle_runs_no_code(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    data = pickle.dumps(_Canary(canary))
    (tmp_path / "state-00000001.pt").write_bytes(data + hashlib.sha256(data).digest())
    with pytest.raises(BadData, match="more than tensors"):
        load_state(tmp_path, device=_CPU)
    assert not canary.exists()
