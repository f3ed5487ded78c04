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

from insula.cohort.entry import Chronicity, Entry
from insula.cohort.pairs import NIFTI, pair_files, take_scans
from insula.cohort.sheet import OTHER_SHEET, SHEET, SheetRow, read_sheets
from insula.errors import NoInput, UsageError
from insula.io.entities import entities_of, session_of
from insula.io.kept_masks import kept_mask
from insula.io.naming import other_than_t1w
from insula.io.participants import APART, count_names, without_scan
from insula.io.walk import walk

__all__ = ["Cohort", "Layout", "case_of", "find_cohort"]

Layout = Literal["atlas-indi", "atlas-bids", "atlas-raw", "bids", "nnunet"]
"""ATLAS R2.0 as INDI ships it, ATLAS in BIDS, R2.1/R3.0 in native space, BIDS with derivatives, nnU-Net raw."""

_CHRONIC_DAYS = 180
_LESION = re.compile(r"(_label-(L|lesion)(_|(?=\.))|lesion).*_?(mask|roi|dseg)" + NIFTI, re.IGNORECASE)
_OURS = re.compile(r"_desc-insula_")  # our predictions are not ground truth
_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)")
_DERIVED = re.compile(r"_(mask|dseg|probseg|roi)" + NIFTI)  # derived from scans, so not reported as skipped scans
_CENTRE = re.compile(r"^R\d{3}$")
_ATLAS_SUBJECT = re.compile(r"r(\d{3})s\d{3}", re.IGNORECASE)
_HIDDEN_PARTS = {"testing", "test", "imagests", "testing_raw"}


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
        entries, notes = _nnunet(nnunet), list[str]()
    else:
        layout, entries, notes = _bids(files.images, folder)
        notes = [*_notes(files.descriptions, folder), *notes, *without_scan(files.folders, _sessions(entries))]
    if not any(entry.images for entry in entries):
        raise NoInput(
            "the cohort", folder, "holds no T1w scan (*_T1w.nii.gz, or imagesTr/*_0000.nii.gz)", "check the folder"
        )
    if files.other_sheets:
        counted = count_names(files.other_sheets, "sheet")
        notes.append(f"passed over: {counted} with neither participants nor metadata in the name")
    sheets = read_sheets(files.sheets, [(entry.subject, entry.session) for entry in entries])
    entries.sort(key=lambda entry: entry.case)
    return Cohort(
        folder=folder,
        layout=layout,
        entries=tuple(_with_facts(replace(entry, label=label), sheets.rows, folder) for entry in entries),
        notes=(*notes, *sheets.notes),
        sheets=sheets.read,
    )


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


def _nnunet(files: list[Path]) -> list[Entry]:
    cases: dict[str, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for path in files:
        name = re.sub(NIFTI, "", path.name)
        if path.parent.name.startswith("images"):
            if name.endswith("_0000"):  # further channels are other contrasts
                cases[name.removesuffix("_0000")][0].append(path)
        else:
            cases[name][1].append(path)
    return [
        Entry.of_files(
            case,
            tuple(images),
            tuple(masks),
            doubt=f"has {len(images)} images of one name ({images[0].name} and {images[1].name})"
            if len(images) > 1
            else "",
        )
        for case, (images, masks) in cases.items()
    ]


def _bids(files: list[Path], folder: Path) -> tuple[Layout, list[Entry], list[str]]:
    """Return the layout, the cases, and notes on the files that were skipped."""
    named = [path for path in files if _SUBJECT.search(path.name)]
    lesions = [path for path in files if _LESION.search(path.name) and not _is_ours(path)]
    masks = [path for path in lesions if _SUBJECT.search(path.name)]
    inside = {path: path.relative_to(folder).parts for path in files}  # folders further up do not describe the cohort
    every = take_scans([path for path in named if not other_than_t1w(path)])
    scans = [path for path in every if not APART.intersection(inside[path])] or every
    entries = pair_files(scans, masks)
    taken = {*scans, *masks}
    raw = [path for path in files if not APART.intersection(inside[path]) and not _DERIVED.search(path.name)]
    left = {path for path in (*raw, *lesions) if path not in taken}
    beside, notes = {path for entry in entries for path in entry.beside}, list[str]()
    if beside:
        counted = count_names([path.name for path in beside], "T1w scan")
        notes.append(f"passed over: {counted} without a mask, beside another of its session that has one")
    if left:
        counted = count_names([path.name for path in left], "image")
        notes.append(f"passed over: {counted}, by their names neither T1w scans nor lesion masks of a subject")
    if any("space-orig" in path.name and "desc-brain" in path.name for path in scans):
        return "atlas-raw", entries, notes
    if any(("derivatives", "ATLAS") in pairwise((folder.parent.name, folder.name, *inside[path])) for path in scans):
        return "atlas-bids", entries, notes
    if any(_CENTRE.match(part) for path in scans for part in inside[path]):
        return "atlas-indi", entries, notes
    return "bids", entries, notes


def _is_ours(path: Path) -> bool:
    """Tell whether a mask is our prediction, a correction of it that lies beside it, or what a correction replaced."""
    kept = kept_mask(path)
    return any(_OURS.search(name) for name in (path.name, kept.mask.name if kept else ""))


def _sessions(entries: list[Entry]) -> set[str]:
    return {
        session_of(entities_of(path.name)) for entry in entries for path in (*entry.images, *entry.beside, *entry.masks)
    }


def case_of(name: str) -> str:
    """Return `sub-x_ses-y` from a BIDS file name; empty for any other name."""
    return session_of(entities_of(name)) if _SUBJECT.search(name) else ""


def _with_facts(entry: Entry, rows: Mapping[tuple[str, str], SheetRow], folder: Path) -> Entry:
    """Return an entry with what the sheets and its place in the folder say."""
    row = rows.get((entry.subject, ""), SheetRow()).updated(rows.get((entry.subject, entry.session), SheetRow()))
    places = [part for path in (*entry.images, *entry.masks) for part in path.relative_to(folder).parts]
    atlas = _ATLAS_SUBJECT.search(entry.subject)
    centre = next((part for part in places if _CENTRE.match(part)), None) or (
        f"R{atlas.group(1)}" if atlas else row.site
    )
    days = row.days if row.days is not None and row.days > 0 else None
    chronicity: Chronicity = row.chronicity if days is None else "chronic" if days >= _CHRONIC_DAYS else "acute"
    return replace(
        entry,
        centre=centre or "unknown",
        hidden=any(part.lower() in _HIDDEN_PARTS for part in places) and not entry.masks,
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
