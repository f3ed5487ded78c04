"""A network as an ONNX graph: what other engines run, and what is exported."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from insula.errors import Unavailable
from insula.infer.fuse import fused
from insula.models import UNet
from insula.types import Shape

__all__ = ["IMAGE", "OPSET", "onnx_graph"]

IMAGE = "image"
OPSET = 18


class _Network(nn.Module):
    """Logits, or with a temperature probabilities, and nothing of what only training needs."""

    def __init__(self, model: UNet, temperature: float | None) -> None:
        super().__init__()
        self.model, self.temperature = fused(model), temperature

    def forward(self, image: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b 1 i j k"]:
        logits = self.model(image)
        return logits if self.temperature is None else torch.sigmoid(logits / self.temperature)


def onnx_graph(
    model: UNet, shape: Shape, *, temperature: float | None = None, any_batch: bool = False, about: Mapping[str, str] = {}
) -> bytes:  # fmt: skip
    """The network for volumes of one size, float32, checked.

    Batch normalisations are part of the convolutions before them. The input is called `image`, (batch, 1, i, j, k).

    Args:
        model: in evaluation mode; untouched.
        shape: of the volume.
        temperature: what logits are divided by before they become probabilities; without it the output is logits.
        any_batch: whether the batch may be of any size; 1 otherwise.
        about: kept as the graph's metadata.

    Returns:
        A serialised ModelProto; its output is called `probability` or `logits`.

    Raises:
        Unavailable: onnx or onnxscript is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # what the exporter writes with
    except ImportError:
        raise Unavailable(
            "ONNX", "", "needs packages that are not installed", "run: pip install 'insula[export]'"
        ) from None
    network = _Network(model, temperature).eval()
    batch: Any = {IMAGE: {0: torch.export.Dim("batch")}} if any_batch else None
    example = torch.zeros(2 if any_batch else 1, 1, *shape)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            network, (example,), dynamo=True, opset_version=OPSET, input_names=[IMAGE],
            output_names=["logits" if temperature is None else "probability"], dynamic_shapes=batch, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    for key, value in about.items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter speaks to the terminal of what concerns its developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
