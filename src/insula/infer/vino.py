"""OpenVINO, imported so that it reports to nobody."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import torch

from insula.errors import Unavailable

__all__ = ["on_processor", "openvino"]


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


def on_processor(model: Any, precision: torch.dtype, **more: Any) -> Any:
    """An OpenVINO model compiled for one volume at a time, on as many threads as PyTorch takes.

    Args:
        model: as `Core.read_model` gives it.
        precision: float32, or bfloat16 where it can be.
        more: further properties of the plug-in.
    """
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "bf16" if precision == torch.bfloat16 else "f32",
        **more,
    }
    return openvino().Core().compile_model(model, "CPU", hints)
