"""Weights for programs other than insula."""

from insula.export.compiled_file import export_aoti, export_tensorrt
from insula.export.monai_bundle import export_monai_bundle
from insula.export.monai_steps import AfterNetwork, BeforeNetwork
from insula.export.onnx_file import export_onnx
from insula.export.openvino_files import export_openvino
from insula.export.soup import export_soup

__all__ = [
    "AfterNetwork",
    "BeforeNetwork",
    "export_aoti",
    "export_monai_bundle",
    "export_onnx",
    "export_openvino",
    "export_soup",
    "export_tensorrt",
]
