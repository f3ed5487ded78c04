from __future__ import annotations

from pathlib import Path

import pytest
import torch

from insula.config import AttentionUNet
from insula.infer.cache import kept
from insula.models import UNet, build_model


def _model(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return build_model(AttentionUNet(widths=(2, 4)))


def test_made_once_for_all_that_it_follows_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path / "a" / "b"))
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return b"graph"

    first = kept(_model(), "onnx", make, (1, 2, 3))
    assert first.read_bytes() == b"graph"
    assert kept(_model(), "onnx", make, (1, 2, 3)) == first
    assert len(made) == 1
    others = {kept(_model(1), "onnx", make, (1, 2, 3)), kept(_model(), "onnx", make, (1, 2, 4)), kept(_model(), "pt2", make, (1, 2, 3))}  # fmt: skip
    assert len(others | {first}) == 4


@pytest.mark.parametrize("place", ["XDG_CACHE_HOME", "HOME"])
def test_the_systems_place_for_caches(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INSULA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(place, str(tmp_path))
    path = kept(_model(), "onnx", lambda: b"x")
    assert path.parent == tmp_path / ("insula" if place == "XDG_CACHE_HOME" else ".cache/insula")


def test_where_nothing_can_be_written_it_is_made_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path / "file"))
    path = kept(_model(), "onnx", lambda: b"graph")
    assert path.read_bytes() == b"graph"
    assert tmp_path not in path.parents
