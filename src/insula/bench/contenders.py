"""Networks to benchmark: those of insula, and others as built by their own packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from insula.config import AttentionUNet, MambaUNet, ModelConfig, SEUNet
from insula.errors import Unavailable

__all__ = ["CONTENDERS", "Contender", "NetworkBench"]


@dataclass(frozen=True)
class Contender:
    """A network and how it is trained."""

    description: str
    """Description for the table."""
    config: ModelConfig | None = None
    """Configuration of an insula model, which is trained by insula's own step; None for others."""
    recompute: bool = False
    """Whether activations within a stage are recomputed (`train.recompute`)."""
    build: Callable[[], nn.Module] | None = None
    """Builds a network of another package, which is trained as `trainer` says; None for insula's."""
    trainer: str = "adamw"
    """`nnunet`: float16 with loss scaling, SGD with momentum, clipping at 12 and deep supervision, as in nnU-Net v2.
    `adamw`: bfloat16 and fused AdamW."""


@dataclass(frozen=True)
class NetworkBench:
    """A benchmark of a network: what every measurement states of it."""

    name: str
    description: str
    compiled: bool
    why_not: str | None = None
    """Why it was not timed; None if it was."""

    @property
    def title(self) -> str:
        """Title for the table."""
        return self.description + (", compiled" if self.compiled else "")


def _nnunet() -> nn.Module:
    unet: Any = _import("dynamic_network_architectures.architectures.unet", "dynamic-network-architectures")
    return unet.PlainConvUNet(
        1,
        6,
        (32, 64, 128, 256, 320, 320),
        nn.Conv3d,
        3,
        (1, 2, 2, 2, 2, 2),
        2,
        2,
        2,
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )


def _segresnet() -> nn.Module:
    return _monai().SegResNet(spatial_dims=3, init_filters=32, in_channels=1, out_channels=1)


def _attention_unet() -> nn.Module:
    return _monai().AttentionUnet(
        spatial_dims=3, in_channels=1, out_channels=1, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2)
    )


def _swin_unetr() -> nn.Module:
    return _monai().SwinUNETR(in_channels=1, out_channels=1, feature_size=24)


def _monai() -> Any:
    return _import("monai.networks.nets", "monai")


def _import(module: str, package: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise Unavailable("the package", package, "is not installed", "run: pip install 'insula[bench]'") from None


CONTENDERS = {
    "baseline": Contender("attention_unet, half resolution inside", AttentionUNet()),
    "full": Contender("attention_unet, a stage at full resolution", AttentionUNet(stem="full")),
    "full_recomputed": Contender(
        "attention_unet, a stage at full resolution, recomputed", AttentionUNet(stem="full"), recompute=True
    ),
    "enhanced": Contender("se_unet, half resolution inside", SEUNet()),
    "smart": Contender("mamba_unet, half resolution inside", MambaUNet()),
    "nnunet": Contender("nnU-Net v2's PlainConvUNet, its own step", build=_nnunet, trainer="nnunet"),
    "segresnet": Contender("MONAI SegResNet", build=_segresnet),
    "attention_unet": Contender("MONAI AttentionUnet", build=_attention_unet),
    "swin_unetr": Contender("MONAI SwinUNETR", build=_swin_unetr),
}
"""Name on the command line -> network. U-Mamba is not included: its scan is a CUDA extension that needs a compiler."""
