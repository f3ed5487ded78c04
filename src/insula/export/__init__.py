"""Weights for programs that are not insula."""

from insula.export.monai_bundle import export_monai_bundle
from insula.export.monai_steps import AfterNetwork, BeforeNetwork
from insula.export.onnx_file import export_onnx

__all__ = ["AfterNetwork", "BeforeNetwork", "export_monai_bundle", "export_onnx"]
