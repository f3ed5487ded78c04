"""The same cohort in another tool's layout."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from insula.cohort.examine import read_lesion
from insula.cohort.layout import Cohort, Entry
from insula.cohort.split import Split
from insula.errors import BadData, InsulaError
from insula.io import read_scan, write_bytes, write_json, write_mask, write_text
from insula.io.bytes import read_file
from insula.io.inflate import GZIP_MAGIC
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
"""Of ATLAS R2.0."""
_BIDS = "1.10.0"
_ATLAS_CASE = re.compile(r"^sub-r\d{3}s\d{3}_ses-[A-Za-z0-9]+$")
_COLUMNS = ("participant_id", "session_id", "site", "days_post_stroke", "chronicity")


@dataclass(frozen=True)
class Home:
    """Where one case's files go, relative to the cohort's folder."""

    image: Path
    mask: Path
    """Not written for a case without one."""


def as_nnunet(entry: Entry) -> Home:
    """nnU-Net raw: `imagesTr/CASE_0000.nii.gz` and `labelsTr/CASE.nii.gz`; `imagesTs` without a mask."""
    part = "Tr" if entry.masks else "Ts"
    return Home(Path(f"images{part}", f"{entry.case}_0000.nii.gz"), Path(f"labels{part}", f"{entry.case}.nii.gz"))


def as_indi(entry: Entry) -> Home:
    """ATLAS R2.0 as INDI ships it; cases without a mask under `Testing`."""
    part = "Training" if entry.masks else "Testing"
    folder = Path(part, entry.centre, entry.subject, entry.session, "anat")
    stem = f"{entry.case}_{SPACE}"
    return Home(folder / f"{stem}_T1w.nii.gz", folder / f"{stem}_label-L_desc-T1lesion_mask.nii.gz")


def as_bids(entry: Entry) -> Home:
    """Raw scans, and masks in `derivatives/lesions`."""
    label = re.sub(r"[^A-Za-z0-9]", "", entry.subject.removeprefix("sub-"))
    session = re.sub(r"[^A-Za-z0-9]", "", entry.session.removeprefix("ses-"))
    parts = [f"sub-{label}", *([f"ses-{session}"] if session else [])]
    folder, stem = Path(*parts, "anat"), "_".join(parts)
    return Home(
        folder / f"{stem}_T1w.nii.gz",
        Path("derivatives", "lesions") / folder / f"{stem}_space-orig_label-lesion_mask.nii.gz",
    )


def find_homes(cohort: Cohort, layout: Literal["nnunet", "atlas", "bids"]) -> dict[str, Home]:
    """Every case's place in a layout.

    Raises:
        BadData: the names do not fit the layout, or two cases would share a place.
    """
    of = {"nnunet": as_nnunet, "atlas": as_indi, "bids": as_bids}[layout]
    if layout == "atlas" and (odd := [e.case for e in cohort.entries if not _ATLAS_CASE.match(e.case)]):
        raise BadData("the case", odd[0], "is not named as ATLAS names cases (sub-r001s001_ses-1)", "use --to bids")
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
    """Check one case and write it: the scan's voxels and header as they are, the mask as 0 and 1.

    Raises:
        BadData: the scan or the mask cannot be used.
    """
    if not entry.images:
        raise BadData("the case", entry.case, "has no scan", "see `insula cohort check`")
    source, image = entry.images[0], folder / home.image
    scan = read_scan(source, name=entry.case)
    image.parent.mkdir(parents=True, exist_ok=True)
    data = read_file(source).data
    write_bytes(image, data if data[:2] == GZIP_MAGIC else gzip.compress(data, compresslevel=3, mtime=0))
    if entry.masks:
        lesion = read_lesion(entry.masks[0], label=entry.label)
        if not lesion.grid.close_to(scan.grid):
            raise BadData("the mask of", entry.case, "does not lie on its scan's grid", "see `insula cohort check`")
        (folder / home.mask).parent.mkdir(parents=True, exist_ok=True)
        write_mask(folder / home.mask, Mask(lesion.voxels, scan.grid), file=scan.file)
        if "derivatives" in home.mask.parts:  # BIDS wants to be told what `space-orig` is
            sidecar = home.mask.with_name(home.mask.name.removesuffix(".nii.gz") + ".json")
            reference = f"bids:raw:{home.image.as_posix()}"
            write_json(folder / sidecar, {"SpatialReference": reference, "Sources": [reference], "Type": "Lesion"})


def try_entry(entry: Entry, *, homes: dict[str, Home], folder: Path) -> InsulaError | None:
    """As `write_entry`, but a case that is refused becomes a value, so that the others go on."""
    try:
        write_entry(entry, homes[entry.case], folder)
    except BadData as error:
        return error
    return None


def write_sheet(entries: Sequence[Entry], folder: Path, *, bids: bool = False) -> None:
    """What is known of the cases beside their files, so that it comes back with them: `participants.tsv`.

    Args:
        entries: the cases.
        folder: the cohort's.
        bids: one line a subject, as BIDS wants it, and descriptions of both datasets.
    """
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t", lineterminator="\n")
    columns = tuple(c for c in _COLUMNS if not (bids and c == "session_id"))
    writer.writerow(columns)
    seen: set[str] = set()
    for entry in entries:
        who = as_bids(entry).image.parts[0] if bids else entry.subject
        days = "n/a" if entry.days is None else f"{entry.days:g}"
        row = dict(zip(_COLUMNS, (who, entry.session or "n/a", entry.centre, days, entry.chronicity), strict=True))
        if not (bids and who in seen):
            writer.writerow([row[c] for c in columns])
        seen.add(who)
    write_text(folder / "participants.tsv", table.getvalue())
    if bids:
        write_json(folder / "dataset_description.json", description("T1w scans", "raw"))
        write_text(folder / "README", "T1-weighted scans; lesion masks are in derivatives/lesions.\n")
        (folder / "derivatives" / "lesions").mkdir(parents=True, exist_ok=True)
        write_json(
            folder / "derivatives" / "lesions" / "dataset_description.json", description("Lesion masks", "derivative")
        )


def write_nnunet_facts(cohort: Cohort, folder: Path, split: Split | None) -> None:
    """`dataset.json`, and with a split `splits_final.json`, which nnU-Net looks for among its preprocessed data."""
    labelled = [entry.case for entry in cohort.entries if entry.masks]
    facts = {
        "channel_names": {"0": "T1w"}, "labels": {"background": 0, "lesion": 1}, "numTraining": len(labelled),
        "file_ending": ".nii.gz", "name": "insula", "description": "written by insula cohort export",
    }  # fmt: skip
    write_json(folder / "dataset.json", facts)
    if split is not None:
        folds = [{"train": list(fold.train), "val": list(fold.test)} for fold in split.folds]
        write_text(folder / "splits_final.json", json.dumps(folds, indent=2) + "\n")


def description(name: str, kind: Literal["raw", "derivative"]) -> dict[str, Any]:
    """The content of a `dataset_description.json`."""
    facts: dict[str, Any] = {"Name": name, "BIDSVersion": _BIDS, "DatasetType": kind}
    if kind == "derivative":
        facts["DatasetLinks"] = {"raw": "../.."}
        facts["GeneratedBy"] = [{"Name": "insula", "Version": VERSION}]
    return facts
