"""Weights compiled for one kind of machine: a PyTorch package or a TensorRT plan."""

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
    """Write NAME.pt2: from a prepared image to probabilities, without Python in the network, for machines like this.

    Args:
        weights: of a single network.
        path: the file, ending in .pt2, in an existing folder.
        shape: size of the input [voxels]; the whole box if not given.
        device: the device to compile for, as for `choose_device`.

    Returns:
        The path.

    Raises:
        UsageError: the weights are an ensemble, or the network cannot halve the size.
        CannotCreate: the file exists already.
        Unavailable: there is no such device, or no compiler.
    """
    loaded, target = load_weights(weights), choose_device(device)
    new_file(path, ".pt2")
    precision = choose_precision(target, "auto")
    metadata = about(loaded) | {"precision": precision_name(precision)}
    package = compiled_package(
        loaded.model,
        size_of(loaded, shape),
        target,
        precision=precision,
        scaling=loaded.card.calibration.scaling,
        about=metadata,
    )
    write_bytes(path, package)
    return path


def export_tensorrt(weights: str, path: Path, *, shape: Shape | None = None, device: str = "cuda") -> Path:
    """Write NAME.plan for a GPU of this machine, and NAME.json with the metadata beside it.

    Args:
        weights: of a single network.
        path: the file, ending in .plan, in an existing folder.
        shape: size of the input [voxels]; the whole box if not given.
        device: the GPU.

    Returns:
        The path.

    Raises:
        UsageError: the weights are an ensemble, or the network cannot halve the size.
        CannotCreate: a file exists already.
        Unavailable: there is no such GPU or no TensorRT, or TensorRT refuses the network.
    """
    loaded, target = load_weights(weights), choose_device(device)
    new_file(path, ".plan")
    metadata_path = new_file(path.with_suffix(".json"), ".json")
    choose_engine("tensorrt", target)
    precision = engine_precision("tensorrt", choose_precision(target, "auto"), loaded.model)
    graph = onnx_graph(
        loaded.model, size_of(loaded, shape), scaling=loaded.card.calibration.scaling, precision=precision
    )
    write_bytes(path, tensorrt_plan(graph, target))
    write_json(metadata_path, about(loaded) | {"precision": precision_name(precision)})
    return path
