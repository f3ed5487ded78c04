"""Other engines than PyTorch for a whole volume: on processors ONNX Runtime and OpenVINO, on GPUs compiled packages and TensorRT."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from insula.errors import Unavailable
from insula.infer.cache import kept
from insula.infer.graph import IMAGE, OPSET, onnx_graph
from insula.infer.package import compiled_package, package_run
from insula.infer.plan import plan_run, tensorrt_plan
from insula.infer.vino import openvino
from insula.models import UNet
from insula.types import Shape

__all__ = ["Engine", "Run", "choose_engine", "engine_precision", "engine_run"]

Engine = Literal["torch", "onnxruntime", "openvino", "aoti", "tensorrt"]
Run = Callable[[Tensor], Tensor]
"""Logits, (1, 1, i, j, k), from an image of that shape."""

_NEEDS = {
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
    "openvino": ("openvino", "onnx", "onnxscript"),
    "tensorrt": ("tensorrt", "onnx", "onnxscript"),
}
_FOR: dict[str, str] = {"onnxruntime": "cpu", "openvino": "cpu", "aoti": "cuda", "tensorrt": "cuda"}

_running: WeakKeyDictionary[UNet, dict[tuple[Any, ...], Run]] = WeakKeyDictionary()


def choose_engine(wanted: str, device: torch.device) -> Engine:
    """The engine for a device: what was asked for, or PyTorch if nothing was.

    Raises:
        Unavailable: it is not installed, or does not run on that device.
    """
    if wanted in ("auto", "torch"):
        return "torch"
    if device.type != _FOR[wanted]:
        kinds = {"cpu": ("processors", "add --device cpu"), "cuda": ("GPUs", "add --device cuda where there is one")}
        what, remedy = kinds[_FOR[wanted]]
        raise Unavailable("the engine", wanted, f"is for {what}, not for {device}", f"{remedy}, or leave --engine out")
    if any(importlib.util.find_spec(name) is None for name in _NEEDS.get(wanted, ())):
        extra = "tensorrt" if wanted == "tensorrt" else "export"
        raise Unavailable("the engine", wanted, "is not installed", f"run: pip install 'insula[{extra}]'")
    return wanted  # type: ignore[return-value]


def engine_precision(engine: Engine, wanted: torch.dtype) -> torch.dtype:
    """What an engine computes in where PyTorch would in `wanted`: half precision is float16 in TensorRT, and nothing in ONNX Runtime."""
    if engine == "onnxruntime" or wanted == torch.float32:
        return torch.float32
    return torch.float16 if engine == "tensorrt" else wanted


def engine_run(model: UNet, engine: Engine, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    """The network in another engine, kept for as long as the model is.

    What it runs is made once for each set of weights and size: a graph in seconds, a package in half a minute, a plan in minutes. It is then read from
    the user's cache (`insula.infer.cache.kept`).

    Args:
        model: in evaluation mode.
        engine: not `torch`.
        shape: of the volume.
        precision: as `engine_precision` says.
        device: where it runs.
    """
    running = _running.setdefault(model, {})
    key = (engine, shape, precision, device)
    if key not in running:
        running[key] = _STARTS[engine](model, shape, precision, device)
    return running[key]


def _onnxruntime(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(_graph(model, shape)), options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {IMAGE: image.contiguous().numpy()})[0])


def _openvino(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    hints = {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == torch.bfloat16 else "f32",
    }  # fmt: skip
    core = openvino().Core()
    compiled = core.compile_model(core.read_model(_graph(model, shape)), "CPU", hints)
    return lambda image: torch.from_numpy(compiled(image.contiguous().numpy())[0])


def _aoti(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    def make() -> bytes:
        return compiled_package(model, shape, device, precision=precision)

    return package_run(kept(model, "pt2", make, shape, precision, _machine(device)), device)


def _tensorrt(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    import tensorrt

    def make() -> bytes:
        return tensorrt_plan(onnx_graph(model, shape, precision=precision))

    return plan_run(kept(model, "plan", make, shape, precision, _machine(device), tensorrt.__version__), device)


def _graph(model: UNet, shape: Shape) -> Path:
    return kept(model, "onnx", lambda: onnx_graph(model, shape), shape, OPSET)


def _machine(device: torch.device) -> str:
    """What a compiled program fits."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} {torch.version.cuda}"
    return f"cpu {torch.cpu.get_capabilities()}"


_STARTS: dict[str, Callable[[UNet, Shape, torch.dtype, torch.device], Run]] = {
    "onnxruntime": _onnxruntime, "openvino": _openvino, "aoti": _aoti, "tensorrt": _tensorrt,
}  # fmt: skip
