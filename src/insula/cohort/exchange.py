"""Exports a cohort to the layout of another tool."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from insula.cohort.entry import Entry
from insula.cohort.layout import Cohort
from insula.cohort.split import Split
from insula.errors import BadData, CannotCreate, InsulaError, IOFault, NoPermission
from insula.io import read_mask, read_scan, write_bytes, write_json, write_mask, write_text
from insula.io.bytes import read_file
from insula.io.entities import acquisition, entities_of, joined
from insula.io.inflate import inflate_at_most, peel
from insula.types import VERSION
from insula.volume import Mask

__all__ = [
    "SPACE",
    "Home",
    "as_bids",
    "as_indi",
    "as_nnunet",
    "description",
    "find_homes",
    "try_entry",
    "write_entry",
    "write_nnunet_facts",
    "write_sheet",
]

SPACE = "space-MNI152NLin2009aSym"
"""BIDS space label of ATLAS R2.0."""
_BIDS = "1.10.0"
_MOST_BYTES = 4 << 30
_ATLAS_CASE = re.compile(r"^sub-r\d{3}s\d{3}_ses-[A-Za-z0-9]+$")
_COLUMNS = ("participant_id", "session_id", "site", "days_post_stroke", "chronicity")


@dataclass(frozen=True)
class Home:
    """Paths of one case's files, relative to the cohort's folder."""

    image: Path
    mask: Path
    """Path of the mask; not written for a case without one."""


def as_nnunet(entry: Entry) -> Home:
    """Return nnU-Net raw paths: `imagesTr/CASE_0000.nii.gz` and `labelsTr/CASE.nii.gz`; `imagesTs` without a mask."""
    part = "Tr" if entry.masks else "Ts"
    return Home(Path(f"images{part}", f"{entry.case}_0000.nii.gz"), Path(f"labels{part}", f"{entry.case}.nii.gz"))


def as_indi(entry: Entry) -> Home:
    """Return paths of ATLAS R2.0 as INDI ships it; cases without a mask go under `Testing`."""
    part = "Training" if entry.masks else "Testing"
    folder = Path(part, entry.centre, entry.subject, entry.session, "anat")
    stem = f"{entry.case}_{SPACE}"
    return Home(folder / f"{stem}_T1w.nii.gz", folder / f"{stem}_label-L_desc-T1lesion_mask.nii.gz")


def as_bids(entry: Entry) -> Home:
    """Return BIDS paths: raw scans, and masks in `derivatives/lesions`."""
    label = re.sub(r"[^A-Za-z0-9]", "", entry.subject.removeprefix("sub-"))
    session = re.sub(r"[^A-Za-z0-9]", "", entry.session.removeprefix("ses-"))
    parts = [f"sub-{label}", *([f"ses-{session}"] if session else [])]
    named = entities_of(entry.images[0].name if entry.images else entry.case)
    extra = {key: value for key, value in acquisition(named).items() if key not in ("sub", "ses")}
    folder, stem = Path(*parts, "anat"), "_".join(filter(None, (*parts, joined(extra))))
    return Home(
        folder / f"{stem}_T1w.nii.gz",
        Path("derivatives", "lesions") / folder / f"{stem}_space-orig_label-lesion_mask.nii.gz",
    )


def find_homes(cohort: Cohort, layout: Literal["nnunet", "atlas", "bids"]) -> dict[str, Home]:
    """Return the paths of every case in a layout.

    Raises:
        BadData: the names do not fit the layout, or two cases would get the same path.
    """
    of = {"nnunet": as_nnunet, "atlas": as_indi, "bids": as_bids}[layout]
    if layout == "atlas" and (odd := [e.case for e in cohort.entries if not _ATLAS_CASE.match(e.case)]):
        raise BadData("the case", odd[0], "is not named as ATLAS names cases (sub-r001s001_ses-1)", "use `to=bids`")
    homes: dict[str, Home] = {}
    taken: dict[Path, str] = {}
    for entry in cohort.entries:
        home = homes[entry.case] = of(entry)
        if home.image in taken:
            rule = f"would get the same name as {taken[home.image]} ({home.image.name})"
            raise BadData("the case", entry.case, rule, "rename one of them")
        taken[home.image] = entry.case
    return homes


def write_entry(entry: Entry, home: Home, folder: Path) -> None:
    """Check one case and write it: the scan unchanged in voxels and header, the mask as 0 and 1.

    Raises:
        BadData: the scan or the mask cannot be used.
    """
    image = folder / home.image
    scan = read_scan(entry.image, name=entry.case)
    lesion = (
        read_mask(entry.mask, label=entry.label).onto(scan.grid, what=f"the mask of {entry.case}")
        if entry.masks
        else None
    )
    image.parent.mkdir(parents=True, exist_ok=True)
    data = read_file(entry.image).data
    _, kinds = peel(lambda count: data[:count], 4)
    if kinds != ("gzip",):
        for _ in kinds:
            data = inflate_at_most(data, _MOST_BYTES)
        data = gzip.compress(data, compresslevel=3, mtime=0)
    write_bytes(image, data)
    if lesion is not None:
        (folder / home.mask).parent.mkdir(parents=True, exist_ok=True)
        write_mask(folder / home.mask, Mask(lesion.voxels, scan.grid), file=scan.file)
        if "derivatives" in home.mask.parts:  # BIDS requires a reference for `space-orig`
            sidecar = home.mask.with_name(home.mask.name.removesuffix(".nii.gz") + ".json")
            reference = f"bids:raw:{home.image.as_posix()}"
            write_json(folder / sidecar, {"SpatialReference": reference, "Sources": [reference], "Type": "Lesion"})


def try_entry(entry: Entry, *, homes: dict[str, Home], folder: Path, labelled: bool) -> InsulaError | None:
    """Call `write_entry`, but return the error of a refused case instead of raising it, so that the others go on.

    Args:
        entry: the case.
        homes: from `find_homes`.
        folder: the output folder.
        labelled: refuse a case without a mask unless it is hidden; it would be read back as a hidden case.

    Returns:
        The error, or None if the case was written.

    Raises:
        InsulaError: the output cannot be written.
    """
    try:
        if labelled and not entry.hidden:
            _ = entry.mask  # refuses
        write_entry(entry, homes[entry.case], folder)
    except InsulaError as error:
        if isinstance(error, CannotCreate | IOFault | NoPermission):  # the output's fault, not the case's
            raise
        return error
    return None


def write_sheet(entries: Sequence[Entry], folder: Path, *, bids: bool = False) -> None:
    """Write the facts about the cases to `participants.tsv`, so that they are read back with the files.

    Args:
        entries: the cases.
        folder: the folder of the cohort.
        bids: write one line per subject, as BIDS requires, with a `sessions.tsv` for each subject that has sessions,
            and descriptions of both datasets.
    """
    rows = [_facts(entry, bids=bids) for entry in entries]
    if not bids:
        rows = list({tuple(row.values()): row for row in rows}.values())
        _write_table(folder / "participants.tsv", _COLUMNS, rows)
        return
    sessions: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        if row["session_id"] != "n/a":  # facts that vary between sessions go only there
            if dict(row) not in (
                session_rows := sessions.setdefault(row["participant_id"], [])
            ):  # two runs share a line
                session_rows.append(dict(row))
            row |= {"days_post_stroke": "n/a", "chronicity": "n/a"}
    people = {row["participant_id"]: row for row in rows}
    _write_table(folder / "participants.tsv", [c for c in _COLUMNS if c != "session_id"], list(people.values()))
    for who, session_rows in sessions.items():
        _write_table(
            folder / who / f"{who}_sessions.tsv", ("session_id", "days_post_stroke", "chronicity"), session_rows
        )
    write_json(folder / "dataset_description.json", description("T1w scans", "raw"))
    write_text(folder / "README", "T1-weighted scans; lesion masks are in derivatives/lesions.\n")
    lesions = folder / "derivatives" / "lesions"
    lesions.mkdir(parents=True, exist_ok=True)
    write_json(lesions / "dataset_description.json", description("Lesion masks", "derivative"))


def _facts(entry: Entry, *, bids: bool) -> dict[str, str]:
    who, session = entry.subject, entry.session
    if bids:
        who, *between = as_bids(entry).image.parts[:-2]  # sub-x, perhaps ses-y
        session = between[0] if between else ""
    days = "n/a" if entry.days is None else f"{entry.days:g}"
    return dict(zip(_COLUMNS, (who, session or "n/a", entry.centre, days, entry.chronicity), strict=True))


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, extrasaction="ignore", delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, table.getvalue())


def write_nnunet_facts(entries: Sequence[Entry], folder: Path, split: Split | None) -> None:
    """Write `dataset.json`, and for a split `splits_final.json`, which nnU-Net looks for in its preprocessed data."""
    labelled = [entry.case for entry in entries if entry.masks]
    facts = {
        "channel_names": {"0": "T1w"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": len(labelled),
        "file_ending": ".nii.gz",
        "name": "insula",
        "description": "written by insula cohort export",
    }
    write_json(folder / "dataset.json", facts)
    if split is not None:
        folds = [{"train": list(fold.train), "val": list(fold.test)} for fold in split.folds]
        write_text(folder / "splits_final.json", json.dumps(folds, indent=2) + "\n")


def description(name: str, kind: Literal["raw", "derivative"]) -> dict[str, object]:
    """Return the content of a `dataset_description.json`."""
    facts: dict[str, object] = {"Name": name, "BIDSVersion": _BIDS, "DatasetType": kind}
    if kind == "derivative":
        facts["DatasetLinks"] = {"raw": "../.."}
        facts["GeneratedBy"] = [{"Name": "insula", "Version": VERSION}]
    return facts
