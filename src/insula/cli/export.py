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
    format: Literal["onnx", "monai-bundle"] = "onnx",
    any_batch: bool = False,
    debug: bool = False,
) -> int:
    """Write weights in another program's form.

    Args:
        weights: Bundled weights by name, or a folder or file of your own; of one network.
        out: A new file, or for a bundle a new folder.
        format: onnx is one file with all that has to be known in its metadata; monai-bundle is run by `python -m monai.bundle run`.
        any_batch: Of onnx, for batches of any size; of one volume otherwise.
        debug: Show a traceback on errors.
    """
    from insula.export import export_monai_bundle, export_onnx

    print(export_onnx(weights, out, any_batch=any_batch) if format == "onnx" else export_monai_bundle(weights, out))
    return 0
