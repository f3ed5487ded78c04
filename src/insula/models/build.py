"""Construction of a model from its config."""

from __future__ import annotations

from typing import assert_never

from insula.config import AttentionUNet, MambaUNet, ModelConfig, PlainUNet, SEUNet, SwinUNet
from insula.models.attention_unet import build_attention_unet
from insula.models.mamba_unet import build_mamba_unet
from insula.models.plain_unet import build_plain_unet
from insula.models.se_unet import build_se_unet
from insula.models.swin_unet import build_swin_unet
from insula.models.unet import UNet

__all__ = ["build_model"]


def build_model(config: ModelConfig) -> UNet:
    """Build the network that `config` describes, with fresh weights from torch's global generator."""
    model = _build(config)
    model.config = config
    return model


def _build(config: ModelConfig) -> UNet:
    match config:
        case AttentionUNet():
            return build_attention_unet(config)
        case SEUNet():
            return build_se_unet(config)
        case MambaUNet():
            return build_mamba_unet(config)
        case SwinUNet():
            return build_swin_unet(config)
        case PlainUNet():
            return build_plain_unet(config)
        case _:
            assert_never(config)
