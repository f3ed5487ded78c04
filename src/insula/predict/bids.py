"""Results as a BIDS derivative: finding scans, naming files, and writing them with their sidecars."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from insula.errors import NoInput
from insula.io import folded, write_json, write_labels, write_mask, write_prob, write_text
from insula.io.bytes import read_file
from insula.io.entities import entities_of, is_uni, session_of, uni_alone
from insula.io.naming import other_than_t1w
from insula.io.participants import count_names, without_scan
from insula.postprocess import number_lesions
from insula.predict.record import DISCLAIMER, ResultRecord, to_record
from insula.predict.result import Result
from insula.types import VERSION

__all__ = [
    "BidsPaths",
    "BidsScan",
    "BidsScans",
    "bids_paths",
    "find_bids_scans",
    "look_through",
    "write_bids_dataset",
    "write_bids_result",
]

_BIDS = "1.10.0"
_T1W = re.compile(r"^sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9+]+)*_(T1w|UNIT1)\.nii(\.gz)?$")
_BEFORE_SPACE = [
    "sub",
    "ses",
    "task",
    "acq",
    "ce",
    "rec",
    "dir",
    "run",
    "mod",
    "echo",
    "flip",
    "inv",
    "mt",
    "part",
    "proc",
    "hemi",
]  # BIDS' order of entities
_BRAIN = "The network's brain, lesion included: the largest 26-connected piece of probability 0.5 or more, holes filled"
_IGNORE = "*.html\n**/*_record.json\nresults.*\nlesions.*\nreview.*\n**/*_corrected-*\nlogs/\n"


@dataclass(frozen=True)
class BidsScan:
    """A raw T1w scan of a BIDS dataset."""

    path: Path
    inside: str
    """Path inside the dataset, with slashes."""
    entities: dict[str, str]
    """Entities of the file name: `sub`, `ses`, `acq` and so on, in order."""
    twin: str = ""
    """Another file whose result would have the same name; empty if there is none."""

    @property
    def name(self) -> str:
        """File name without its suffix: `sub-x_ses-y...`."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items())


@dataclass(frozen=True)
class BidsScans:
    """The scans of a dataset."""

    scans: list[BidsScan]
    notes: tuple[str, ...]
    """Descriptions of the images in `anat` folders, the participants and the sessions that are skipped."""


@dataclass(frozen=True)
class BidsPaths:
    """Paths of the files of a scan's result."""

    mask: Path
    brain: Path
    """Written only for weights with a brain output."""
    prob: Path
    lesions: Path
    record: Path
    page: Path

    @property
    def all_but_the_record(self) -> tuple[Path, ...]:
        """Images, their sidecars, the table of lesions, and the page."""
        images = (self.mask, self.brain, self.prob, self.lesions)
        return (*images, *map(_sidecar, images), _table_of(self.lesions), self.page)


def find_bids_scans(folder: Path, labels: tuple[str, ...] = ()) -> list[BidsScan]:
    """Returns the scans of `look_through`."""
    return look_through(folder, labels).scans


def look_through(folder: Path, labels: tuple[str, ...] = ()) -> BidsScans:
    """Find the raw T1w scans of a dataset: `sub-*/[ses-*/]anat/*_T1w.nii[.gz]`, sorted; derivatives are ignored.

    A session without a T1w scan contributes the UNI image of an MP2RAGE (`UNIT1`), if it has one. Phase, real and
    imaginary images and single inversions are skipped. Of files whose results would have the same name, ignoring case,
    only the first is returned, with its twin.

    Args:
        folder: the dataset.
        labels: participants, with or without `sub-`; all if empty.

    Raises:
        NoInput: the folder does not exist, holds no scans, or lacks a participant.
    """
    if not folder.is_dir():
        raise NoInput("the BIDS dataset", folder, "is not a folder", "name the folder with the sub-* folders")
    wanted = {label.removeprefix("sub-") for label in labels}
    participants = [path for path in sorted(folder.glob("sub-*")) if path.is_dir()]
    known_labels = {path.name.removeprefix("sub-") for path in participants}
    if absent := sorted(wanted - known_labels):
        known = ", ".join(sorted(known_labels)[:5]) or "none"
        raise NoInput("the participant", absent[0], "is not in the dataset", f"there are: {known}")
    participants = [path for path in participants if not wanted or path.name.removeprefix("sub-") in wanted]
    sessions = [path for participant in participants for path in sorted(participant.glob("ses-*")) if path.is_dir()]
    images = [
        path
        for parent in (*participants, *sessions)
        for path in sorted(parent.glob("anat/*.nii*"))
        if not path.name.startswith(".")
    ]
    raw = [path for path in images if _T1W.match(path.name) and not other_than_t1w(path)]
    lone_unis = set(uni_alone(raw))
    raw = [path for path in raw if not is_uni(path) or path in lone_unis]
    skipped = sorted(path.name for path in set(images) - set(raw))
    notes = [f"passed over: {count_names(skipped, 'image')}, by their names not T1w scans"] if skipped else []
    notes += without_scan(
        [path.relative_to(folder) for path in (*participants, *sessions)],
        {session_of(entities_of(path.name)) for path in raw},
    )
    if not raw:
        why = f"; {notes[0]}" if notes else ""
        raise NoInput("the BIDS dataset", folder, f"holds no sub-*/anat/*_T1w.nii.gz{why}", "check the folder")
    scans: dict[str, BidsScan] = {}
    for path in sorted(raw, key=lambda path: path.relative_to(folder).as_posix()):
        parts = [part.partition("-") for part in path.name.split("_")[:-1]]
        inside = path.relative_to(folder).as_posix()
        scan = BidsScan(path, inside, {key: value for key, _, value in parts})
        result_name = folded(str(bids_paths(scan, Path()).mask))
        scans[result_name] = replace(scans[result_name], twin=path.name) if result_name in scans else scan
    return BidsScans(list(scans.values()), tuple(notes))


