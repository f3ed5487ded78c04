"""Which files of a folder are predicted masks and maps, and of which case."""

from __future__ import annotations

import re
from pathlib import Path

from insula.cohort.layout import case_of
from insula.errors import NoInput

__all__ = ["NIFTI", "Predictions", "case_name", "find_predictions"]

NIFTI = re.compile(r"\.nii(\.gz)?$")
_PROB = re.compile(r"_(prob|probseg)$")
_OTHER = re.compile(r"_(dseg|T1w)$|_label-brain_")
_BRAIN = re.compile(r"_brain$")
_MASK = re.compile(r"_(mask|label|lesion)$")
_CHANNEL = re.compile(r"_0000$")

Predictions = tuple[dict[str, list[Path]], dict[str, list[Path]]]
"""Case -> its masks, and case -> its probability maps."""


def find_predictions(folder: Path) -> Predictions:
    """Look through a folder as `insula segment` or `insula-bids` writes it, a submission, or nnU-Net's output.

    Args:
        folder: hidden files and folders in it are passed over.

    Raises:
        NoInput: no such folder.
    """
    if not folder.is_dir():
        raise NoInput("the predictions", folder, "are not a folder", "name the folder with the predicted masks")
    masks: dict[str, list[Path]] = {}
    probs: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.nii*")):
        if not NIFTI.search(path.name) or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        stem = NIFTI.sub("", path.name)
        if not _OTHER.search(stem) and not _brain_of_a_result(path, stem):
            found = probs if _PROB.search(stem) else masks
            found.setdefault(case_name(stem), []).append(path)
    return masks, probs


def _brain_of_a_result(path: Path, stem: str) -> bool:
    """Whether a file is the brain mask that `insula segment` wrote beside a lesion mask."""
    return bool(_BRAIN.search(stem)) and path.with_name(_BRAIN.sub("_mask", stem) + ".nii.gz").is_file()


def case_name(stem: str) -> str:
    """`sub-x_ses-y` where the name has them; else the name without its `_mask` or `_prob`, and nnU-Net's channel."""
    return case_of(stem) or _CHANNEL.sub("", _MASK.sub("", _PROB.sub("", stem)))
