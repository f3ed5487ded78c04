"""Names of results in an output folder: two inputs never share a name, within a run or across runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from insula.io import folded, write_text
from insula.predict import read_record, result_paths

__all__ = ["Claims"]

_SOURCES = ".insula-sources"
_RESERVED = ("index", "lesions", "results", "review")  # index.html lists all cases; JSON files describe the tables
_HASH_DIGITS = 8
_REFUSED = "refused"


class Claims:
    """The names that are taken in an output folder, and the inputs that have them.

    A scan gets the name it asks for if the name is free, or if an earlier run gave it to the same scan. If another scan
    has the name, the first digits of the scan's hash are added, so that the name is the same in every run. Names that
    differ only in case or in the composition of accents count as equal, because some file systems treat them so.

    Args:
        folder: the results' folder; locked by this run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records = {folded(path.stem): path for path in folder.glob("*.json") if not path.name.startswith(".")}
        self._taken = {folded(name) for name in _RESERVED}
        self._sources: dict[str, object] = _read(folder / _SOURCES)

    def for_result(self, name: str, sha256: str, source: Path) -> str:
        """Return the name of a scan's result, and reserve it.

        Args:
            name: the preferred name.
            sha256: hash of the scan's bytes.
            source: path of the scan.
        """
        return self._claim(name, sha256, source, {sha256})

    def for_refusal(self, name: str, source: Path, scan_name: Callable[[], str | None] = lambda: None) -> str:
        """Return the name of a refusal, and reserve it; an earlier result keeps its name unless it has the same source.

        Args:
            name: the preferred name.
            source: path of the refused input.
            scan_name: returns the name that a result of this input would have, None if unknown. An earlier result
                under that name, from the same source, is replaced. Called only if there are earlier results.
        """
        source_id = _identity(source)
        former = {key for key in self._records if self._sources.get(key) == source_id} - self._taken
        if former - {self._key(name)} and (known := scan_name()) and self._key(known) in former:
            name = known
        earlier_scans = {
            sha
            for key, path in self._records.items()
            if self._sources.get(key) == source_id
            for sha in [_scan_of(path)]
        }
        return self._claim(name, source_id, source, earlier_scans)

    def _claim(self, name: str, digest: str, source: Path, scans: set[str]) -> str:
        """Reserve and return the first name that is free or holds the result of one of these scans."""
        source_id = _identity(source)
        candidate, number = name, 1
        while (key := self._key(candidate)) in self._taken or not self._may_replace(key, scans, source_id):
            candidate = f"{name}-{digest[:_HASH_DIGITS]}" + (f"-{number}" if number > 1 else "")
            number += 1
        self._taken.add(key)
        if self._sources.get(key) != source_id:
            self._sources[key] = source_id
            write_text(self._folder / _SOURCES, json.dumps(self._sources, indent=0) + "\n")
        return candidate

    def _may_replace(self, key: str, scans: set[str], source: str) -> bool:
        path = self._records.get(key)
        if path is None:
            return True
        scan = _scan_of(path)
        return scan in scans if scan != _REFUSED else self._sources.get(key, source) == source

    def _key(self, name: str) -> str:
        return folded(result_paths(self._folder, name).record.stem)


def _scan_of(path: Path) -> str:
    """Return the SHA-256 of a record's scan; `refused` for a refusal, empty for a file that is not a record."""
    record = read_record(path)
    if record is None:
        return ""
    scan = record.get("scan")
    return str(scan.get("sha256")) if isinstance(scan, dict) else _REFUSED


def _identity(source: Path) -> str:
    """Return a path's hash; the path itself, which may name a person, is not stored."""
    return hashlib.sha256(os.fsencode(os.path.abspath(source))).hexdigest()[:16]


def _read(path: Path) -> dict[str, object]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
