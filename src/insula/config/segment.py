"""Segmentation of a scan: from the prepared volume to a mask."""

from __future__ import annotations

from typing import Literal

from insula.config.listing import knobs
from insula.config.recipe import Precision

__all__ = ["SegmentConfig"]


@knobs
class SegmentConfig:
    """Knobs of an inference; none changes the weights."""

    threshold: float | None = None
    """Probability from which a voxel is lesion (0 to 1); if unset, the threshold stored with the weights."""
    tta: bool = False
    """Average with the prediction for the left-right mirrored scan; the network takes twice as long."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, or one of several GPUs: `cuda`, a colon, and its number from 0, as in torch."""
    precision: Precision = "auto"
    """Precision of the arithmetic; `auto` takes float16 on GPUs, bfloat16 on processors that compute in it, else
    float32."""
    engine: Literal["auto", "torch", "onnxruntime", "openvino", "aoti", "tensorrt"] = "auto"
    """Inference engine: `onnxruntime` and `openvino` on processors, `aoti` and `tensorrt` on GPUs; `auto` is
    PyTorch."""
    passes: Literal["auto", "whole", "tiled"] = "auto"
    """`auto` computes the whole volume at once unless free memory is short."""
    tile: int = 32
    """Thickness of a tile [voxels] at full resolution; even."""
    min_lesion_ml: float | None = None
    """Smaller lesions are dropped [ml]; if unset, the volume stored with the weights."""
    assume_t1w: bool = False
    """Segment any image; otherwise an image that does not look like a T1w scan of a head is refused."""
