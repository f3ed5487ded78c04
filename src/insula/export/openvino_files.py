"""Weights in OpenVINO's format: NAME.xml with the network and its metadata, NAME.bin with the numbers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from insula.checkpoint import load_weights
from insula.export.about import about, new_file, size_of
from insula.infer import onnx_graph, openvino
from insula.io import write_bytes
from insula.types import Shape

__all__ = ["export_openvino"]


def export_openvino(weights: str, path: Path, *, shape: Shape | None = None) -> Path:
    """Write NAME.xml and NAME.bin: from a prepared image to probabilities, the weights in float16.

    The metadata stand in the runtime information under `insula`.

    Args:
        weights: of a single network.
        path: the file, ending in .xml, in an existing folder.
        shape: size of the input [voxels]; the whole box if not given.

    Returns:
        The path.

    Raises:
        UsageError: the weights are an ensemble, or the network cannot halve the size.
        CannotCreate: a file exists already.
        Unavailable: openvino or onnx is not installed.
    """
    loaded = load_weights(weights)
    new_file(path, ".xml")
    bin_path = new_file(path.with_suffix(".bin"), ".bin")
    library = openvino()
    graph = onnx_graph(loaded.model, size_of(loaded, shape), scaling=loaded.card.calibration.scaling)
    model = library.Core().read_model(graph)
    for key, value in about(loaded).items():
        model.set_rt_info(value, ["insula", key])
    with tempfile.TemporaryDirectory(prefix="insula-") as folder:
        saved = Path(folder) / "model.xml"
        library.save_model(model, saved, compress_to_fp16=True)
        write_bytes(bin_path, saved.with_suffix(".bin").read_bytes())
        write_bytes(path, saved.read_bytes())
    return path
