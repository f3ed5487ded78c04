"""How many small changes of the code do the tests notice?

    python -m studies.mutation --packages geometry losses --workers 8 --minutes 20 --out mutation.json
    python -m studies.mutation --out mutation.json --again      # after tests were added: what survived, once more

mutmut's operators change one place of one file of a package at a time (`studies.mutants` says which places are left
alone). Each changed file is imported in a fork of a process in which torch and all other libraries are imported
already, which is why mutmut's own runner is not used: it cannot change constants and decorated functions, take a
sample, or leave out texts. In the fork run the tests that reach the changed line (found by one run with coverage), the
package's own first and the fastest first, then the package's other tests, until `--seconds` of them are used up or one
fails: then the mutant is killed. A mutant on a line that no test reaches survives. What a test runs in another process
is never changed.

Mutants are tried in random order, the same number of each package, until the time is over; `--out` keeps what is known,
and the next run goes on from there as long as the file with the mutant has not changed. A mutant may delete files or
fill the disk: run it in a copy of the repository. Needs `pip install mutmut`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from studies.forks import Job, in_forks
from studies.mutant_tests import ROOT, outcome_of, reached_lines, steady_hypothesis
from studies.mutants import Mutant, mutants_of
from studies.mutation_results import MutationResults

_PACKAGES = "checkpoint evaluate geometry io losses metrics postprocess prepare simulate".split()
_OTHERS = (
    *_PACKAGES,
    "augment",
    "cohort",
    "corpus/test_corpus.py",
    "patient",
    "predict",
    "store",
    "train/test_brain.py",
)
"""Folders and files below `tests` that reach the packages."""
_TOO_SLOW = (
    "not (test_two_hundred_kills or test_every_field_missing or test_random_damage or "
    "test_the_lesion_has_the_balls_volume_on_any_grid and spacing0)"
)
_LIBRARIES = ("hypothesis", "nibabel", "numpy", "pydantic", "pytest", "scipy.ndimage", "torch")
_LEAST_TIMEOUT_S = 20.0
_SLOWER = 6.0  # a mutant's tests may take this many times as long as without a change
_FILE_S = 0.5  # importing one file of tests


@dataclass
class Suite:
    """All tests: their times, and the lines that they reach."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by test."""
    reach: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    """Tests by file and line."""
    left_out: set[str] = field(default_factory=set)
    """Tests that do not pass without a change, and files that took too long."""
    _known: dict[Any, list[str]] = field(default_factory=dict)

    def of_lines(self, path: Path, lines: tuple[int, int], package: str, most_s: float) -> list[str]:
        """Return tests that reach a statement, then other tests of the package; none if no test reaches it."""
        key = path, lines, len(self.left_out)
        if key not in self._known:
            self._known[key] = self._choose(path, lines, package, most_s)
        return self._known[key]

    def _choose(self, path: Path, lines: tuple[int, int], package: str, most_s: float) -> list[str]:
        reaching = set().union(*(self.reach.get((str(path), n), ()) for n in range(lines[0], lines[1] + 1)))
        reaching -= self.left_out
        own = f"tests/{package}/"
        candidates = reaching | {test for test in self.seconds if test.startswith(own)} - self.left_out
        files: dict[str, float] = defaultdict(float)
        for test in candidates:
            files[test.split("::")[0]] += self.seconds[test]

        def rank(test: str) -> tuple[bool, bool, float, str, float]:
            file = test.split("::")[0]
            return test not in reaching, not test.startswith(own), files[file], file, self.seconds[test]

        chosen: list[str] = []
        used, seen = 0.0, set()
        for test in sorted(candidates, key=rank) if reaching else ():
            cost = self.seconds[test] + (0.0 if (file := test.split("::")[0]) in seen else _FILE_S)
            if used + cost <= most_s:
                chosen.append(test)
                seen.add(file)
                used += cost
        return chosen


def main() -> None:
    """Find the tests of every line, try mutants until the time is over, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", choices=_PACKAGES, default=_PACKAGES, metavar="PACKAGE")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--minutes", type=float, default=60.0, help="all in all")
    parser.add_argument("--seconds", type=float, default=20.0, help="most time for the tests of a mutant")
    parser.add_argument(
        "--file-seconds", type=float, default=300.0, help="files of tests that take longer are left out"
    )
    parser.add_argument("--sample", type=int, help="mutants of each package; all if not given")
    parser.add_argument("--seed", type=int, default=0, help="of the random order")
    parser.add_argument(
        "--others", nargs="*", default=_OTHERS, metavar="TESTS", help="below `tests`; by default all that help"
    )
    parser.add_argument("--again", action="store_true", help="try those again that survived")
    parser.add_argument("--survivors", action="store_true", help="print them")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    until = time.monotonic() + 60 * arguments.minutes
    _prepare_process()
    mutants = {package: _shuffled(package, arguments.seed) for package in arguments.packages}
    results = MutationResults(arguments.out.resolve(), ROOT, mutants, again=arguments.again)
    suite = _traced(arguments, until)
    _check_unchanged(suite, mutants, arguments, until)
    samples = [own[: arguments.sample] for own in mutants.values()]
    queue = (mutant for row in zip_longest(*samples) for mutant in row if mutant is not None)
    for job, result in in_forks(_jobs(queue, suite, results, arguments.seconds), arguments.workers, until):
        mutant, tests = job.name
        results.add(mutant, result, len(tests))
    results.left_out = sorted(suite.left_out)
    results.save()
    print(results.table(), flush=True)
    if arguments.survivors:
        print(results.survivors())


def _prepare_process() -> None:
    """Import the libraries, but nothing of insula; one thread a process, no GPU."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS"):
        os.environ[name] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT / "src"))
    _import(_LIBRARIES)
    steady_hypothesis()


