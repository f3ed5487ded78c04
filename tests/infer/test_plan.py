"""What is asked of TensorRT, by a stand-in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from insula.config import SEUNet
from insula.errors import Unavailable
from insula.infer import engine_run, onnx_graph, tensorrt_plan
from insula.infer.plan import plan_run
from insula.models import UNet, build_model
from tensorrt_stand_in import stand_in

_SHAPE = (16, 16, 16)
_CPU = torch.device("cpu")


def _model() -> UNet:
    torch.manual_seed(0)
    return build_model(SEUNet(widths=(2, 4), norm="batch", stem="full")).eval()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)


@pytest.mark.usefixtures("library")
def test_a_plan_is_built_of_the_graph_and_gives_what_the_network_gives(tmp_path: Path) -> None:
    (tmp_path / "it.plan").write_bytes(tensorrt_plan(onnx_graph(_model(), _SHAPE), _CPU))
    image = torch.randn(1, 1, *_SHAPE)
    output = plan_run(tmp_path / "it.plan", _CPU)(image)
    with torch.no_grad():
        torch.testing.assert_close(output, _model()(image), atol=1e-3, rtol=1e-3)


@pytest.mark.usefixtures("library")
def test_what_is_refused_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="error 0"):
        tensorrt_plan(b"bad", _CPU)
    with pytest.raises(Unavailable, match="no plan"):
        tensorrt_plan(b"unbuildable", _CPU)
    (tmp_path / "it.plan").write_bytes(b"other")
    with pytest.raises(Unavailable, match="not of this GPU"):
        plan_run(tmp_path / "it.plan", _CPU)


def test_without_the_library_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(Unavailable, match="not installed"):
        tensorrt_plan(b"", _CPU)


@pytest.mark.usefixtures("library")
@pytest.mark.long
def test_as_an_engine_it_is_built_once_and_computes_in_float16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSULA_CACHE", str(tmp_path))
    image = torch.randn(1, 1, *_SHAPE)
    output = engine_run(_model(), "tensorrt", _SHAPE, torch.float16, _CPU)(image)
    (kept,) = tmp_path.glob("*.plan")
    written_ns = kept.stat().st_mtime_ns
    assert torch.equal(output, engine_run(_model(), "tensorrt", _SHAPE, torch.float16, _CPU)(image))
    assert kept.stat().st_mtime_ns == written_ns
    with torch.no_grad():
        difference = (output - _model()(image)).abs().max()
    assert 1e-6 < float(difference) < 2e-2
