"""A stand-in for TensorRT that runs the graph with ONNX Runtime: the calls and their order, not the library."""

from __future__ import annotations

import ctypes
import sys
from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch


class _Context:
    """Reads and writes the addresses that it is given, when it is executed."""

    def __init__(self, graph: bytes) -> None:
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.at: dict[str, int] = {}
        self.shapes = {value.name: value.shape for value in (*self.session.get_inputs(), *self.session.get_outputs())}

    def set_tensor_address(self, name: str, address: int) -> None:
        self.at[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        def seen(name: str) -> np.ndarray[Any, Any]:
            shape = self.shapes[name]
            count = int(np.prod(shape))
            return np.ctypeslib.as_array((ctypes.c_float * count).from_address(self.at[name])).reshape(shape)

        seen(self.session.get_outputs()[0].name)[:] = self.session.run(None, {"image": seen("image").copy()})[0]
        return True


def stand_in(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Put it in the library's place, and a processor in that of the GPU."""
    trt = ModuleType("tensorrt")
    trt.__spec__ = ModuleSpec("tensorrt", None)
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
            context = _Context(plan)
            names = ("image", context.session.get_outputs()[0].name)
            return SimpleNamespace(
                num_io_tensors=2,
                get_tensor_name=lambda n: names[n],
                get_tensor_shape=context.shapes.get,
                create_execution_context=lambda: context,
            )

    class Logger:
        ERROR = 1

        def __init__(self, level: int) -> None: ...

    vars(trt).update(
        OnnxParser=Parser,
        Builder=Builder,
        Runtime=Runtime,
        Logger=Logger,
        __version__="10.0",
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=3),
    )
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    stream = SimpleNamespace(cuda_stream=0, synchronize=lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    return trt
