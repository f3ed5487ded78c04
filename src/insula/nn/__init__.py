"""The parts that networks are made of."""

from insula.nn.attention import AttentionGate, SqueezeExcite
from insula.nn.blocks import ConvNormAct, ConvStage, Upsample, make_norm

__all__ = ["AttentionGate", "ConvNormAct", "ConvStage", "SqueezeExcite", "Upsample", "make_norm"]
