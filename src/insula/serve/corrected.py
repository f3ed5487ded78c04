"""The corrected mask of a job takes the place of the network's, in all files of its result."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np

from insula.errors import from_os_error
from insula.io import read_mask
from insula.io.kept_masks import earlier_mask, earlier_masks
from insula.predict import ResultRecord, corrected_result, result_paths
from insula.report import write_case
from insula.serve.jobs import Options
from insula.serve.parts import pack, record_of
from insula.serve.scans import read_upload
from insula.serve.sent import check_sent, check_unchanged
from insula.serve.store import JobFolder

__all__ = ["correct_job"]


def correct_job(folder: JobFolder, options: Options, mask_path: Path, *, before: str | None = None) -> ResultRecord:
    """Measure a person's mask and write it with record, page, DICOM objects and zip as the new results of a job.

    The new results are complete before they replace the earlier ones, all at once. The network's mask and every
    earlier correction are among them, as `NAME_network_mask.nii.gz` and `NAME_corrected-HASH_mask.nii.gz`. A mask with
    the voxels of the present one changes nothing, whatever `before` is.

    Args:
        folder: of a job that is done; only one correction of it at a time.
        options: sent with the upload.
        mask_path: the mask, a NIfTI file; any axis order of the scan's voxels.
        before: SHA-256 of the mask that was edited; None if it does not matter.

    Returns:
        The record of the present result.

    Raises:
        MaskChanged: the present mask is neither `before` nor the corrected one.
        BadData: the mask is damaged, has several labels, or is not on the scan's grid.
        InsulaError: the upload is gone, or a file cannot be written; the earlier results stay.
    """
    record, present, after = record_of(folder), folder.results, folder.next_results
    check_sent(mask_path, record)
    scan, source = read_upload(folder, options)
    mask = read_mask(mask_path).onto(scan.grid, what="the corrected mask")
    if np.array_equal(mask.voxels, read_mask(present.mask).onto(scan.grid).voxels):
        return record
    check_unchanged(record, before)
    result = corrected_result(record, present.record.parent, scan, mask)
    new, archive = folder.path / "correcting", after.record.parent.with_suffix(".zip")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir()
        for earlier in earlier_masks(present.mask):
            shutil.copyfile(earlier, new / earlier.name)
        if record.get("correction"):
            shutil.copyfile(present.mask, new / earlier_mask(present.mask, record["sha256"]["mask"]).name)
        written = write_case(result, result_paths(new, scan.name), source=source)
        pack(new, archive)
        new.rename(after.record.parent)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        with suppress(OSError):
            archive.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise from_os_error(error, what="the corrected results", value="", writing=True) from error
        raise
    folder.forget_earlier()
    return written
