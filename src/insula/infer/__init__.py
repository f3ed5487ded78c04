"""From a prepared scan to probabilities: device, precision, one pass or tiles."""

from insula.infer.device import choose_device, choose_precision, free_bytes, settle
from insula.infer.run import InferFacts, infer, infer_mean
from insula.infer.tiles import tiled_logits

__all__ = [
    "InferFacts",
    "choose_device",
    "choose_precision",
    "free_bytes",
    "infer",
    "infer_mean",
    "settle",
    "tiled_logits",
]
