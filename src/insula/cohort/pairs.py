"""Pairs masks with scans by all the entities that their names share."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from insula.cohort.entry import Entry
from insula.io.entities import acquisition, entities_of, fitting, is_uni, joined, session_of, uni_alone

__all__ = ["NIFTI", "pair_files", "take_scans"]

NIFTI = r"\.nii(\.gz)?$"
_SCAN = re.compile(r"_(T1w|UNIT1)" + NIFTI)


def take_scans(files: Sequence[Path]) -> list[Path]:
    """Select T1w scans by name, and the UNI image of an MP2RAGE (UNIT1) where its session has no T1w scan."""
    named = [path for path in files if _SCAN.search(path.name)]
    left_out = {path for path in named if is_uni(path)} - set(uni_alone(named))
    return [path for path in named if path not in left_out]


def pair_files(scans: Sequence[Path], masks: Sequence[Path]) -> list[Entry]:
    """Return one entry for each scan, and one for each mask without a scan.

    A scan without a mask is not a case of its own if its session has another scan with a mask; it is listed beside that
    scan. A case is called `sub-x_ses-y` if its session has one scan, and by all its entities if it has several.

    Args:
        scans: scan files, all with a subject in their names.
        masks: mask files, all with a subject in their names.
    """
    alike: dict[tuple[tuple[str, str], ...], list[Path]] = defaultdict(list)
    for path in scans:
        alike[tuple(sorted(entities_of(path.name).items()))].append(path)
    images = list(alike.values())
    entities = [entities_of(paths[0].name) for paths in images]
    drawn: dict[int, list[Path]] = defaultdict(list)
    doubts: dict[int, str] = {n: _twice(paths) for n, paths in enumerate(images) if len(paths) > 1}
    unpaired: dict[str, list[Path]] = defaultdict(list)
    for path in masks:
        mask_entities = entities_of(path.name)
        fits = fitting(mask_entities, entities)
        for n in fits:
            drawn[n].append(path)
            if len(fits) > 1:
                doubts[n] = _either(path, [images[m][0] for m in fits])
        if not fits:
            unpaired[joined(acquisition(mask_entities))].append(path)
    sessions = [session_of(entity) for entity in entities]
    labelled = {sessions[n] for n in drawn}
    lone = [(entities_of(paths[0].name), tuple(paths)) for paths in unpaired.values()]
    count = Counter([*sessions, *(session_of(entity) for entity, _ in lone)])
    entries = []
    for n, paths in enumerate(images):
        if n in drawn or sessions[n] not in labelled:
            others = (m for m in range(len(images)) if sessions[m] == sessions[n] and m not in drawn and m != n)
            beside = tuple(path for m in others for path in images[m]) if n in drawn else ()
            name = sessions[n] if count[sessions[n]] == 1 else _name(entities[n], entities)
            drawn_on_it = tuple(drawn[n]) if n in drawn else ()
            entries.append(Entry.of_files(name, tuple(paths), drawn_on_it, beside=beside, doubt=doubts.get(n, "")))
    for mask_entities, lone_masks in lone:
        name = (
            session_of(mask_entities) if count[session_of(mask_entities)] == 1 else joined(acquisition(mask_entities))
        )
        entries.append(Entry.of_files(name, (), lone_masks))
    return entries


def _name(entities: dict[str, str], every: Sequence[dict[str, str]]) -> str:
    """Name a case by its acquisition entities, or by all its entities if another scan shares those."""
    plain = acquisition(entities)
    return joined(plain if sum(acquisition(other) == plain for other in every) == 1 else entities)


def _twice(paths: Sequence[Path]) -> str:
    names = " and ".join(dict.fromkeys(path.name for path in paths[:2]))
    return f"has {len(paths)} T1w scans of one name ({names})"


def _either(mask: Path, scans: Sequence[Path]) -> str:
    names = " and ".join(path.name for path in scans[:2])
    return f"has a mask ({mask.name}) that fits {len(scans)} scans by its name ({names})"
