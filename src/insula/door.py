"""The functions behind `import insula`: a path or a scan in, a result that saves itself out."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from insula import predict
from insula.checkpoint import Weights
from insula.config import SegmentConfig
from insula.io import OutputFolder, bare_name, plain_name
from insula.io.dicom import DicomScan
from insula.predict import open_scan, result_paths
from insula.report import write_case
from insula.types import DEFAULT_WEIGHTS
from insula.volume import Scan

__all__ = ["Result", "segment"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Result(predict.Result):
    """The lesion of one scan: mask, probabilities, volume and doubt, on the scan's own grid."""

    source: Path | DicomScan | None = None
    """The file or DICOM series of the scan; None if a `Scan` was given."""

    def save(self, folder: str | os.PathLike[str]) -> predict.ResultRecord:
        """Write everything that `insula segment` writes for a scan: masks, probabilities, record and page.

        Results of DICOM get a SEG, an SR and a picture too. Files of the same case are replaced, each whole or not at
        all.

        Args:
            folder: made if missing.

        Returns:
            The record, as in `NAME.json`.

        Raises:
            BadData: the scan's file changed since it was read.
            CannotCreate, NoPermission, IOFault: the folder cannot be written.

        Example:
            >>> insula.segment("sub-01_T1w.nii.gz").save("results")["volume_ml"]  # doctest: +SKIP
            12.4
        """
        with OutputFolder(Path(folder)) as path:
            return write_case(self, result_paths(path, self.scan.name), source=self.source)


def segment(
    scan: Scan | str | os.PathLike[str],
    config: SegmentConfig = SegmentConfig(),
    *,
    weights: str | Weights = DEFAULT_WEIGHTS,
    frame: int | None = None,
    series: int | None = None,
    assume_orientation: str | None = None,
) -> Result:
    """Segment the stroke lesion on one T1w scan.

    The mask has exactly the shape, affine and orientation of the scan. For research only.

    Args:
        scan: a NIfTI file; a file, folder, zip or tar of DICOM; or a scan already read. Any orientation, spacing and
            intensity scale, with or without skull.
        config: threshold, mirror averaging, device, precision.
        weights: bundled weights by name, a file or folder, or weights already loaded.
        frame: the volume to take of a 4-D file, from 0.
        series: the SeriesNumber to take of DICOM.
        assume_orientation: the axes of a file that does not say, such as `LPS`.

    Returns:
        The result; an empty mask carries its reason.

    Raises:
        BadData: damaged, not a scan of a head, or not T1w, unless `config.assume_t1w` is set.
        NoInput: no such file.
        UsageError, Unavailable: a threshold or a device that cannot be used.

    Example:
        >>> result = insula.segment("sub-01_T1w.nii.gz")  # doctest: +SKIP
        >>> result  # doctest: +SKIP
        <Result of sub-01_T1w: 12.40 ml in 2 lesions>
    """
    source: Path | DicomScan | None = None
    if not isinstance(scan, Scan):
        scan, source = open_scan(
            Path(scan),
            name=plain_name(bare_name(Path(scan))),
            frame=frame,
            series=series,
            assume_orientation=assume_orientation,
            assume_t1w=config.assume_t1w,
        )
    result = predict.segment(scan, config, weights=weights)
    return Result(**{field.name: getattr(result, field.name) for field in fields(result)}, source=source)
