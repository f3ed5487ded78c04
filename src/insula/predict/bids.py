"""Names of BIDS: the scans of a dataset, and the files of their results in a derivative."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from insula.errors import NoInput
from insula.io import folded
from insula.io.entities import entities_of, is_uni, session_of, uni_alone
from insula.io.naming import other_than_t1w
from insula.io.participants import count_names, without_scan

__all__ = [
    "BidsPaths",
    "BidsScan",
    "BidsScans",
    "bids_case_paths",
    "bids_entities",
    "bids_paths",
    "find_bids_scans",
    "look_through",
    "sidecar_of",
    "table_of",
]

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
    network_mask: Path
    """The network's mask; written only if a person corrected the mask."""
    brain: Path
    """Written only for weights with a brain output."""
    prob: Path
    lesions: Path
    record: Path
    page: Path

    @property
    def all_but_the_record(self) -> tuple[Path, ...]:
        """Images, their sidecars, the table of lesions, and the page."""
        images = (self.mask, self.network_mask, self.brain, self.prob, self.lesions)
        return (*images, *map(sidecar_of, images), table_of(self.lesions), self.page)


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
        scan = BidsScan(path, path.relative_to(folder).as_posix(), bids_entities(path.name.rpartition("_")[0]))
        result_name = folded(str(bids_paths(scan, Path()).mask))
        scans[result_name] = replace(scans[result_name], twin=path.name) if result_name in scans else scan
    return BidsScans(list(scans.values()), tuple(notes))


def bids_paths(scan: BidsScan, out: Path) -> BidsPaths:
    """Returns the paths of a scan's results; `space-orig` unless the scan's own name gives its space."""
    return bids_case_paths(scan.name, out)


@lru_cache(maxsize=4096)
def bids_case_paths(case: str, out: Path) -> BidsPaths:
    """Returns the paths of a case's results.

    Args:
        case: the scan's file name without its suffix, which names its record.
        out: the derivative.
    """
    named = bids_entities(case)
    before_space = {key: value for key, value in named.items() if key in _BEFORE_SPACE}
    after_space = {
        key: value for key, value in named.items() if key not in _BEFORE_SPACE and key not in ("desc", "label")
    }
    entities = before_space | {"space": "orig"} | after_space
    stem = "_".join(f"{key}-{value}" for key, value in entities.items())
    parts = [f"{key}-{named[key]}" for key in ("sub", "ses") if key in named]
    anat = out.joinpath(*parts, "anat")
    return BidsPaths(
        mask=anat / f"{stem}_label-L_desc-insula_mask.nii.gz",
        network_mask=anat / f"{stem}_label-L_desc-network_mask.nii.gz",
        brain=anat / f"{stem}_label-brain_desc-insula_mask.nii.gz",
        prob=anat / f"{stem}_label-L_desc-insula_probseg.nii.gz",
        lesions=anat / f"{stem}_seg-lesions_desc-insula_dseg.nii.gz",
        record=anat / f"{stem}_desc-insula_record.json",
        page=out / f"{case}.html",
    )


def table_of(path: Path) -> Path:
    """Returns the path of the table that describes a map of lesions."""
    return path.with_name(path.name.removesuffix(".nii.gz") + ".tsv")


def sidecar_of(path: Path) -> Path:
    """Returns the path of an image's sidecar."""
    return path.with_name(path.name.removesuffix(".nii.gz") + ".json")


def bids_entities(name: str) -> dict[str, str]:
    """Returns the entities of a BIDS name without its suffix, in order."""
    parts = [part.partition("-") for part in name.split("_")]
    return {key: value for key, _, value in parts}
