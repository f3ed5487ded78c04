"""Engines that compute a whole volume.

PyTorch runs everywhere, ONNX Runtime and OpenVINO on processors, compiled packages and TensorRT on GPUs.
"""

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
from insula.nn.internals import writes_of
from insula.types import Shape

__all__ = ["Engine", "Run", "choose_engine", "engine_precision", "engine_run", "ready_network", "torch_run"]

Engine = Literal["torch", "onnxruntime", "openvino", "aoti", "tensorrt"]
Run = Callable[[Tensor], Tensor]
"""Logits (1, 1 or 2, i, j, k) from an image (1, 1, i, j, k)."""

_log = logging.getLogger(__name__)
_PATIENCE = "%s: making the network ready for %s takes a minute or two, once"
_NEEDS = {
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
    "openvino": ("openvino", "onnx", "onnxscript"),
    "tensorrt": ("tensorrt", "onnx", "onnxscript"),
}
_FOR: dict[str, str] = {"onnxruntime": "cpu", "openvino": "cpu", "aoti": "cuda", "tensorrt": "cuda"}

_Version = tuple[tuple[int, torch.dtype, int], ...]
_built: WeakKeyDictionary[UNet, tuple[_Version, dict[Any, Any]]] = WeakKeyDictionary()
"""What was built for each model, and the version of its weights that it was built from."""


def choose_engine(wanted: str, device: torch.device) -> Engine:
    """Returns the requested engine if it can run on the device; `auto` is PyTorch.

    Raises:
        Unavailable: the engine is not installed, or does not run on that device.
    """
    if wanted in ("auto", "torch"):
        return "torch"
    if device.type != _FOR[wanted]:
        kinds = {"cpu": ("processors", "use `device=cpu`"), "cuda": ("GPUs", "use `device=cuda` where there is one")}
        what, remedy = kinds[_FOR[wanted]]
        raise Unavailable("the engine", wanted, f"is for {what}, not for {device}", f"{remedy}, or leave `engine` out")
    if any(importlib.util.find_spec(name) is None for name in _NEEDS.get(wanted, ())):
        extra = "tensorrt" if wanted == "tensorrt" else "export"
        raise Unavailable("the engine", wanted, "is not installed", f"run: pip install 'insula[{extra}]'")
    return wanted  # type: ignore[return-value]


def engine_precision(engine: Engine, wanted: torch.dtype, model: UNet) -> torch.dtype:
    """Returns the precision in which an engine computes where PyTorch would compute in `wanted`.

    Half precision is float16 in TensorRT; ONNX Runtime has none. OpenVINO uses none for state spaces: their sums
    need float32, which OpenVINO does not keep for them, and the masks were entirely different (`insula bench
    predict`).
    """
    if engine == "onnxruntime" or wanted == torch.float32:
        return torch.float32
    if engine == "openvino" and any(isinstance(module, StateSpace) for module in model.modules()):
        return torch.float32
    return torch.float16 if engine == "tensorrt" else wanted


def engine_run(model: UNet, engine: Engine, shape: Shape, precision: torch.dtype, device: torch.device) -> Run:
    """Returns the network in an engine, cached until the model is deleted or its weights change.

    Engines other than PyTorch need a build for each set of weights and volume size: a graph takes seconds, a package or
    a plan minutes. Later runs read it from the user's cache (`insula.infer.cache.kept`). A failed build is not tried
    again.

    Args:
        model: in evaluation mode.
        engine: the engine.
        shape: of the volume [voxels].
        precision: from `engine_precision`.
        device: where it runs.

    Raises:
        Unavailable: the engine cannot be built on this machine.
    """
    runs, key = _built_for(model), (engine, shape, precision, device)
    if key not in runs:
        try:
            runs[key] = _STARTS[engine](model, shape, precision, device)
        except Unavailable as error:
            # not the error itself: its traceback would keep memory alive
            runs[key] = (error.what, error.value, error.rule, error.remedy)
            raise
    run: Run | tuple[str, str, str, str] = runs[key]
    if isinstance(run, tuple):
        raise Unavailable(*run)
    return run


def ready_network(model: UNet, device: torch.device) -> UNet:
    """Returns the network as PyTorch runs it fastest on a device.

    It is cached until the model is deleted or its weights change.

    Args:
        model: in evaluation mode; left unchanged.
        device: where it runs.
    """
    networks = _built_for(model)
    if device not in networks:
        with torch.inference_mode(mode=False), torch.no_grad():  # usable outside inference mode too
            ready = fused(model).to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
            networks[device] = ready.requires_grad_(requires_grad=False)
    network: UNet = networks[device]
    return network


def torch_run(model: UNet, precision: torch.dtype, device: torch.device, *, tile: int | None = None) -> Run:
    """Returns the network as a PyTorch function of an image.

    Args:
        model: in evaluation mode; left unchanged.
        precision: of its arithmetic.
        device: where it runs.
        tile: thickness of the slabs for full-resolution features (`tiled_logits`) [voxels]; a single pass if None.
    """
    ready = ready_network(model, device)

    def run(image: Tensor) -> Tensor:
        image = image.to(device).contiguous(memory_format=torch.channels_last_3d)
        half = None if precision == torch.float32 else precision
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            return (ready(image) if tile is None else tiled_logits(ready, image, tile=tile)).float()

    return run


def _built_for(model: UNet) -> dict[Any, Any]:
    """Returns the cache of what was built for a model; it is emptied when the model's weights change."""
    version = _version(model)
    if model not in _built or _built[model][0] != version:
        _built[model] = (version, {})
    return _built[model][1]


def _version(model: UNet) -> _Version:
    """Returns each tensor's address, type and number of writes; writes through `.data` are not counted."""
    tensors = (*model.parameters(), *model.buffers())
    return tuple((tensor.data_ptr(), tensor.dtype, writes_of(tensor)) for tensor in tensors)


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
    """Describe the machine that a compiled program runs on."""
    gpu = f"{torch.cuda.get_device_name(device)} {torch.version.cuda}" if device.type == "cuda" else ""
    return f"{gpu} {torch.cpu.get_capabilities()}"  # a GPU package has code for the processor too


_STARTS: dict[str, Callable[[UNet, Shape, torch.dtype, torch.device], Run]] = {
    "torch": _torch,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "aoti": _aoti,
    "tensorrt": _tensorrt,
}
