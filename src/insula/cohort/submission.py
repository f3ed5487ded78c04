"""Converts predictions to the forms that other tools and challenges expect."""

from __future__ import annotations

from pathlib import Path

from insula.cohort.exchange import SPACE, description
from insula.cohort.layout import Cohort
from insula.cohort.predictions import find_predictions, of_cases
from insula.errors import BadData
from insula.io import read_mask, read_scan, write_json, write_mask
from insula.volume import Mask

__all__ = ["write_predictions", "write_submission"]

_SUBMISSION = "atlas2_prediction"


def write_submission(cohort: Cohort, predictions: Path, folder: Path) -> int:
    """Write predictions in the ATLAS'22 form: a BIDS derivative named `atlas2_prediction` with one mask per scan.

    Args:
        cohort: the scans that were predicted, most often the test part.
        predictions: a folder that `find_predictions` can read.
        folder: the output folder.

    Returns:
        The number of masks written.

    Raises:
        BadData: a case has no prediction, or several; a mask is not binary or not on its scan's grid.
    """
    masks, doubts = of_cases(cohort.entries, find_predictions(predictions)[0])
    entries = [entry for entry in cohort.entries if entry.images]
    missing = [entry.case for entry in entries if len(masks.get(entry.case, ())) != 1 or entry.case in doubts]
    if missing:
        rule = f"hold no mask, or several, of {len(missing)} of {len(entries)} cases, e.g. {missing[0]}"
        raise BadData("the predictions", predictions, rule, "predict every scan of the cohort once")
    for entry in entries:
        scan = read_scan(entry.image, name=entry.case)
        mask = read_mask(masks[entry.case][0]).onto(scan.grid, what=f"the mask of {entry.case}")
        anat = folder / Path(*(part for part in (entry.subject, entry.session) if part), "anat")
        anat.mkdir(parents=True, exist_ok=True)
        write_mask(anat / f"{entry.case}_{SPACE}_label-L_mask.nii.gz", Mask(mask.voxels, scan.grid), file=scan.file)
    write_json(folder / "dataset_description.json", description(_SUBMISSION, "derivative"))
    return len(entries)


def write_predictions(source: Path, folder: Path, *, label: int | None = None) -> int:
    """Copy predicted masks of any known layout to one folder as `CASE_mask.nii.gz`, which `insula evaluate` reads.

    Args:
        source: a folder that `find_predictions` can read.
        folder: the output folder; must exist.
        label: the value that is lesion, for masks with several.

    Returns:
        The number of masks written.

    Raises:
        BadData: no masks, or two masks of one case.
    """
    masks, _ = find_predictions(source)
    if not masks:
        rule = "holds neither nnU-Net raw data nor predicted masks"
        raise BadData("the folder", source, rule, "name the folder with imagesTr, or with the masks")
    for case, files in masks.items():
        if len(files) > 1:
            raise BadData("the predictions", source, f"hold several masks of {case}", "keep one")
        mask = read_mask(files[0], label=label)
        write_mask(folder / f"{case}_mask.nii.gz", Mask(mask.voxels, mask.grid))
    return len(masks)