def _import(names: Iterable[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            print(f"{name} is not imported beforehand: {error}", flush=True)


def _package_of(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "insula").parts[0]


def _shuffled(package: str, seed: int) -> list[Mutant]:
    files = sorted((ROOT / "src" / "insula" / package).rglob("*.py"))
    mutants = [mutant for path in files for mutant in mutants_of(path)]
    random.Random(f"{seed} {package}").shuffle(mutants)
    return mutants


def _traced(arguments: argparse.Namespace, until: float) -> Suite:
    """Run all tests once, each file in a fork of its own."""
    folders = [ROOT / "tests" / name for name in (*arguments.packages, *arguments.others)]
    files = dict.fromkeys(file for folder in folders for file in sorted(folder.rglob("test_*.py")) or [folder])
    source = [str(ROOT / "src" / "insula" / package / "*") for package in arguments.packages]
    jobs = [
        Job(file, partial(reached_lines, file=file, leave_out=_TOO_SLOW, source=source), arguments.file_seconds)
        for file in files
    ]
    suite, libraries = Suite(), set[str]()
    for job, result in in_forks(iter(jobs), arguments.workers, until):
        name = str(job.name.relative_to(ROOT))
        if not result.get("seconds"):
            print(f"left out: {name}, {result.get('outcome', 'no test of it passes')}; {result.get('log', '')[-300:]}")
            suite.left_out.add(name)
            continue
        libraries.update(result["modules"])
        suite.seconds.update(result["seconds"])
        suite.left_out.update(result["failed"])
        tests = list(result["seconds"])
        for file, line, places in result["lines"]:
            suite.reach[file, line].update(tests if places is None else (tests[place] for place in places))
    print(f"{len(suite.seconds)} tests; left out: {', '.join(sorted(suite.left_out)) or 'none'}", flush=True)
    _import(sorted(libraries))
    return suite


def _check_unchanged(
    suite: Suite, mutants: dict[str, list[Mutant]], arguments: argparse.Namespace, until: float
) -> None:
    """Try every file without a change, with a mutant's tests; a test that fails is left out."""
    some = {mutant.path: mutant for package in mutants.values() for mutant in package}
    jobs = []
    for path, mutant in some.items():
        tests = suite.of_lines(path, mutant.lines, _package_of(path), arguments.seconds)
        if tests:
            work = partial(outcome_of, path=path, source=mutant.module.code, tests=tests, first_only=False)
            jobs.append(Job(path, work, _timeout_s(suite, tests)))
    passed = 0
    for job, result in in_forks(iter(jobs), arguments.workers, until):
        passed += result["outcome"] == "survived"
        if result["outcome"] != "survived":
            print(f"{job.name} does not pass without a change: {result}")
        suite.left_out.update(result.get("failed", []))
    print(f"without a change the tests of {passed} of {len(jobs)} files pass", flush=True)


def _timeout_s(suite: Suite, tests: list[str]) -> float:
    return _LEAST_TIMEOUT_S + _SLOWER * sum(suite.seconds[test] for test in tests)


def _jobs(queue: Iterable[Mutant], suite: Suite, results: MutationResults, most_s: float) -> Iterator[Job]:
    """Yield a job for each mutant that is not known; those that no test reaches have survived."""
    for mutant in queue:
        if results.knows(mutant):
            continue
        tests = suite.of_lines(mutant.path, mutant.lines, _package_of(mutant.path), most_s)
        if tests:
            yield Job((mutant, tests), partial(_try, mutant, tests), _timeout_s(suite, tests))
        else:
            results.add(mutant, {"outcome": "survived", "seconds": 0.0}, 0)


def _try(mutant: Mutant, tests: list[str], folder: Path) -> dict[str, Any]:
    begun = time.monotonic()
    result = outcome_of(folder, path=mutant.path, source=mutant.source(), tests=tests)
    return {**result, "seconds": round(time.monotonic() - begun, 2)}


if __name__ == "__main__":
    main()