def bids_paths(scan: BidsScan, out: Path) -> BidsPaths:
    """Returns the paths of a scan's results; `space-orig` unless the scan's own name gives its space."""
    before_space = {key: value for key, value in scan.entities.items() if key in _BEFORE_SPACE}
    after_space = {
        key: value for key, value in scan.entities.items() if key not in _BEFORE_SPACE and key not in ("desc", "label")
    }
    entities = before_space | {"space": "orig"} | after_space
    stem = "_".join(f"{key}-{value}" for key, value in entities.items())
    parts = [f"{key}-{scan.entities[key]}" for key in ("sub", "ses") if key in scan.entities]
    anat = out.joinpath(*parts, "anat")
    return BidsPaths(
        mask=anat / f"{stem}_label-L_desc-insula_mask.nii.gz",
        brain=anat / f"{stem}_label-brain_desc-insula_mask.nii.gz",
        prob=anat / f"{stem}_label-L_desc-insula_probseg.nii.gz",
        lesions=anat / f"{stem}_seg-lesions_desc-insula_dseg.nii.gz",
        record=anat / f"{stem}_desc-insula_record.json",
        page=out / f"{scan.name}.html",
    )


def write_bids_result(result: Result, scan: BidsScan, paths: BidsPaths) -> ResultRecord:
    """Write mask, brain mask, probabilities and lesion map, each with its sidecar; the record last.

    An earlier run's brain mask is deleted if this result has none.

    Returns:
        The record.

    Raises:
        CannotCreate, NoPermission, IOFault: a file cannot be written.
    """
    paths.mask.parent.mkdir(parents=True, exist_ok=True)
    file, grid = result.scan.file, result.scan.grid
    source = f"bids:raw:{scan.inside}"
    common = {"SpatialReference": source, "Sources": [source], "Resolution": "That of the scan"}
    paths.record.unlink(missing_ok=True)  # an earlier record would name files that are replaced now
    write_mask(paths.mask, result.mask, file=file)
    write_json(_sidecar(paths.mask), common | {"Type": "Lesion", "Threshold": result.threshold})
    files = {"mask": paths.mask.name, "prob": paths.prob.name, "page": paths.page.name}
    if result.brain is None:
        for stale in (paths.brain, _sidecar(paths.brain)):
            stale.unlink(missing_ok=True)
    else:
        write_mask(paths.brain, result.brain, file=file)
        write_json(_sidecar(paths.brain), common | {"Type": "Brain", "Description": _BRAIN})
        files["brain"] = paths.brain.name
    write_prob(paths.prob, result.prob, grid, file=file, threshold=result.threshold)
    where = "the network's box" if result.brain is None else "the brain"
    write_json(_sidecar(paths.prob), common | {"Description": f"Probability of lesion; 0 outside {where}"})
    write_labels(paths.lesions, number_lesions(result.mask), grid, file=file)
    write_json(_sidecar(paths.lesions), common | {"Description": "Lesions (26-connected), 1 is the largest"})
    rows = ["index\tname", *(f"{lesion.number}\tlesion {lesion.number}" for lesion in result.lesions)]
    write_text(_table_of(paths.lesions), "\n".join(rows) + "\n")
    record = to_record(result)
    record["files"] = files
    record["sha256"] = {
        kind: read_file(paths.record.with_name(name)).sha256 for kind, name in files.items() if kind != "page"
    }
    write_json(paths.record, record)
    return record


def write_bids_dataset(raw: Path, out: Path) -> None:
    """Write the files that make a folder a dataset; all runs write the same bytes, so parallel runs do not conflict."""
    facts = {
        "Name": "insula: stroke lesions",
        "BIDSVersion": _BIDS,
        "DatasetType": "derivative",
        "License": "see the raw dataset",
        "GeneratedBy": [{"Name": "insula", "Version": VERSION, "Description": DISCLAIMER}],
        "SourceDatasets": [{"URL": "bids:raw:"}],
        "DatasetLinks": {"raw": Path(os.path.relpath(raw.resolve(), out.resolve())).as_posix()},
    }
    write_json(out / "dataset_description.json", facts)
    write_text(out / ".bidsignore", _IGNORE)
    write_text(
        out / "README",
        "Stroke lesions found by insula on T1-weighted scans. "
        "For each scan: a mask, a probability map, a map of single\n"
        "lesions, a record (JSON) and a page (HTML); a mask of the brain where the weights have that output.\n"
        f"{DISCLAIMER}\n",
    )


def _table_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".nii.gz") + ".tsv")


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")
