"""Describes in words what a folder of participants contains besides the scans that are used."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

__all__ = ["APART", "count_names", "first_few", "without_scan"]

APART = frozenset(["derivatives", "sourcedata"])
"""Folders of a BIDS dataset that hold no raw scans."""
_PERSON, _VISIT = re.compile(r"^sub-[A-Za-z0-9]+$"), re.compile(r"^ses-[A-Za-z0-9]+$")


def count_names(names: Collection[str], what: str) -> str:
    """Return a count and the first three names: `2 images (a.nii.gz, b.nii.gz)`.

    Args:
        names: at least one name.
        what: the noun, in the singular.
    """
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({first_few(sorted(set(names)))})"


def without_scan(folders: Iterable[Path], sessions: Collection[str]) -> list[str]:
    """List participants without a scan, and sessions without a scan of the others, in a line each.

    Args:
        folders: all folders of the dataset, relative to its root.
        sessions: `sub-x` or `sub-x_ses-y` of every scan.

    Returns:
        At most two lines; empty if every participant and session has a scan.
    """
    people = {session.partition("_")[0] for session in sessions}
    subjects, visits = set[str](), set[str]()
    for path in folders:
        parts = path.parts
        if APART.intersection(parts):
            continue
        if _PERSON.match(path.name):
            subjects.add(path.name)
        elif len(parts) > 1 and _PERSON.match(parts[-2]) and _VISIT.match(path.name):
            visits.add(f"{parts[-2]}_{path.name}")
    visits = {visit for visit in visits if visit.partition("_")[0] in people}
    messages = []
    if absent := subjects - people:
        messages.append(_without(absent, len(subjects), "participant"))
    if absent := visits - set(sessions):
        messages.append(_without(absent, len(visits), "session"))
    return messages


def _without(absent: set[str], of: int, what: str) -> str:
    who = first_few(sorted(absent))
    return f"{len(absent)} of {of} {what}{'' if of == 1 else 's'} without a T1w scan: passed over ({who})"


def first_few(names: Sequence[str]) -> str:
    """Return the first three names, with an ellipsis if there are more: `a, b, c, ...`."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
