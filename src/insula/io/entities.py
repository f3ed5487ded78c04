"""BIDS entities: what a file's name says of whom and of which acquisition it is, and which files belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["acquisition", "entities_of", "fitting", "is_uni", "joined", "session_of", "uni_alone"]

_ENTITY = re.compile(r"(?:^|_)([A-Za-z]+)-([A-Za-z0-9+]+)(?=[_.]|$)")
_LOOSE = re.compile(r"(sub|ses)-([A-Za-z0-9]+)")  # somewhere in a name that is not quite BIDS
_UNI = re.compile(r"_UNIT1\.(nii|hdr|img)(\.gz)?$")
_PLACE = ("space", "res", "den")
_MADE = frozenset(
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
    """The entities in a file's name; subject and session also from a name that is not quite BIDS.

    Args:
        name: of the file, with or without its ending.
    """
    found = {key.lower(): value for key, value in _ENTITY.findall(name)}
    loose: dict[str, str] = {}
    for key, value in _LOOSE.findall(name):
        loose.setdefault(key, value)
    if missing := {key: value for key, value in loose.items() if key not in found}:
        found = {key: {**missing, **found}[key] for key in dict.fromkeys((*loose, *found))}
    return found


def acquisition(entities: Entities) -> dict[str, str]:
    """Those that tell one acquisition from another: not what a processing step adds (space, desc, label, ...)."""
    return {key: value for key, value in entities.items() if key not in _MADE}


def joined(entities: Entities) -> str:
    """Entities joined as in a file's name: `sub-01_run-2`."""
    return "_".join(f"{key}-{value}" for key, value in entities.items())


def session_of(entities: Entities) -> str:
    """`sub-x_ses-y`, as far as a name has them."""
    return joined({key: entities[key] for key in ("sub", "ses") if key in entities})


def is_uni(path: Path) -> bool:
    """Whether a file is named as the UNI image of an MP2RAGE, which is weighted by T1 (BIDS: UNIT1)."""
    return bool(_UNI.search(path.name))


def uni_alone(scans: Sequence[Path]) -> list[Path]:
    """The UNI images of sessions that have no other scan.

    Args:
        scans: UNI images and T1w scans.
    """
    unis = [path for path in scans if is_uni(path)]
    others = {_session(path) for path in scans if not is_uni(path)}
    return [path for path in unis if _session(path) not in others]


def _session(path: Path) -> str:
    return session_of(entities_of(path.name)) or str(path.parent)


def fitting(entities: Entities, scans: Sequence[Entities]) -> list[int]:
    """Which scans a mask belongs to by its name: no entity of the acquisition may differ, and most of them are shared.

    Of scans that share as many, the one without further entities; then the one in the mask's own space. Several are left
    where the names do not tell them apart, and none where each differs somewhere.

    Args:
        entities: of the mask.
        scans: of each scan.

    Returns:
        Places in `scans`.
    """
    ranks: dict[int, tuple[int, ...]] = {}
    mine = acquisition(entities)
    for number, scan in enumerate(scans):
        theirs = acquisition(scan)
        shared = [key for key in theirs if key in mine]
        if "sub" in shared and all(_same(key, mine[key], theirs[key]) for key in shared):
            ranks[number] = (
                len(shared),
                len(shared) == len(theirs),
                _agreement(entities, scan, _PLACE),
                not any(key in scan and key not in entities for key in _PLACE),
                _agreement(entities, scan, ("desc",)),
                not ("desc" in scan and "desc" not in entities),
            )
    best = max(ranks.values(), default=())
    return [number for number, rank in ranks.items() if rank == best]


def _agreement(one: Entities, other: Entities, keys: Sequence[str]) -> int:
    both = [key for key in keys if key in one and key in other]
    return sum(1 if one[key] == other[key] else -1 for key in both)


def _same(key: str, one: str, other: str) -> bool:
    if key in ("sub", "ses"):
        return one == other
    if key in _NUMBERS and one.isdecimal() and other.isdecimal():
        return int(one) == int(other)
    return one.casefold() == other.casefold()
