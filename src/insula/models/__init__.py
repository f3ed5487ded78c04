"""The networks: image in, logits out, on the same grid."""

from insula.models.attention_unet import build_attention_unet
from insula.models.build import build_model
from insula.models.mamba_unet import MemoryUNet, build_mamba_unet
from insula.models.plain_unet import build_plain_unet
from insula.models.se_unet import build_se_unet
from insula.models.swin_unet import build_swin_unet
from insula.models.unet import UNet, probabilities

__all__ = [
    "MemoryUNet",
    "UNet",
    "build_attention_unet",
    "build_mamba_unet",
    "build_model",
    "build_plain_unet",
    "build_se_unet",
    "build_swin_unet",
    "probabilities",
]
