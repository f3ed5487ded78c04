"""Finds the scans and masks of a cohort in a folder, and recognises its layout."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from insula.cohort.pairs import NIFTI, Group, pair_files, take_scans
from insula.cohort.sheet import OTHER_SHEET, SHEET, SheetRow, read_sheets
from insula.errors import BadData, NoInput, UsageError
from insula.io.entities import entities_of, session_of
from insula.io.naming import other_than_t1w
from insula.io.participants import APART, count_names, without_scan
from insula.io.walk import walk

__all__ = ["Chronicity", "Cohort", "Entry", "Layout", "case_of", "find_cohort"]

Layout = Literal["atlas-indi", "atlas-bids", "atlas-raw", "bids", "nnunet"]
"""ATLAS R2.0 as INDI ships it, ATLAS in BIDS, R2.1/R3.0 in native space, BIDS with derivatives, nnU-Net raw."""

Chronicity = Literal["acute", "chronic", "unknown"]
"""Chronic from 180 days after the stroke; acute before that."""

_CHRONIC_DAYS = 180
_LESION = re.compile(r"(_label-(L|lesion)(_|(?=\.))|lesion).*_?(mask|roi|dseg)" + NIFTI, re.IGNORECASE)
_OURS = re.compile(r"_desc-insula_")  # our predictions are not ground truth
_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)")
_SESSION = re.compile(r"(ses-[A-Za-z0-9]+)")
_MADE = re.compile(r"_(mask|dseg|probseg|roi)" + NIFTI)  # derived from scans, so not reported as skipped scans
_CENTRE = re.compile(r"^R\d{3}$")
_ATLAS_SUBJECT = re.compile(r"r(\d{3})s\d{3}", re.IGNORECASE)
_HIDDEN_PARTS = {"testing", "test", "imagests", "testing_raw"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One session of one subject: its files, and its facts from the sheets."""

    case: str
    """Case name: `sub-x_ses-y`, or nnU-Net's case name."""
    subject: str
    """Subject label, e.g. `sub-x`."""
    session: str
    """Session label; empty if there is none."""
    centre: str
    """Centre of the scan: R001 etc. in ATLAS, the site in a sheet elsewhere, or `unknown`."""
    images: tuple[Path, ...]
    """T1w files; anything but exactly one is a fault."""
    beside: tuple[Path, ...] = ()
    """Other T1w files of the session, without a mask."""
    doubt: str = ""
    """Why it is unclear which scan the mask belongs to; empty where it is clear."""
    masks: tuple[Path, ...]
    """Lesion masks."""
    hidden: bool = False
    """Whether the case is in a part whose masks are not released."""
    days: float | None = None
    """Days after the stroke; None if unknown, zero or negative."""
    chronicity: Chronicity = "unknown"
    """Derived from the days; taken from the sheet only where the days are missing."""
    former: str | None = None
    """Name in ATLAS 1.2, if the case was part of it."""
    label: int | None = None
    """Value that marks lesion, for masks with several labels."""

    @property
    def image(self) -> Path:
        """The scan.

        Raises:
            BadData: there is no scan, or it is unclear which one to use.
        """
        if not self.images:
            raise BadData("the case", self.case, "has no T1w scan", "see `insula cohort check`")
        self._refuse_doubt()
        return self.images[0]

    @property
    def mask(self) -> Path:
        """The lesion mask.

        Raises:
            BadData: there is no mask, there are several, or it is unclear which scan it belongs to.
        """
        if not self.masks:
            raise BadData("the case", self.case, "has no lesion mask", "see `insula cohort check`")
        if len(self.masks) > 1:
            names = " and ".join(path.name for path in self.masks[:2])
            raise BadData("the case", self.case, f"has {len(self.masks)} lesion masks ({names})", "keep one")
        self._refuse_doubt()
        return self.masks[0]

    def _refuse_doubt(self) -> None:
        if self.doubt:
            raise BadData("the case", self.case, self.doubt, "keep one, or name its run in both names")


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A folder of cases and what was found in it."""

    folder: Path
    layout: Layout
    entries: tuple[Entry, ...]
    """Sorted by case."""
    notes: tuple[str, ...] = ()
    """Problems with the folder itself, e.g. a broken dataset_description.json, and files that were skipped."""
    sheets: tuple[str, ...] = ()
    """What was read from the sheets, one line for each kind of sheet."""


@dataclass
class _Files:
    images: list[Path] = field(default_factory=list)
    sheets: list[Path] = field(default_factory=list)
    other_sheets: list[str] = field(default_factory=list)
    descriptions: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    """Relative to the cohort's folder."""


