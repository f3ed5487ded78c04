"""Matches subject and session labels, as people write them in sheets, to those of a cohort."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from insula.io.entities import entities_of

__all__ = ["Roster"]

_WHOLE = re.compile(r"^(\d+)\.0$")


class Roster:
    """The subjects and sessions of a cohort.

    Args:
        cases: (subject, session) of each case; if empty, every name is taken as written.
    """

    def __init__(self, cases: Collection[tuple[str, str]]) -> None:
        self._sessions: dict[str, set[str]] = {}
        for subject, session in cases:
            self._sessions.setdefault(subject, set()).add(session)
        self._cases = tuple(cases)

    def find(self, subject: str, session: str) -> tuple[str, str] | None:
        """Return the subject and session that a row refers to; None if nothing matches, or more than one does.

        Args:
            subject: with or without `sub-`, perhaps followed by its session: `sub-01_ses-1`.
            session: with or without `ses-`; empty for a row about all sessions of a subject.
        """
        inside = entities_of(subject) if subject.lower().startswith("sub-") else {}
        who = self._unique(inside.get("sub", subject), "sub-", list(self._sessions))
        if who is None:
            return None
        session = session or inside.get("ses", "")
        if not session:
            return who, ""
        when = self._unique(session, "ses-", sorted(self._sessions.get(who, ())))
        return None if when is None else (who, when)

    def knows(self, subject: str) -> bool:
        """Return whether the cohort has a subject of exactly this name."""
        inside = entities_of(subject) if subject.lower().startswith("sub-") else {}
        wanted = _label(inside.get("sub", subject), "sub-")
        return any(_label(name, "sub-") == wanted for name in self._sessions)

    def lost_zeros(self, subject: str, who: str) -> bool:
        """Return whether a name matched only after its leading zeros were restored."""
        return _label(who, "sub-").casefold() not in subject.casefold()

    def unclear(self, subject: str) -> bool:
        """Return whether a name fits several subjects."""
        return len(self._fitting(entities_of(subject).get("sub", subject), "sub-", list(self._sessions))) > 1

    def covered(self, matched: Collection[tuple[str, str]]) -> int:
        """Return the number of cases that at least one row refers to."""
        if not self._cases:
            return len(matched)
        return sum((who, when) in matched or (who, "") in matched for who, when in self._cases)

    def _unique(self, name: str, prefix: str, names: list[str]) -> str | None:
        if not self._cases:
            label = _WHOLE.sub(r"\1", _label(name, prefix))
            return f"{prefix}{label}"
        fits = self._fitting(name, prefix, names)
        return fits[0] if len(fits) == 1 else None

    def _fitting(self, name: str, prefix: str, names: list[str]) -> list[str]:
        """Return the names that a label fits, by the first rule that gives any.

        The rules: as written; ignoring case; without the leading zeros that spreadsheets drop; as sub_01 or sub01.
        """
        loose = re.sub(rf"^{prefix[:-1]}[-_ ]*", "", name.strip(), flags=re.IGNORECASE)
        steps: tuple[Callable[[str], str], ...] = (str, str.casefold, _without_zeros)
        for wanted in dict.fromkeys((_label(name, prefix), loose)):
            for as_read in steps:
                fits = [candidate for candidate in names if as_read(_label(candidate, prefix)) == as_read(wanted)]
                if fits:
                    return fits
        return []


def _label(name: str, prefix: str) -> str:
    name = name.strip()
    return name[len(prefix) :] if name.lower().startswith(prefix) else name


def _without_zeros(label: str) -> str:
    label = _WHOLE.sub(r"\1", label)
    return str(int(label)) if label.isdecimal() else label.casefold()
