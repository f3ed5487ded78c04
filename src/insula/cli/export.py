"""`insula export`: weights for programs that are not insula."""

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
    """Write weights in another form.

    Args:
        weights: Bundled weights by name, or a folder or file of your own; of one network.
        out: A new file ending in .onnx, .xml, .pt2 or .plan; for a bundle or a soup a new folder.
        format: onnx, openvino: for every machine; aoti, tensorrt: compiled for machines like this one; monai-bundle: for `python -m monai.bundle run`;
            soup: of weights joined by commas one set, their mean.
        any_batch: Of onnx, for batches of any size; of one volume otherwise.
        shape: Voxels along each axis, for a tile; the whole box if not given.
        device: Of aoti and tensorrt, for which: auto, cpu, cuda or cuda:N.
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
        raise UsageError("--any-batch", format, "is of one volume", "leave it out, or take --format onnx")
    if shape is not None and format in ("monai-bundle", "soup"):
        raise UsageError("--shape", format, "has no size of its own", "leave it out")
    if device != "auto" and format not in ("aoti", "tensorrt"):
        raise UsageError("--device", format, "is not compiled for one", "leave it out, or take --format aoti")
    made = {
        "onnx": lambda: export_onnx(weights, out, any_batch=any_batch, shape=shape),
        "openvino": lambda: export_openvino(weights, out, shape=shape),
        "aoti": lambda: export_aoti(weights, out, shape=shape, device=device),
        "tensorrt": lambda: export_tensorrt(weights, out, shape=shape, device="cuda" if device == "auto" else device),
        "monai-bundle": lambda: export_monai_bundle(weights, out),
        "soup": lambda: export_soup(weights, out),
    }[format]()
    print(made)
    return 0