def find_cohort(folder: Path, *, label: int | None = None) -> Cohort:
    """Search a folder for scans and masks, skipping hidden files, and pair them.

    Pairs are made by all the entities that two names share, so masks may lie beside the scans or in `derivatives/`.
    `label-L` means lesion, not left.

    Args:
        folder: the folder that holds the cases, at any depth.
        label: value that marks lesion, for masks with several labels.

    Raises:
        NoInput: no such folder, or it holds no T1w scan.
        UsageError: a label below 1.
    """
    if label is not None and label < 1:
        raise UsageError("`label`", label, "is not 1 or more", "name the value that marks lesion; 0 is background")
    if not folder.is_dir():
        raise NoInput("the cohort", folder, "is not a folder", "name the folder that holds the cases")
    files = _walk(folder)
    nnunet = [path for path in files.images if path.parent.name in ("imagesTr", "imagesTs", "labelsTr", "labelsTs")]
    if any(path.parent.name.startswith("images") for path in nnunet):
        layout: Layout = "nnunet"
        groups, notes = _nnunet(nnunet), list[str]()
    else:
        layout, groups, notes = _bids(files.images, folder)
        notes = [*_notes(files.descriptions, folder), *notes, *without_scan(files.folders, _sessions(groups))]
    if not any(group.images for group in groups):
        raise NoInput(
            "the cohort", folder, "holds no T1w scan (*_T1w.nii.gz, or imagesTr/*_0000.nii.gz)", "check the folder"
        )
    if files.other_sheets:
        counted = count_names(files.other_sheets, "sheet")
        notes.append(f"passed over: {counted} with neither participants nor metadata in the name")
    sheets = read_sheets(files.sheets, [_who(group.case) for group in groups])
    groups.sort(key=lambda group: group.case)
    entries = tuple(replace(_entry(group, sheets.rows, folder), label=label) for group in groups)
    return Cohort(folder=folder, layout=layout, entries=entries, notes=(*notes, *sheets.notes), sheets=sheets.read)


def _walk(folder: Path) -> _Files:
    inputs = _Files()
    for base, folders, names in walk(folder):
        inputs.folders += [Path(base, name).relative_to(folder) for name in folders]
        for name in names:
            path = Path(base, name)
            if re.search(NIFTI, name):
                inputs.images.append(path)
            elif name == "dataset_description.json":
                inputs.descriptions.append(path)
            elif SHEET.search(name):
                inputs.sheets.append(path)
            elif path.parent == folder and OTHER_SHEET.search(name):
                inputs.other_sheets.append(name)
    return inputs


