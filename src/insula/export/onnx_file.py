"""Weights as one ONNX file: from a prepared image to probabilities, and in its metadata all that a foreign program has to know."""

from __future__ import annotations

from pathlib import Path

from insula.checkpoint import load_weights
from insula.export.about import about, new_file, size_of
from insula.infer import onnx_graph
from insula.io import write_bytes
from insula.types import Shape

__all__ = ["export_onnx"]


def export_onnx(weights: str, path: Path, *, any_batch: bool = False, shape: Shape | None = None) -> Path:
    """Write NAME.onnx, checked.

    Args:
        weights: of one network.
        path: the file, ending in .onnx; its folder exists.
        any_batch: for batches of any size; of one volume otherwise.
        shape: of what it takes [voxels]; the whole box if not given.

    Returns:
        The path.

    Raises:
        UsageError: an ensemble, or a size that the network cannot halve.
        CannotCreate: something stands there already.
        Unavailable: onnx is not installed.
    """
    loaded = load_weights(weights)
    new_file(path, ".onnx")
    scaling = loaded.card.calibration.scaling
    graph = onnx_graph(loaded.model, size_of(loaded, shape), scaling=scaling, any_batch=any_batch, about=about(loaded))
    write_bytes(path, graph)
    return path
