"""What is asked of TensorRT, by a stand-in that runs the graph with ONNX Runtime: the calls and their order, not the library."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from insula.config import SEUNet
from insula.errors import Unavailable
from insula.infer import onnx_graph, tensorrt_plan
from insula.infer.plan import plan_run
from insula.models import UNet, build_model

_SHAPE = (16, 16, 16)


def _model() -> UNet:
    torch.manual_seed(0)
    return build_model(SEUNet(widths=(2, 4), norm="batch")).eval()


class _Context:
    """Reads and writes the addresses that it is given, when it is executed."""

    def __init__(self, graph: bytes) -> None:
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.at: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> None:
        self.at[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        def seen(name: str) -> np.ndarray[Any, Any]:
            count = int(np.prod(_SHAPE))
            return np.ctypeslib.as_array((ctypes.c_float * count).from_address(self.at[name])).reshape(1, 1, *_SHAPE)

        seen("logits")[:] = self.session.run(None, {"image": seen("image").copy()})[0]
        return True


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    trt = ModuleType("tensorrt")
    held: dict[str, bytes] = {}

    class Parser:
        def __init__(self, network: str, _: object) -> None:
            assert network == "network of flags 8"

        def parse(self, graph: bytes) -> bool:
            held["graph"] = graph
            return graph != b"bad"

        def get_error(self, n: int) -> str:
            return f"error {n}"

    class Builder:
        def __init__(self, _: object) -> None: ...

        def create_network(self, flags: int) -> str:
            return f"network of flags {flags}"

        def create_builder_config(self) -> str:
            return "config"

        def build_serialized_network(self, network: str, config: str) -> bytes | None:
            return held["graph"] if held["graph"] != b"unbuildable" else None

    class Runtime:
        def __init__(self, _: object) -> None: ...

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            if plan == b"other":
                return None
            return SimpleNamespace(
                num_io_tensors=2, get_tensor_name=lambda n: ("image", "logits")[n],
                create_execution_context=lambda: _Context(plan),
            )  # fmt: skip

    class Logger:
        ERROR = 1

        def __init__(self, level: int) -> None: ...

    vars(trt).update(
        OnnxParser=Parser, Builder=Builder, Runtime=Runtime, Logger=Logger, __version__="10.0",
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=3),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    stream = SimpleNamespace(cuda_stream=0, synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    return trt


@pytest.mark.usefixtures("library")
def test_a_plan_is_built_of_the_graph_and_gives_what_the_network_gives(tmp_path: Path) -> None:
    (tmp_path / "it.plan").write_bytes(tensorrt_plan(onnx_graph(_model(), _SHAPE)))
    image = torch.randn(1, 1, *_SHAPE)
    found = plan_run(tmp_path / "it.plan", torch.device("cpu"))(image)
    with torch.no_grad():
        torch.testing.assert_close(found, _model()(image), atol=1e-3, rtol=1e-3)


@pytest.mark.usefixtures("library")
def test_what_is_refused_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="error 0"):
        tensorrt_plan(b"bad")
    with pytest.raises(Unavailable, match="no plan"):
        tensorrt_plan(b"unbuildable")
    (tmp_path / "it.plan").write_bytes(b"other")
    with pytest.raises(Unavailable, match="not of this GPU"):
        plan_run(tmp_path / "it.plan", torch.device("cpu"))


def test_without_the_library_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(Unavailable, match="not installed"):
        tensorrt_plan(b"")