def _nnunet(files: list[Path]) -> list[Group]:
    groups: dict[str, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for path in files:
        name = re.sub(NIFTI, "", path.name)
        if path.parent.name.startswith("images"):
            if name.endswith("_0000"):  # further channels are other contrasts
                groups[name.removesuffix("_0000")][0].append(path)
        else:
            groups[name][1].append(path)
    return [
        Group(
            case=case,
            images=tuple(images),
            masks=tuple(masks),
            doubt=f"has {len(images)} images of one name ({images[0].name} and {images[1].name})"
            if len(images) > 1
            else "",
        )
        for case, (images, masks) in groups.items()
    ]


def _bids(files: list[Path], folder: Path) -> tuple[Layout, list[Group], list[str]]:
    """Return the layout, the cases, and notes on the files that were skipped."""
    named = [path for path in files if _SUBJECT.search(path.name)]
    lesions = [path for path in files if _LESION.search(path.name) and not _OURS.search(path.name)]
    masks = [path for path in lesions if _SUBJECT.search(path.name)]
    inside = {path: path.relative_to(folder).parts for path in files}  # folders further up do not describe the cohort
    every = take_scans([path for path in named if not other_than_t1w(path)])
    scans = [path for path in every if not APART.intersection(inside[path])] or every
    groups = pair_files(scans, masks)
    taken = {*scans, *masks}
    raw = [path for path in files if not APART.intersection(inside[path]) and not _MADE.search(path.name)]
    left = {path for path in (*raw, *lesions) if path not in taken}
    beside, notes = {path for group in groups for path in group.beside}, list[str]()
    if beside:
        counted = count_names([path.name for path in beside], "T1w scan")
        notes.append(f"passed over: {counted} without a mask, beside another of its session that has one")
    if left:
        counted = count_names([path.name for path in left], "image")
        notes.append(f"passed over: {counted}, by their names neither T1w scans nor lesion masks of a subject")
    if any("space-orig" in path.name and "desc-brain" in path.name for path in scans):
        return "atlas-raw", groups, notes
    if any(("derivatives", "ATLAS") in pairwise((folder.parent.name, folder.name, *inside[path])) for path in scans):
        return "atlas-bids", groups, notes
    if any(_CENTRE.match(part) for path in scans for part in inside[path]):
        return "atlas-indi", groups, notes
    return "bids", groups, notes


def _sessions(groups: list[Group]) -> set[str]:
    return {
        session_of(entities_of(path.name)) for group in groups for path in (*group.images, *group.beside, *group.masks)
    }


def case_of(name: str) -> str:
    """Return `sub-x_ses-y` from a BIDS file name; empty for any other name."""
    return session_of(entities_of(name)) if _SUBJECT.search(name) else ""


def _who(case: str) -> tuple[str, str]:
    """Return the subject and session of a case; a case without a BIDS name is its own subject."""
    subject, session = _SUBJECT.search(case), _SESSION.search(case)
    return subject.group(1) if subject else case, session.group(1) if session else ""


def _entry(group: Group, rows: Mapping[tuple[str, str], SheetRow], folder: Path) -> Entry:
    who, when = _who(group.case)
    row = rows.get((who, ""), SheetRow()).updated(rows.get((who, when), SheetRow()))
    places = [part for path in (*group.images, *group.masks) for part in path.relative_to(folder).parts]
    atlas = _ATLAS_SUBJECT.search(who)
    centre = next((part for part in places if _CENTRE.match(part)), None) or (
        f"R{atlas.group(1)}" if atlas else row.site
    )
    days = row.days if row.days is not None and row.days > 0 else None
    chronicity: Chronicity = row.chronicity if days is None else "chronic" if days >= _CHRONIC_DAYS else "acute"
    return Entry(
        case=group.case,
        subject=who,
        session=when,
        centre=centre or "unknown",
        images=group.images,
        masks=group.masks,
        beside=group.beside,
        doubt=group.doubt,
        hidden=any(part.lower() in _HIDDEN_PARTS for part in places) and not group.masks,
        days=days,
        chronicity=chronicity,
        former=row.former,
    )


def _notes(descriptions: list[Path], folder: Path) -> list[str]:
    notes = []
    for path in descriptions:
        where = path.relative_to(folder).as_posix()
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            notes.append(f"{where} is not JSON ({type(error).__name__})")
            continue
        missing = [key for key in ("Name", "BIDSVersion") if not isinstance(tree, dict) or not tree.get(key)]
        if missing:
            notes.append(f"{where} lacks {' and '.join(missing)}")
    return notes
