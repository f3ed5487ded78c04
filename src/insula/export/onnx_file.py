"""Weights as an ONNX file: from a prepared image to probabilities, with instructions in its metadata."""

from __future__ import annotations

from pathlib import Path

from insula.checkpoint import load_weights
from insula.export.about import about, new_file, size_of
from insula.infer import onnx_graph
from insula.io import write_bytes
from insula.types import Shape

__all__ = ["export_onnx"]


def export_onnx(weights: str, path: Path, *, any_batch: bool = False, shape: Shape | None = None) -> Path:
    """Write NAME.onnx and check it.

    Args:
        weights: of a single network.
        path: the file, ending in .onnx, in an existing folder.
        any_batch: accept batches of any size; otherwise the batch size is 1.
        shape: size of the input [voxels]; the whole box if not given.

    Returns:
        The path.

    Raises:
        UsageError: the weights are an ensemble, or the network cannot halve the size.
        CannotCreate: the file exists already.
        Unavailable: onnx is not installed.
    """
    loaded = load_weights(weights)
    new_file(path, ".onnx")
    scaling = loaded.card.calibration.scaling
    graph = onnx_graph(loaded.model, size_of(loaded, shape), scaling=scaling, any_batch=any_batch, about=about(loaded))
    write_bytes(path, graph)
    return path
