"""TensorRT: a plan for one kind of GPU built from an ONNX graph, and the plan as a function.

Not yet run on hardware: ONNX checks the graph and ONNX Runtime runs it; a stand-in for TensorRT takes the calls.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from insula.errors import Unavailable
from insula.infer.graph import IMAGE

__all__ = ["plan_run", "tensorrt_plan", "tensorrt_version"]


def tensorrt_plan(graph: bytes, device: torch.device) -> bytes:
    """Build a plan; takes minutes. It fits the GPU it was built on and the version of TensorRT.

    Args:
        graph: ONNX, for one size; the plan keeps its types (strongly typed), so a float16 graph computes in float16.
        device: the GPU.

    Raises:
        Unavailable: TensorRT is not installed, or refuses the graph.
    """
    trt = _library()
    logger = trt.Logger(trt.Logger.ERROR)
    with torch.cuda.device(device):
        builder = trt.Builder(logger)
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(graph):
            raise Unavailable("TensorRT", parser.get_error(0), "does not accept the graph", "use PyTorch")
        plan = builder.build_serialized_network(network, builder.create_builder_config())
    if plan is None:
        raise Unavailable("TensorRT", trt.__version__, "built no plan for this GPU", "use PyTorch")
    return bytes(plan)


def plan_run(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Returns a plan as a function of an image on a GPU; load only files that insula wrote.

    Raises:
        Unavailable: TensorRT is not installed, or the plan does not fit this GPU and version.
    """
    trt = _library()
    with torch.cuda.device(device):
        engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise Unavailable("the plan", path.name, "is not of this GPU or this version of TensorRT", "build it again")
        context = engine.create_execution_context()
    output = next(name for n in range(engine.num_io_tensors) if (name := engine.get_tensor_name(n)) != IMAGE)

    def run(image: Tensor) -> Tensor:
        volume = image.to(device).float().contiguous()
        logits = volume.new_empty(tuple(engine.get_tensor_shape(output)))
        context.set_tensor_address(IMAGE, volume.data_ptr())
        context.set_tensor_address(output, logits.data_ptr())
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream(device)
            if not context.execute_async_v3(stream.cuda_stream):
                raise Unavailable("TensorRT", trt.__version__, "could not run the plan", "use PyTorch")
            stream.synchronize()  # input and output may be freed after this
        return logits

    return run


def tensorrt_version() -> str:
    """Returns the version of TensorRT; a plan fits one version only.

    Raises:
        Unavailable: TensorRT is not installed.
    """
    return str(_library().__version__)


def _library() -> Any:
    try:
        import tensorrt
    except ImportError:
        raise Unavailable(
            "TensorRT", "", "is not installed", "see NVIDIA's guide; pip needs their index for `tensorrt`"
        ) from None
    return tensorrt
