"""Results of mutants: a file that a later run goes on from, a table, and the list of those that survived."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from studies.mutants import Mutant, file_hash

_SAVE_S = 10.0
_NOTICED = {"killed", "timeout", "crash"}


class MutationResults:
    """What is known of each mutant.

    Args:
        path: of the JSON file; what it knows of files that have changed since is dropped.
        root: of the repository.
        mutants: all mutants by package.
        again: whether to try again those that survived.
    """

    def __init__(self, path: Path, root: Path, mutants: Mapping[str, Sequence[Mutant]], *, again: bool) -> None:
        self.left_out: list[str] = []
        self._path, self._root, self._saved = path, root, time.monotonic()
        self._counts = {package: len(own) for package, own in mutants.items()}
        self._hashes = {file: file_hash(file) for file in {mutant.path for own in mutants.values() for mutant in own}}
        current = {str(file.relative_to(root)): digest for file, digest in self._hashes.items()}
        before = json.loads(path.read_text(encoding="utf-8"))["mutants"] if path.exists() else {}
        self.rows: dict[str, dict[str, Any]] = {
            key: row for key, row in before.items() if current.get(row["file"], _hash_in(key)) == _hash_in(key)
        }
        self._again = {key for key, row in self.rows.items() if again and row["outcome"] == "survived"}

    def knows(self, mutant: Mutant) -> bool:
        """Whether there is a result, and none is wanted again."""
        return self.key(mutant) in self.rows and self.key(mutant) not in self._again

    def key(self, mutant: Mutant) -> str:
        """Return a mutant's name: its file, the hash of the file, its number."""
        return f"{mutant.path.relative_to(self._root)}@{self._hashes[mutant.path]}#{mutant.number}"

    def add(self, mutant: Mutant, result: Mapping[str, Any], tests: int) -> None:
        """Note a result, and write the file now and then."""
        self._again.discard(self.key(mutant))
        if "log" in result:
            result = {**result, "failed": [result["log"]]}
        self.rows[self.key(mutant)] = {
            "file": str(mutant.path.relative_to(self._root)),
            "line": mutant.line,
            "column": mutant.column,
            "change": mutant.change,
            "code": mutant.module.code.splitlines()[mutant.line - 1].strip(),
            "outcome": result["outcome"],
            "tests": tests,
            "failed": result.get("failed", [])[:1],
            "seconds": result.get("seconds"),
        }
        if time.monotonic() - self._saved > _SAVE_S:
            self.save()

    def save(self) -> None:
        """Write the file."""
        new = self._path.with_name(self._path.name + ".new")
        text = json.dumps({"left_out": self.left_out, "of": self._counts, "mutants": self.rows}, indent=0)
        new.write_text(text, encoding="utf-8")
        os.replace(new, self._path)
        self._saved = time.monotonic()

    def table(self) -> str:
        """Return a Markdown table: for each package, how many mutants the tests noticed, with 95 % intervals."""
        head = ("package", "mutants", "tried", "noticed", "of these, timed out", "no test", "share [95 %]")
        lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for package in self._counts:
            lines.append(self._line(package, self._counts[package], self._of([package])))
        lines.append(self._line("all", sum(self._counts.values()), self._of(self._counts)))
        return "\n".join(lines)

    def survivors(self) -> str:
        """Return one line for each mutant that survived, in the order of files and lines."""
        rows = sorted(self._of(self._counts), key=lambda row: (row["file"], row["line"], row["column"]))
        return "\n".join(
            f"{row['file']}:{row['line']}:{row['column']}: {row['change']}" + ("" if row["tests"] else " (no test)")
            for row in rows
            if row["outcome"] == "survived"
        )

    def _of(self, packages: Iterable[str]) -> list[dict[str, Any]]:
        """Return the rows of packages, without those killed only by a test that fails without a change."""
        starts = tuple(f"src/insula/{package}/" for package in packages)
        return [
            row
            for row in self.rows.values()
            if row["file"].startswith(starts)
            and row["outcome"] != "invalid"
            and not (row["outcome"] == "killed" and set(row["failed"]) & set(self.left_out))
        ]

    def _line(self, name: str, count: int, rows: Sequence[Mapping[str, Any]]) -> str:
        outcomes = Counter(row["outcome"] for row in rows)
        noticed, tried = sum(outcomes[outcome] for outcome in _NOTICED), len(rows)
        share = "-"
        if tried:
            interval = binomtest(noticed, tried).proportion_ci(method="wilson")
            share = f"{100 * noticed / tried:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
        alone = sum(not row["tests"] for row in rows)
        return f"| {name} | {count} | {tried} | {noticed} | {outcomes['timeout']} | {alone} | {share} |"


def _hash_in(key: str) -> str:
    return key.rsplit("@", 1)[1].split("#")[0]
