"""The building blocks of the networks."""

from insula.nn.attention import AttentionGate, SqueezeExcite
from insula.nn.blocks import ConvNormAct, ConvStage, Upsample, make_norm
from insula.nn.memory import LesionMemory, MemoryAttention
from insula.nn.recorded import Recorder
from insula.nn.state_space import StateSpace, scan_states
from insula.nn.window_attention import SwinBlock

__all__ = [
    "AttentionGate",
    "ConvNormAct",
    "ConvStage",
    "LesionMemory",
    "MemoryAttention",
    "Recorder",
    "SqueezeExcite",
    "StateSpace",
    "SwinBlock",
    "Upsample",
    "make_norm",
    "scan_states",
]
