"""From a prepared scan to probabilities: device, precision, engine, one pass or tiles."""

from insula.infer.device import choose_device, choose_precision, free_bytes, precision_name, settle
from insula.infer.engines import Engine, choose_engine, engine_precision, engine_run, ready_network
from insula.infer.graph import onnx_graph
from insula.infer.package import compiled_package
from insula.infer.plan import tensorrt_plan
from insula.infer.run import InferFacts, Probabilities, infer, infer_mean
from insula.infer.tiles import tiled_logits
from insula.infer.vino import on_processor, openvino

__all__ = [
    "Engine",
    "InferFacts",
    "Probabilities",
    "choose_device",
    "choose_engine",
    "choose_precision",
    "compiled_package",
    "engine_precision",
    "engine_run",
    "free_bytes",
    "infer",
    "infer_mean",
    "on_processor",
    "onnx_graph",
    "openvino",
    "precision_name",
    "ready_network",
    "settle",
    "tensorrt_plan",
    "tiled_logits",
]
