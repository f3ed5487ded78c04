"""Other engines than PyTorch for a whole volume on a processor: ONNX Runtime and OpenVINO, from the same graph."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from insula.errors import InsulaError, Unavailable
from insula.infer.graph import OPSET, onnx_graph
from insula.io import write_bytes
from insula.models import UNet
from insula.types import VERSION, Shape

__all__ = ["Engine", "Run", "choose_engine", "engine_run"]

Engine = Literal["torch", "onnxruntime", "openvino"]
Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Logits, (1, 1, i, j, k), from an image of that shape."""
_CACHE = "INSULA_CACHE"

_kept: WeakKeyDictionary[UNet, dict[tuple[Any, ...], Run]] = WeakKeyDictionary()


def choose_engine(wanted: str, device: torch.device) -> Engine:
    """The engine for a device: what was asked for, or PyTorch if nothing was.

    Raises:
        Unavailable: it is not installed, or does not run on that device.
    """
    if wanted in ("auto", "torch"):
        return "torch"
    if device.type != "cpu":
        raise Unavailable(
            "the engine", wanted, f"is for processors, not for {device}", "add --device cpu, or leave --engine out"
        )
    if any(importlib.util.find_spec(name) is None for name in (wanted, "onnx", "onnxscript")):
        raise Unavailable("the engine", wanted, "is not installed", "run: pip install 'insula[export]'")
    return wanted  # type: ignore[return-value]


def engine_run(model: UNet, engine: Engine, shape: Shape, precision: torch.dtype) -> Run:
    """The network in another engine, kept for as long as the model is.

    Its graph is made once for each set of weights and size, which takes seconds, and is then read from the user's cache
    (`INSULA_CACHE`, or `insula` in the system's place for caches); where nothing can be written it is made each time.

    Args:
        model: in evaluation mode.
        engine: not `torch`.
        shape: of the volume.
        precision: float32, or bfloat16, which OpenVINO alone computes in.
    """
    kept = _kept.setdefault(model, {})
    key = (engine, shape, precision)
    if key not in kept:
        graph = _graph(model, shape)
        kept[key] = _onnxruntime(graph) if engine == "onnxruntime" else _openvino(graph, precision)
    return kept[key]


def _onnxruntime(graph: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def _openvino(graph: bytes, precision: torch.dtype) -> Run:
    import openvino

    core = openvino.Core()
    hints = {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == torch.bfloat16 else "f32",
    }  # fmt: skip
    compiled = core.compile_model(core.read_model(graph), "CPU", hints)
    return lambda image: compiled(image)[0]


def _graph(model: UNet, shape: Shape) -> bytes:
    path = _cache() / f"{_digest(model, shape)}.onnx"
    with suppress(OSError):
        return path.read_bytes()
    graph = onnx_graph(model, shape)
    with suppress(InsulaError, OSError):  # a cache that cannot be written is none
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, graph)
    return graph


def _cache() -> Path:
    if told := os.environ.get(_CACHE):
        return Path(told)
    system = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    return Path(system or Path.home() / ".cache") / "insula"


def _digest(model: UNet, shape: Shape) -> str:
    """Of all that the graph follows from."""
    digest = hashlib.sha256(f"{VERSION} {torch.__version__} {OPSET} {shape} {model}".encode())
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
