"""Which files of a folder are scans, which are masks, and whose: every layout is recognised without being told."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from insula.cohort.sheet import Row, read_sheets
from insula.errors import BadData, NoInput, UsageError

__all__ = ["Chronicity", "Cohort", "Entry", "Layout", "case_of", "find_cohort"]

Layout = Literal["atlas-indi", "atlas-bids", "atlas-raw", "bids", "nnunet"]
"""ATLAS R2.0 as INDI ships it, its BIDS form, R2.1/R3.0 in native space, any BIDS with derivatives, nnU-Net raw."""

Chronicity = Literal["acute", "chronic", "unknown"]
"""Chronic from 180 days after the stroke; acute stands for everything before."""

_CHRONIC_DAYS = 180
_NIFTI = r"\.nii(\.gz)?$"
_T1W = re.compile(r"_T1w" + _NIFTI)
_LESION = re.compile(r"(_label-(L|lesion)(_|(?=\.))|lesion).*_?(mask|roi|dseg)" + _NIFTI, re.IGNORECASE)
_OURS = re.compile(r"_desc-insula_")  # what was predicted is no truth
_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)")
_SESSION = re.compile(r"(ses-[A-Za-z0-9]+)")
_CENTRE = re.compile(r"^R\d{3}$")
_ATLAS_SUBJECT = re.compile(r"r(\d{3})s\d{3}", re.IGNORECASE)
_HIDDEN_PARTS = {"testing", "test", "imagests", "testing_raw"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One session of one subject: where its files are and what the sheets say."""

    case: str
    """Its name, `sub-x_ses-y` or nnU-Net's."""
    subject: str
    """Whose brain."""
    session: str
    """Empty if there is none."""
    centre: str
    """Where it was scanned: R001 in ATLAS, a sheet's site elsewhere, or `unknown`."""
    images: tuple[Path, ...]
    """T1w files; more or fewer than one is a fault."""
    masks: tuple[Path, ...]
    """Lesion masks."""
    hidden: bool = False
    """Of a part whose masks are not given out."""
    days: float | None = None
    """Days after the stroke; None if unknown, zero or negative."""
    chronicity: Chronicity = "unknown"
    """By the days; by the sheet's word only where there are none."""
    former: str | None = None
    """Its name in ATLAS 1.2, if it was there."""
    label: int | None = None
    """The value that is lesion, for masks with several labels."""

    @property
    def image(self) -> Path:
        """The scan; of several the first.

        Raises:
            BadData: there is none.
        """
        if not self.images:
            raise BadData("the case", self.case, "has no T1w scan", "see `insula cohort check`")
        return self.images[0]

    @property
    def mask(self) -> Path:
        """The one lesion mask.

        Raises:
            BadData: there is none, or there are several and nothing says which is the truth.
        """
        if not self.masks:
            raise BadData("the case", self.case, "has no lesion mask", "see `insula cohort check`")
        if len(self.masks) > 1:
            names = " and ".join(path.name for path in self.masks[:2])
            raise BadData("the case", self.case, f"has {len(self.masks)} lesion masks ({names})", "keep one")
        return self.masks[0]


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A folder of cases."""

    folder: Path
    layout: Layout
    entries: tuple[Entry, ...]
    """Sorted by case."""
    notes: tuple[str, ...] = ()
    """What is wrong with the folder itself, e.g. a broken dataset_description.json."""


def find_cohort(folder: Path, *, label: int | None = None) -> Cohort:
    """Look through a folder, hidden files passed over, and pair images with masks.

    Pairs are made by subject and session, so masks may lie beside the scans or in `derivatives/`. `label-L` means
    lesion, not left.

    Args:
        folder: with the cases somewhere in it.
        label: the value that is lesion, for masks with several labels.

    Raises:
        NoInput: no folder, or nothing in it that looks like a T1w scan.
        UsageError: a label below 1.
    """
    if label is not None and label < 1:
        raise UsageError("--label", label, "is not 1 or more", "name the value that marks lesion; 0 is background")
    if not folder.is_dir():
        raise NoInput("the cohort", folder, "is not a folder", "name the folder that holds the cases")
    files, sheets, descriptions = _walk(folder)
    nnunet = [path for path in files if path.parent.name in ("imagesTr", "imagesTs", "labelsTr", "labelsTs")]
    if any(path.parent.name.startswith("images") for path in nnunet):
        layout: Layout = "nnunet"
        groups = _nnunet(nnunet)
    else:
        layout, groups = _bids(files, folder)
    if not any(images for images, _ in groups.values()):
        raise NoInput(
            "the cohort", folder, "holds no T1w scan (*_T1w.nii.gz, or imagesTr/*_0000.nii.gz)", "check the folder"
        )
    rows = read_sheets(sheets)
    entries = tuple(replace(_entry(case, *groups[case], rows, folder), label=label) for case in sorted(groups))
    return Cohort(folder=folder, layout=layout, entries=entries, notes=_notes(descriptions, layout, folder))


def _walk(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    images, sheets, descriptions = [], [], []
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            path = Path(base, name)
            if re.search(_NIFTI, name):
                images.append(path)
            elif name == "dataset_description.json":
                descriptions.append(path)
            elif path.suffix.lower() in (".csv", ".tsv", ".xlsx") and re.search(
                r"metadata|participants|_sessions\.tsv$", name, re.I
            ):
                sheets.append(path)
    return images, sheets, descriptions


def _nnunet(files: list[Path]) -> dict[str, tuple[list[Path], list[Path]]]:
    groups: dict[str, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for path in files:
        name = re.sub(_NIFTI, "", path.name)
        if path.parent.name.startswith("images"):
            if name.endswith("_0000"):  # further channels are other contrasts
                groups[name.removesuffix("_0000")][0].append(path)
        else:
            groups[name][1].append(path)
    return groups


def _bids(files: list[Path], folder: Path) -> tuple[Layout, dict[str, tuple[list[Path], list[Path]]]]:
    scans = [path for path in files if _T1W.search(path.name) and _SUBJECT.search(path.name)]
    masks = [path for path in files if _LESION.search(path.name) and _SUBJECT.search(path.name)]
    masks = [path for path in masks if not _OURS.search(path.name)]
    inside = {path: path.relative_to(folder).parts for path in scans}  # folders further up say nothing of the cohort
    raw = [path for path in scans if "derivatives" not in inside[path]]
    scans = raw or scans
    groups: dict[str, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for number, paths in enumerate((scans, masks)):
        for path in paths:
            groups[case_of(path.name)][number].append(path)
    if any("space-orig" in path.name and "desc-brain" in path.name for path in scans):
        return "atlas-raw", groups
    if any(("derivatives", "ATLAS") in pairwise((folder.parent.name, folder.name, *inside[path])) for path in scans):
        return "atlas-bids", groups
    if any(_CENTRE.match(part) for path in scans for part in inside[path]):
        return "atlas-indi", groups
    return "bids", groups


def case_of(name: str) -> str:
    """`sub-x_ses-y` from a BIDS file name; empty if it is none."""
    subject, session = _SUBJECT.search(name), _SESSION.search(name)
    return "_".join(found.group(1) for found in (subject, session) if found)


def _entry(
    case: str, images: list[Path], masks: list[Path], rows: dict[tuple[str, str], Row], folder: Path
) -> Entry:  # fmt: skip
    subject, session = _SUBJECT.search(case), _SESSION.search(case)
    who = subject.group(1) if subject else case
    when = session.group(1) if session else ""
    told = who if subject else f"sub-{who}"  # sheets are read as BIDS writes them
    row = rows.get((told, ""), Row()).updated(rows.get((told, when), Row()))
    places = [part for path in (*images, *masks) for part in path.relative_to(folder).parts]
    atlas = _ATLAS_SUBJECT.search(who)
    centre = next((part for part in places if _CENTRE.match(part)), None) or (
        f"R{atlas.group(1)}" if atlas else row.site
    )
    days = row.days if row.days is not None and row.days > 0 else None
    chronicity: Chronicity = row.chronicity if days is None else "chronic" if days >= _CHRONIC_DAYS else "acute"
    return Entry(
        case=case, subject=who, session=when, centre=centre or "unknown", images=tuple(images), masks=tuple(masks),
        hidden=any(part.lower() in _HIDDEN_PARTS for part in places) and not masks,
        days=days, chronicity=chronicity, former=row.former,
    )  # fmt: skip


def _notes(descriptions: list[Path], layout: Layout, folder: Path) -> tuple[str, ...]:
    if layout == "nnunet":
        return ()
    notes = []
    for path in descriptions:
        where = path.relative_to(folder).as_posix()
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            notes.append(f"{where} is not JSON ({error})")
            continue
        missing = [key for key in ("Name", "BIDSVersion") if not isinstance(tree, dict) or not tree.get(key)]
        if missing:
            notes.append(f"{where} lacks {' and '.join(missing)}")
    return tuple(notes)
