"""The files of a result; the record is written last, so its presence means that the result is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from insula.errors import BadData, InsulaError
from insula.io import plain_name, still_the_same, write_json, write_mask, write_prob, write_text
from insula.io.bytes import read_file
from insula.io.dicom import DicomScan, lesion_seg, measurement_sr, probability_seg, save_dicom
from insula.postprocess import number_lesions
from insula.predict.record import RefusalRecord, ResultRecord, refusal, to_record
from insula.predict.result import Result
from insula.volume import FileFacts

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["ResultPaths", "result_paths", "write_refusal", "write_result"]

_LONGEST_NAME = 255 - len("_network_mask.nii.gz")


@dataclass(frozen=True)
class ResultPaths:
    """Paths of the files of a case."""

    mask: Path
    network_mask: Path
    """The network's mask; written only if a person corrected the mask."""
    brain: Path
    """Written only for weights with a brain output."""
    prob: Path
    record: Path
    page: Path
    seg: Path
    """Written only for DICOM, as are the following."""
    prob_seg: Path
    report: Path
    capture: Path

    @property
    def all_but_the_record(self) -> tuple[Path, ...]:
        """Images, page and DICOM objects."""
        images = (self.mask, self.network_mask, self.brain, self.prob)
        return (*images, self.page, self.seg, self.prob_seg, self.report, self.capture)


def result_paths(folder: Path, name: str) -> ResultPaths:
    """Returns the paths of a case's files.

    A name that is too long for a file system is cut and gets part of its hash; characters that are not plain text
    become `_`.
    """
    name = plain_name(name)
    while len(name.encode()) > _LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = name.encode()[: _LONGEST_NAME - 9].decode(errors="ignore") + "-" + digest
    return ResultPaths(
        mask=folder / f"{name}_mask.nii.gz",
        network_mask=folder / f"{name}_network_mask.nii.gz",
        brain=folder / f"{name}_brain.nii.gz",
        prob=folder / f"{name}_prob.nii.gz",
        record=folder / f"{name}.json",
        page=folder / f"{name}.html",
        seg=folder / f"{name}_seg.dcm",
        prob_seg=folder / f"{name}_probseg.dcm",
        report=folder / f"{name}_sr.dcm",
        capture=folder / f"{name}_sc.dcm",
    )


def write_result(
    result: Result,
    paths: ResultPaths,
    *,
    source: Path | DicomScan | None = None,
    further: Callable[[ResultRecord], Mapping[Path, str | Dataset]] = lambda _: {},
) -> ResultRecord:
    """Write mask, brain mask, probability map and record, each atomically; for DICOM also segmentations and a report.

    All contents are made before the first file is written. An earlier run's record is deleted first and the new record
    is written last, with the SHA-256 of every other file, so that no record ever stands beside another run's mask. A
    brain mask or a network's mask of an earlier result is deleted if this result has none.

    Args:
        result: the result.
        paths: where to write.
        source: the scan's file, or the series it was read from; if it changed since it was read, nothing is written.
        further: makes further files from the record, e.g. its page: texts and DICOM objects.

    Returns:
        The record.

    Raises:
        BadData: the source changed.
        Unavailable: highdicom is not installed.
        CannotCreate, NoPermission, IOFault: a file cannot be written.
    """
    file = result.scan.file
    if source is not None and file is not None and not _unchanged(source, file):
        rule, remedy = "changed while it was segmented", "wait until it is complete and run again"
        raise BadData("the input", f"of {file.bytes:,} bytes", rule, remedy)
    objects = _objects(result, source, paths) if isinstance(source, DicomScan) else {}
    files = {"mask": paths.mask.name, "prob": paths.prob.name, "page": paths.page.name}
    if result.brain is not None:
        files["brain"] = paths.brain.name
    network = result.correction.network if result.correction is not None else None
    if network is not None:
        files["network_mask"] = paths.network_mask.name
    if objects:
        files |= {name: getattr(paths, name).name for name in ("seg", "prob_seg", "report", "capture")}
    record = to_record(result)
    record["files"] = files
    more = {**objects, **further(record)}
    paths.record.unlink(missing_ok=True)  # an earlier record would name files that are replaced now
    write_mask(paths.mask, result.mask, file=file)
    write_prob(paths.prob, result.prob, result.scan.grid, file=file, threshold=result.threshold)
    optional = {paths.brain: result.brain, paths.network_mask: network}
    for path, mask in optional.items():
        if mask is None:
            path.unlink(missing_ok=True)
        else:
            write_mask(path, mask, file=file)
    for path, content in more.items():
        if isinstance(content, str):
            write_text(path, content)
        else:
            save_dicom(path, content)
    written = {paths.mask, paths.prob, *optional, *more}
    paths_by_name = {name: path for name, file in files.items() if (path := paths.record.with_name(file)) in written}
    record["sha256"] = {name: read_file(path).sha256 for name, path in paths_by_name.items()}
    write_json(paths.record, record)
    return record


def _unchanged(source: Path | DicomScan, file: FileFacts) -> bool:
    return source.still_the_same() if isinstance(source, DicomScan) else still_the_same(source, file)


def _objects(result: Result, source: DicomScan, paths: ResultPaths) -> dict[Path, Dataset]:
    """Returns the DICOM objects of a result; made before any file, so that a failure leaves no partial result."""
    weights = result.provenance["weights"]["name"]
    by_hand = result.correction is not None
    seg = lesion_seg(source, number_lesions(result.mask), weights=weights, corrected=by_hand)
    return {
        paths.seg: seg,
        paths.prob_seg: probability_seg(source, result.prob, weights=weights),
        paths.report: measurement_sr(source, seg, [lesion.volume_ml for lesion in result.lesions]),
    }


def write_refusal(error: InsulaError, name: str, paths: ResultPaths) -> RefusalRecord:
    """Write the record of a refused scan, and delete an earlier run's files of the case.

    An old mask beside a new refusal would be believed.
    """
    for stale in paths.all_but_the_record:
        stale.unlink(missing_ok=True)
    record = refusal(name, error)
    write_json(paths.record, record)
    return record
