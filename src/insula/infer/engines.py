"""What computes a whole volume: PyTorch; on processors ONNX Runtime and OpenVINO, on GPUs compiled packages and TensorRT."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from insula.errors import Unavailable
from insula.infer.cache import kept
from insula.infer.fuse import fused
from insula.infer.graph import FORM, IMAGE, OPSET, onnx_graph
from insula.infer.package import compiled_package, package_run
from insula.infer.plan import plan_run, tensorrt_plan, tensorrt_version
from insula.infer.tiles import tiled_logits
from insula.infer.vino import on_processor, openvino
from insula.models import UNet
from insula.nn import StateSpace
from insula.types import Shape

__all__ = ["Engine", "Run", "choose_engine", "engine_precision", "engine_run", "ready_network", "torch_run"]

Engine = Literal["torch", "onnxruntime", "openvino", "aoti", "tensorrt"]
Run = Callable[[Tensor], Tensor]
"""Logits, (1, 1 or 2, i, j, k), from an image, (1, 1, i, j, k)."""

_log = logging.getLogger(__name__)
_PATIENCE = "%s: making the network ready for %s takes a minute or two, once"
_NEEDS = {
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
    "openvino": ("openvino", "onnx", "onnxscript"),
    "tensorrt": ("tensorrt", "onnx", "onnxscript"),
}
_FOR: dict[str, str] = {"onnxruntime": "cpu", "openvino": "cpu", "aoti": "cuda", "tensorrt": "cuda"}

_Version = tuple[tuple[int, torch.dtype, int], ...]
_made: WeakKeyDictionary[UNet, tuple[_Version, dict[Any, Any]]] = WeakKeyDictionary()
"""What was made of a model, and of which version of it."""


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


def engine_precision(engine: Engine, wanted: torch.dtype, model: UNet) -> torch.dtype:
    """What an engine computes a network in where PyTorch would in `wanted`.

    Half precision is float16 in TensorRT, and nothing in ONNX Runtime; nor in OpenVINO for a state space, whose sums need float32 and would not get it there: masks
    were others altogether (`insula bench predict`).
    """
    if engine == "onnxruntime" or wanted == torch.float32:
        return torch.float32
    if engine == "openvino" and any(isinstance(module, StateSpace) for module in model.modules()):
        return torch.float32
    return torch.float16 if engine == "tensorrt" else wanted


def engine_run(model: UNet, engine: Engine, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    """The network in an engine, kept until the model goes or its weights change.

    What other engines than PyTorch run is made once for each set of weights and size: a graph in seconds, a package or a plan in minutes. It is then read from
    the user's cache (`insula.infer.cache.kept`). What cannot be made is not tried again.

    Args:
        model: in evaluation mode.
        engine: which.
        shape: of the volume.
        precision: as `engine_precision` says.
        device: where it runs.

    Raises:
        Unavailable: it cannot be made here.
    """
    running, key = _kept_of(model), (engine, shape, precision, device)
    if key not in running:
        try:
            running[key] = _STARTS[engine](model, shape, precision, device)
        except Unavailable as error:
            running[key] = (error.what, error.value, error.rule, error.remedy)  # and not what hangs on its traceback
            raise
    run: Run | tuple[str, str, str, str] = running[key]
    if isinstance(run, tuple):
        raise Unavailable(*run)
    return run


def ready_network(model: UNet, device: torch.device) -> UNet:
    """The network as PyTorch runs it best, on a device; kept until the model goes or its weights change.

    Args:
        model: in evaluation mode; untouched.
        device: where it runs.
    """
    kept_of = _kept_of(model)
    if device not in kept_of:
        with torch.inference_mode(mode=False), torch.no_grad():  # of use outside of it too
            ready = fused(model).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
            kept_of[device] = ready.requires_grad_(requires_grad=False)
    found: UNet = kept_of[device]
    return found


def torch_run(model: UNet, precision: torch.dtype, device: torch.device, *, tile: int | None = None) -> Run:
    """The network in PyTorch.

    Args:
        model: in evaluation mode; untouched.
        precision: of its arithmetic.
        device: where it runs.
        tile: thickness of the slabs that full-resolution features are computed in (`tiled_logits`); one pass if not given.
    """
    ready = ready_network(model, device)

    def run(image: Tensor) -> Tensor:
        image = image.to(device).contiguous(memory_format=torch.channels_last_3d)
        half = None if precision == torch.float32 else precision
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            return (ready(image) if tile is None else tiled_logits(ready, image, tile=tile)).float()

    return run


def _kept_of(model: UNet) -> dict[Any, Any]:
    """What was made of a model as it is now."""
    now = _version(model)
    if model not in _made or _made[model][0] != now:
        _made[model] = (now, {})
    return _made[model][1]


def _version(model: UNet) -> _Version:
    """Which tensors it has, and how often each was written to; what is written through `.data` does not count."""
    tensors = (*model.parameters(), *model.buffers())
    return tuple((x.data_ptr(), x.dtype, 0 if x.is_inference() else x._version) for x in tensors)


def _torch(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    return torch_run(model, precision, device)


def _onnxruntime(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(_graph(model, shape)), options, providers=["CPUExecutionProvider"])
    return lambda image: torch.from_numpy(session.run(None, {IMAGE: image.contiguous().numpy()})[0])


def _openvino(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    compiled = on_processor(openvino().Core().read_model(_graph(model, shape)), precision)
    return lambda image: torch.from_numpy(compiled(image.contiguous().numpy())[0])


def _aoti(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    def make() -> bytes:
        _log.warning(_PATIENCE, "aoti", device)
        return compiled_package(model, shape, device, precision=precision)

    return package_run(kept(model, "pt2", make, shape, precision, FORM, _machine(device)), device)


def _tensorrt(model: UNet, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    def make() -> bytes:
        _log.warning(_PATIENCE, "tensorrt", device)
        return tensorrt_plan(onnx_graph(model, shape, precision=precision), device)

    return plan_run(kept(model, "plan", make, shape, precision, FORM, _machine(device), tensorrt_version()), device)


def _graph(model: UNet, shape: Shape) -> Path:
    return kept(model, "onnx", lambda: onnx_graph(model, shape), shape, OPSET, FORM)


def _machine(device: torch.device) -> str:
    """What a compiled program fits."""
    gpu = f"{torch.cuda.get_device_name(device)} {torch.version.cuda}" if device.type == "cuda" else ""
    return f"{gpu} {torch.cpu.get_capabilities()}"  # what calls a GPU's programs is compiled for the processor


_STARTS: dict[str, Callable[[UNet, Shape, torch.dtype, torch.device], Run]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "aoti": _aoti,
    "tensorrt": _tensorrt,
}
