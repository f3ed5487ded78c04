"""OpenVINO, imported without its telemetry."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import torch

from insula.errors import Unavailable

__all__ = ["on_processor", "openvino"]


def openvino() -> Any:
    """Import OpenVINO with its telemetry disabled.

    By default the import contacts a server of the vendor and leaves an identifier in the home folder. With the
    telemetry package hidden, OpenVINO uses a stub that does nothing. Nobody outside should know about scans.

    Returns:
        The module.

    Raises:
        Unavailable: it is not installed.
    """
    if importlib.util.find_spec("openvino") is None:
        raise Unavailable("OpenVINO", "", "is not installed", "run: pip install 'insula[export]'")
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # makes Python treat the module as missing
    import openvino

    return openvino


def on_processor(model: Any, precision: torch.dtype, **more: Any) -> Any:
    """Compile an OpenVINO model for one volume at a time, on as many threads as PyTorch uses.

    Args:
        model: from `Core.read_model`.
        precision: float32, or bfloat16 where the processor computes in it.
        more: further properties of the plug-in.
    """
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == torch.bfloat16 else "f32",
        **more,
    }
    return openvino().Core().compile_model(model, "CPU", hints)
