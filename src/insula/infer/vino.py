"""OpenVINO, imported so that it reports to nobody."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from insula.errors import Unavailable

__all__ = ["openvino"]


def openvino() -> Any:
    """The module.

    Left alone, importing it looks up and writes to a server of its makers, and leaves an identifier in the home folder; without its telemetry package,
    which is hidden from it here, it takes a stand-in that does nothing. Scans are nobody's business.

    Raises:
        Unavailable: it is not installed.
    """
    if importlib.util.find_spec("openvino") is None:
        raise Unavailable("OpenVINO", "", "is not installed", "run: pip install 'insula[export]'")
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # python's own way to say: there is none
    import openvino

    return openvino
