"""Finds predicted masks and probability maps in a folder, and the case that each belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from insula.cohort.entry import Entry
from insula.cohort.layout import case_of
from insula.errors import NoInput
from insula.io.entities import acquisition, entities_of, fitting, joined
from insula.io.kept_masks import kept_mask

__all__ = ["NIFTI", "Predictions", "case_name", "find_predictions", "of_cases"]

NIFTI = re.compile(r"\.nii(\.gz)?$")
_PROB = re.compile(r"_(prob|probseg)$")
_OTHER = re.compile(r"_(dseg|T1w|UNIT1)$|_label-brain_")
_BRAIN = re.compile(r"_brain$")
_MASK = re.compile(r"_(mask|label|lesion)$")
_CHANNEL = re.compile(r"_0000$")

Predictions = tuple[dict[str, list[Path]], dict[str, list[Path]]]
"""Case -> its masks, and case -> its probability maps."""


def find_predictions(folder: Path) -> Predictions:
    """Find the predictions in a folder written by `insula segment`, `insula-bids` or nnU-Net, or in a submission.

    Args:
        folder: the folder to search; hidden files and folders are skipped.

    Returns:
        Case -> its masks, and case -> its probability maps; both empty if there are none.

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
        if not _OTHER.search(stem) and not _brain_of_a_result(path, stem) and not kept_mask(path):
            files = probs if _PROB.search(stem) else masks
            files.setdefault(case_name(stem), []).append(path)
    return masks, probs


def _brain_of_a_result(path: Path, stem: str) -> bool:
    """Return whether a file is the brain mask that `insula segment` wrote beside a lesion mask."""
    return bool(_BRAIN.search(stem)) and path.with_name(_BRAIN.sub("_mask", stem) + ".nii.gz").is_file()


def of_cases(entries: Sequence[Entry], files: dict[str, list[Path]]) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Match predicted files to cases by all the entities that their names share, or by nnU-Net's case name.

    Args:
        entries: all entries of the cohort.
        files: the masks or the maps that `find_predictions` returns.

    Returns:
        Case -> its files; and case -> why a file of it is ambiguous.
    """
    targets: list[tuple[str, dict[str, str]]] = []
    for entry in entries:
        names = [path.name for path in (*entry.images, *entry.masks) if case_of(path.name)]
        targets.append((entry.case, entities_of((names or [entry.case])[0])))
        targets += [("", entities_of(path.name)) for path in entry.beside]
    files_of: dict[str, list[Path]] = {}
    doubts: dict[str, str] = {}
    for name, path in ((name, path) for name, paths in files.items() for path in paths):
        entities = entities_of(path.name)
        fits = fitting(entities, [target for _, target in targets]) if "sub" in entities else []
        cases = [targets[n][0] for n in fits] if "sub" in entities else [name]
        for case in filter(None, cases):
            files_of.setdefault(case, []).append(path)
            if len(cases) > 1:
                doubts[case] = f"hold a file ({path.name}) that fits {len(cases)} scans by its name"
    return files_of, doubts


def case_name(stem: str) -> str:
    """Return the case of a file: `sub-x_ses-y` and its acquisition, or the stem without `_mask`, `_prob`, `_0000`."""
    if case_of(stem):
        return joined(acquisition(entities_of(stem)))
    return _CHANNEL.sub("", _MASK.sub("", _PROB.sub("", stem)))
