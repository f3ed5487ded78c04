"""A network as an ONNX graph, for other engines and for export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from insula.config import Scaling
from insula.errors import Unavailable
from insula.infer.deployed import Deployed
from insula.infer.quiet import quiet
from insula.models import UNet
from insula.nn import SqueezeExcite
from insula.types import Shape

__all__ = ["FORM", "IMAGE", "OPSET", "onnx_graph"]

IMAGE = "image"
OPSET = 18
FORM = 5
"""Version of the graph's form. Raise it when the same network gives another graph, so that cached graphs are built
again."""


def onnx_graph(
    model: UNet,
    shape: Shape,
    *,
    scaling: Scaling | None = None,
    any_batch: bool = False,
    about: Mapping[str, str] = {},
    precision: torch.dtype = torch.float32,
) -> bytes:
    """Export the network to ONNX for volumes of one size, and check the graph.

    Batch normalisations are folded into the convolutions before them. The input is called `image`, (batch, 1, i, j, k).

    Args:
        model: in evaluation mode; left unchanged.
        shape: of the volume [voxels].
        scaling: of the lesion logits before they become probabilities; without it the output is logits.
        any_batch: accept batches of any size; otherwise the batch size is 1.
        about: stored as the graph's metadata.
        precision: of its arithmetic, float32 or float16; input and output are float32.

    Returns:
        A serialised ModelProto. Its output is called `probability` or `logits`, (batch, 1 or 2, i, j, k): lesion, then
        brain if the network has that output.

    Raises:
        Unavailable: onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # the exporter needs it
    except ImportError:
        raise Unavailable(
            "ONNX", "", "needs packages that are not installed", "run: pip install 'insula[export]'"
        ) from None
    network = Deployed(model, scaling, precision)
    for module in network.modules():
        if isinstance(module, SqueezeExcite):
            module.in_steps = True
    batch: Any = {IMAGE: {0: torch.export.Dim("batch")}} if any_batch else None
    example = torch.zeros(2 if any_batch else 1, 1, *shape)
    with torch.no_grad(), quiet("torch.onnx"):
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[IMAGE],
            output_names=["logits" if scaling is None else "probability"],
            dynamic_shapes=batch,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    for key, value in about.items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()
