"""BIDS entities: parses subject and acquisition from file names, and matches files that belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["acquisition", "entities_of", "fitting", "is_uni", "joined", "session_of", "uni_alone"]

_ENTITY = re.compile(r"(?:^|_)([A-Za-z]+)-([A-Za-z0-9+]+)(?=[_.]|$)")
_LOOSE = re.compile(r"(sub|ses)-([A-Za-z0-9]+)")  # anywhere in a name that is not strictly BIDS
_UNI = re.compile(r"_UNIT1\.(nii|hdr|img)(\.gz)?$")
_PLACE = ("space", "res", "den")
_PROCESSING = frozenset(
    [
        "atlas",
        "cohort",
        "desc",
        "from",
        "hemi",
        "label",
        "mod",
        "mode",
        "model",
        "roi",
        "scale",
        "seg",
        "stat",
        "to",
        "xfm",
        *_PLACE,
    ]
)
_NUMBERS = frozenset(["chunk", "echo", "flip", "inv", "run", "split"])  # run-1 is run-01

Entities = Mapping[str, str]
"""Entity -> label, in the order of the name: {"sub": "01", "run": "2"}."""


def entities_of(name: str) -> dict[str, str]:
    """Parse the entities in a file's name; subject and session also from names that are not strictly BIDS.

    Args:
        name: the file's name, with or without its ending.

    Returns:
        Entity -> label, in the order of the name; empty if it has none.
    """
    entities = {key.lower(): value for key, value in _ENTITY.findall(name)}
    loose: dict[str, str] = {}
    for key, value in _LOOSE.findall(name):
        loose.setdefault(key, value)
    if missing := {key: value for key, value in loose.items() if key not in entities}:
        entities = {key: {**missing, **entities}[key] for key in dict.fromkeys((*loose, *entities))}
    return entities


def acquisition(entities: Entities) -> dict[str, str]:
    """Return the entities that identify an acquisition, without those of processing steps (space, desc, label, ...)."""
    return {key: value for key, value in entities.items() if key not in _PROCESSING}


def joined(entities: Entities) -> str:
    """Join entities as in a file's name: `sub-01_run-2`."""
    return "_".join(f"{key}-{value}" for key, value in entities.items())


def session_of(entities: Entities) -> str:
    """Return `sub-x_ses-y`, or the part of it that is present; empty if neither is."""
    return joined({key: entities[key] for key in ("sub", "ses") if key in entities})


def is_uni(path: Path) -> bool:
    """Whether a file's name is that of a UNI image of an MP2RAGE, which is T1-weighted (BIDS: UNIT1)."""
    return bool(_UNI.search(path.name))


def uni_alone(scans: Sequence[Path]) -> list[Path]:
    """Return the UNI images of sessions without any other scan.

    Args:
        scans: paths of UNI images and T1w scans.
    """
    unis = [path for path in scans if is_uni(path)]
    others = {_session(path) for path in scans if not is_uni(path)}
    return [path for path in unis if _session(path) not in others]


def _session(path: Path) -> str:
    return session_of(entities_of(path.name)) or str(path.parent)


def fitting(entities: Entities, scans: Sequence[Entities]) -> list[int]:
    """Find the scans that a mask belongs to by name: no acquisition entity may differ, and most must be shared.

    Ties go to the scan without additional entities, then to the scan in the mask's own space.

    Args:
        entities: entities of the mask.
        scans: entities of each scan.

    Returns:
        Indices into `scans`: several if the names do not decide, none if every scan differs in an entity.
    """
    ranks: dict[int, tuple[int, ...]] = {}
    mask_entities = acquisition(entities)
    for number, scan in enumerate(scans):
        scan_entities = acquisition(scan)
        shared = [key for key in scan_entities if key in mask_entities]
        if "sub" in shared and all(_same(key, mask_entities[key], scan_entities[key]) for key in shared):
            ranks[number] = (
                len(shared),
                len(shared) == len(scan_entities),
                _agreement(entities, scan, _PLACE),
                not any(key in scan and key not in entities for key in _PLACE),
                _agreement(entities, scan, ("desc",)),
                not ("desc" in scan and "desc" not in entities),
            )
    best = max(ranks.values(), default=())
    return [number for number, rank in ranks.items() if rank == best]


def _agreement(first: Entities, second: Entities, keys: Sequence[str]) -> int:
    both = [key for key in keys if key in first and key in second]
    return sum(1 if first[key] == second[key] else -1 for key in both)


def _same(key: str, first: str, second: str) -> bool:
    if key in ("sub", "ses"):
        return first == second
    if key in _NUMBERS and first.isdecimal() and second.isdecimal():
        return int(first) == int(second)
    return first.casefold() == second.casefold()
