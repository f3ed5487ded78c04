"""Weights compiled for one kind of machine: a package of PyTorch's, or a plan of TensorRT's."""

from __future__ import annotations

from pathlib import Path

from insula.checkpoint import load_weights
from insula.export.about import about, new_file, size_of
from insula.infer import (
    choose_device,
    choose_engine,
    choose_precision,
    compiled_package,
    engine_precision,
    onnx_graph,
    precision_name,
    tensorrt_plan,
)
from insula.io import write_bytes, write_json
from insula.types import Shape

__all__ = ["export_aoti", "export_tensorrt"]


def export_aoti(weights: str, path: Path, *, shape: Shape | None = None, device: str = "auto") -> Path:
    """Write NAME.pt2: from a prepared image to probabilities, without Python in the network, for machines like this one.

    Args:
        weights: of one network.
        path: the file, ending in .pt2; its folder exists.
        shape: of what it takes [voxels]; the whole box if not given.
        device: for which, as `choose_device` takes it.

    Returns:
        The path.

    Raises:
        UsageError: an ensemble, or a size that the network cannot halve.
        CannotCreate: something stands there already.
        Unavailable: no such device, or no compiler.
    """
    loaded, where = load_weights(weights), choose_device(device)
    new_file(path, ".pt2")
    precision = choose_precision(where, "auto")
    told = about(loaded) | {"precision": precision_name(precision)}
    package = compiled_package(
        loaded.model,
        size_of(loaded, shape),
        where,
        precision=precision,
        scaling=loaded.card.calibration.scaling,
        about=told,
    )
    write_bytes(path, package)
    return path


def export_tensorrt(weights: str, path: Path, *, shape: Shape | None = None, device: str = "cuda") -> Path:
    """Write NAME.plan for a GPU of this machine, and beside it NAME.json with what has to be known.

    Args:
        weights: of one network.
        path: the file, ending in .plan; its folder exists.
        shape: of what it takes [voxels]; the whole box if not given.
        device: which one.

    Returns:
        The path.

    Raises:
        UsageError: an ensemble, or a size that the network cannot halve.
        CannotCreate: something stands there already.
        Unavailable: no such GPU, no TensorRT, or it refuses the network.
    """
    loaded, where = load_weights(weights), choose_device(device)
    new_file(path, ".plan")
    told = new_file(path.with_suffix(".json"), ".json")
    choose_engine("tensorrt", where)
    precision = engine_precision("tensorrt", choose_precision(where, "auto"), loaded.model)
    graph = onnx_graph(
        loaded.model, size_of(loaded, shape), scaling=loaded.card.calibration.scaling, precision=precision
    )
    write_bytes(path, tensorrt_plan(graph, where))
    write_json(told, about(loaded) | {"precision": precision_name(precision)})
    return path
