"""`insula export`: write weights for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

__all__ = ["export"]


def export(
    weights: Positional[str],
    /,
    out: Path,
    format: Literal["onnx", "openvino", "aoti", "tensorrt", "monai-bundle", "soup"] = "onnx",
    any_batch: bool = False,
    shape: tuple[int, int, int] | None = None,
    device: str = "auto",
    debug: bool = False,
) -> int:
    """Write weights in another format.

    onnx and openvino run on every machine. aoti and tensorrt are compiled for machines like this one. monai-bundle is
    for `python -m monai.bundle run`. soup averages several weights, joined by commas, into one network.

    Args:
        weights: Bundled weights by name, or your own file or folder; of a single network, except for soup.
        out: New file ending in .onnx, .xml, .pt2 or .plan; a new folder for monai-bundle and soup.
        format: Format to write.
        any_batch: Accept batches of any size (onnx only); otherwise one volume at a time.
        shape: Input size in voxels along each axis, for tiles; the whole box if not given.
        device: Device to compile for (aoti and tensorrt only): auto, cpu, cuda or cuda:N.
        debug: Show a traceback on errors.
    """
    from insula.errors import UsageError
    from insula.export import (
        export_aoti,
        export_monai_bundle,
        export_onnx,
        export_openvino,
        export_soup,
        export_tensorrt,
    )

    if any_batch and format != "onnx":
        raise UsageError("--any-batch", format, "takes one volume at a time", "leave it out, or use --format onnx")
    if shape is not None and format in ("monai-bundle", "soup"):
        raise UsageError("--shape", format, "has no input size to choose", "leave it out")
    if device != "auto" and format not in ("aoti", "tensorrt"):
        raise UsageError("--device", format, "is not compiled for a device", "leave it out, or use --format aoti")
    written = {
        "onnx": lambda: export_onnx(weights, out, any_batch=any_batch, shape=shape),
        "openvino": lambda: export_openvino(weights, out, shape=shape),
        "aoti": lambda: export_aoti(weights, out, shape=shape, device=device),
        "tensorrt": lambda: export_tensorrt(weights, out, shape=shape, device="cuda" if device == "auto" else device),
        "monai-bundle": lambda: export_monai_bundle(weights, out),
        "soup": lambda: export_soup(weights, out),
    }[format]()
    print(written)
    return 0
