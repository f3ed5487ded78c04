"""`insula export`: weights for programs that are not insula."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

__all__ = ["export"]


def export(
    weights: Positional[str], /, out: Path, format: Literal["monai-bundle"] = "monai-bundle", debug: bool = False
) -> int:
    """Write weights in another program's form.

    Args:
        weights: Bundled weights by name, or a folder or file of your own; of one network.
        out: A new folder.
        format: monai-bundle is run by `python -m monai.bundle run`.
        debug: Show a traceback on errors.
    """
    from insula.export import export_monai_bundle

    print(export_monai_bundle(weights, out))
    return 0
