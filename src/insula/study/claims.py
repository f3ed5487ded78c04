"""Which name an input's result gets in a folder: two inputs never share one, in one run or in several."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from insula.io import folded, write_text
from insula.predict import result_paths

__all__ = ["Claims"]

_SOURCES = ".insula-sources"
_RESERVED = "index"  # its page is that of all cases
_DIGITS = 8  # of a hash
_REFUSED = "refused"


class Claims:
    """The names that are taken in an output folder, and by what.

    A scan keeps its name where that is free or was taken by an earlier run for the same scan. Where another scan has it, a piece of
    the scan's hash is added, so that the name is the same in every run. Names count as equal where a file system may take them for
    one: capitals or not, accents composed or not.

    Args:
        folder: of the results; locked by this run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._there = {folded(path.stem): path for path in folder.glob("*.json") if not path.name.startswith(".")}
        self._taken = {folded(_RESERVED)}
        self._sources = _read(folder / _SOURCES)

    def for_result(self, name: str, sha256: str, source: Path) -> str:
        """The name of a scan's result.

        Args:
            name: wanted.
            sha256: of the scan's bytes.
            source: where it lies.
        """
        return self._claim(name, sha256, source, {sha256})

    def for_refusal(self, name: str, source: Path) -> str:
        """The name of a refusal: an earlier result of this name stays, unless it was made from the same path.

        Args:
            name: wanted.
            source: what was refused.
        """
        mine = _identity(source)
        made_from_it = {
            sha for key, path in self._there.items() if self._sources.get(key) == mine for sha in [_scan_of(path)]
        }
        return self._claim(name, mine, source, made_from_it)

    def _claim(self, name: str, digest: str, source: Path, scans: set[str]) -> str:
        """The first name that is free, or holds what was made of one of these scans."""
        mine = _identity(source)
        candidate, number = name, 1
        while (key := self._key(candidate)) in self._taken or not self._may_replace(key, scans, mine):
            candidate = f"{name}-{digest[:_DIGITS]}" + (f"-{number}" if number > 1 else "")
            number += 1
        self._taken.add(key)
        if self._sources.get(key) != mine:
            self._sources[key] = mine
            write_text(self._folder / _SOURCES, json.dumps(self._sources, indent=0) + "\n")
        return candidate

    def _may_replace(self, key: str, scans: set[str], source: str) -> bool:
        path = self._there.get(key)
        if path is None:
            return True
        scan = _scan_of(path)
        return scan in scans if scan != _REFUSED else self._sources.get(key, source) == source

    def _key(self, name: str) -> str:
        return folded(result_paths(self._folder, name).record.stem)


def _scan_of(path: Path) -> str:
    """The SHA-256 of the scan whose record this is; `refused`, or empty for a file that is no record of ours."""
    record = _read(path)
    if not str(record.get("format")).startswith("insula-result/"):
        return ""
    scan = record.get("scan")
    return str(scan.get("sha256")) if isinstance(scan, dict) else _REFUSED


def _identity(source: Path) -> str:
    """A path's hash; the path itself is kept nowhere."""
    return hashlib.sha256(os.fsencode(os.path.abspath(source))).hexdigest()[:16]


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return tree if isinstance(tree, dict) else {}
