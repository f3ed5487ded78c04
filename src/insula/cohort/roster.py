"""Whom a sheet means: subjects and sessions as people write them, among those that are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from insula.io.entities import entities_of

__all__ = ["Roster"]

_WHOLE = re.compile(r"^(\d+)\.0$")


class Roster:
    """The subjects and sessions of a cohort.

    Args:
        cases: (subject, session) of each; with none, every name is taken as it is written.
    """

    def __init__(self, cases: Collection[tuple[str, str]]) -> None:
        self._sessions: dict[str, set[str]] = {}
        for subject, session in cases:
            self._sessions.setdefault(subject, set()).add(session)
        self._cases = tuple(cases)

    def find(self, subject: str, session: str) -> tuple[str, str] | None:
        """The subject and session that a row means; None if nobody's, or not only one's.

        Args:
            subject: with or without `sub-`, perhaps with its session: `sub-01_ses-1`.
            session: with or without `ses-`; empty for a row on all of a subject's sessions.
        """
        inside = entities_of(subject) if subject.lower().startswith("sub-") else {}
        who = self._one(inside.get("sub", subject), "sub-", list(self._sessions))
        if who is None:
            return None
        session = session or inside.get("ses", "")
        if not session:
            return who, ""
        when = self._one(session, "ses-", sorted(self._sessions.get(who, ())))
        return None if when is None else (who, when)

    def knows(self, subject: str) -> bool:
        """Whether a subject of this very name is there."""
        inside = entities_of(subject) if subject.lower().startswith("sub-") else {}
        wanted = _label(inside.get("sub", subject), "sub-")
        return any(_label(one, "sub-") == wanted for one in self._sessions)

    def lost_zeros(self, subject: str, who: str) -> bool:
        """Whether a name was found to be somebody's only once the zeros before its number were put back."""
        return _label(who, "sub-").casefold() not in subject.casefold()

    def unclear(self, subject: str) -> bool:
        """Whether a name fits several subjects."""
        return len(self._fitting(entities_of(subject).get("sub", subject), "sub-", list(self._sessions))) > 1

    def covered(self, found: Collection[tuple[str, str]]) -> int:
        """How many cases are meant by some row."""
        if not self._cases:
            return len(found)
        return sum((who, when) in found or (who, "") in found for who, when in self._cases)

    def _one(self, name: str, prefix: str, there: list[str]) -> str | None:
        if not self._cases:
            label = _WHOLE.sub(r"\1", _label(name, prefix))
            return f"{prefix}{label}"
        fits = self._fitting(name, prefix, there)
        return fits[0] if len(fits) == 1 else None

    def _fitting(self, name: str, prefix: str, there: list[str]) -> list[str]:
        """Look a label up as it is written; else in another case; else without the zeros that a spreadsheet takes away; else as sub_01 or sub01."""
        loose = re.sub(rf"^{prefix[:-1]}[-_ ]*", "", name.strip(), flags=re.IGNORECASE)
        steps: tuple[Callable[[str], str], ...] = (str, str.casefold, _without_zeros)
        for wanted in dict.fromkeys((_label(name, prefix), loose)):
            for as_read in steps:
                fits = [one for one in there if as_read(_label(one, prefix)) == as_read(wanted)]
                if fits:
                    return fits
        return []


def _label(name: str, prefix: str) -> str:
    name = name.strip()
    return name[len(prefix) :] if name.lower().startswith(prefix) else name


def _without_zeros(label: str) -> str:
    label = _WHOLE.sub(r"\1", label)
    return str(int(label)) if label.isdecimal() else label.casefold()
