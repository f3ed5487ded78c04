"""How a prepared scan becomes a mask."""

from __future__ import annotations

from typing import Literal

from insula.config.listing import knobs
from insula.config.recipe import Precision

__all__ = ["SegmentConfig"]


@knobs
class SegmentConfig:
    """The choices of one inference; none changes what the network has learnt."""

    threshold: float | None = None
    """Probability from which a voxel is lesion (0 to 1); unset takes the one stored with the weights."""
    tta: bool = False
    """Average with the left-right mirrored scan; twice the time."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, or one GPU as torch writes it."""
    precision: Precision = "auto"
    """`auto` takes float16 on GPUs, bfloat16 on processors that compute in it."""
    engine: Literal["auto", "torch", "onnxruntime", "openvino", "aoti", "tensorrt"] = "auto"
    """What computes: `onnxruntime` and `openvino` on processors, `aoti` and `tensorrt` on GPUs; `auto` is PyTorch."""
    passes: Literal["auto", "whole", "tiled"] = "auto"
    """`auto` takes the whole volume at once unless free memory is short."""
    tile: int = 32
    """Thickness of a tile [voxels] at full resolution; even."""
    min_lesion_ml: float | None = None
    """Smaller lesions are dropped; unset takes what is stored with the weights."""
    assume_t1w: bool = False
    """Segment whatever the image looks like; otherwise one that does not look like a T1w scan of a head is refused."""
