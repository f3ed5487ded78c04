"""insula: the stroke lesion in a T1-weighted brain MRI.

    >>> import insula
    >>> result = insula.segment("scan.nii.gz")  # doctest: +SKIP
    >>> result.volume_ml, result.mask, result.lesions  # doctest: +SKIP
    >>> result.save("results")  # doctest: +SKIP

For research only; not a medical device. Importing this package imports neither torch nor nibabel: each name below
brings what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from insula.checkpoint import Weights, load_weights
    from insula.config import SegmentConfig
    from insula.door import Result, segment
    from insula.errors import InsulaError
    from insula.geometry import Grid
    from insula.io import read_mask, read_scan
    from insula.io.dicom import DicomScan, read_dicom
    from insula.types import Flag
    from insula.volume import Case, Mask, Scan

from insula.types import VERSION

__version__ = VERSION

_HOMES = {
    "Case": "volume",
    "DicomScan": "io.dicom",
    "Flag": "types",
    "Grid": "geometry",
    "InsulaError": "errors",
    "Mask": "volume",
    "Result": "door",
    "Scan": "volume",
    "SegmentConfig": "config",
    "Weights": "checkpoint",
    "load_weights": "checkpoint",
    "read_dicom": "io.dicom",
    "read_mask": "io",
    "read_scan": "io",
    "segment": "door",
}

__all__ = [
    "Case",
    "DicomScan",
    "Flag",
    "Grid",
    "InsulaError",
    "Mask",
    "Result",
    "Scan",
    "SegmentConfig",
    "Weights",
    "__version__",
    "load_weights",
    "read_dicom",
    "read_mask",
    "read_scan",
    "segment",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'insula' has no attribute {name!r}")
    return getattr(import_module(f"insula.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
