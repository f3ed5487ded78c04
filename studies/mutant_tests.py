"""The tests of a mutant: which tests reach which lines, and whether they pass with one file of insula changed.

Both functions are called in a fork (`studies.forks`) that has imported nothing of insula.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import coverage
import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
_SOURCE = ROOT / "src"
_ARGUMENTS = ("-q", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=line")


def reached_lines(folder: Path, *, file: Path, leave_out: str, source: Sequence[str]) -> dict[str, Any]:
    """Run a file of tests and return, for each that passes, its seconds and, for each line, the tests that reach it.

    What runs at import, or for a fixture that tests share, counts as reached by all of the file's tests.

    Args:
        folder: for temporary files.
        file: of tests.
        leave_out: an expression of pytest's `-k` that selects the tests.
        source: patterns of the files whose lines are counted.

    Returns:
        `seconds` by test, `failed` tests, `lines` (file, line, places of the tests in `seconds` or None for all), and
        the `modules` that were imported.
    """
    trace = _Trace(source)
    arguments = [word for word in _ARGUMENTS if word != "-x"]
    code = pytest.main([*arguments, f"--basetemp={folder / 'tests'}", "-k", leave_out, str(file)], [trace])
    passed = {test: round(seconds, 3) for test, seconds in trace.seconds.items() if test not in trace.failed}
    places = {test: place for place, test in enumerate(passed)}
    lines = [
        (name, line, None if "" in tests else [places[test] for test in tests if test in places])
        for name, rows in trace.lines().items()
        for line, tests in rows.items()
    ]
    modules = [name for name, module in sys.modules.items() if _is_library(module)]
    return {"code": int(code), "seconds": passed, "failed": sorted(trace.failed), "lines": lines, "modules": modules}


def outcome_of(
    folder: Path, *, path: Path, source: str, tests: Sequence[str], first_only: bool = True
) -> dict[str, Any]:
    """Run tests with one file of insula changed.

    Args:
        folder: for temporary files.
        path: of the file, below src.
        source: its changed text.
        tests: their ids, in the order in which they run.
        first_only: whether to stop at the first that fails.

    Returns:
        `outcome` ("killed", "survived" or "invalid", which is no Python) and the tests that `failed`.
    """
    try:
        compile(source, str(path), "exec")
    except SyntaxError:
        return {"outcome": "invalid", "failed": []}
    sys.meta_path.insert(0, _Finder(path, source))
    picked = _Picked(tests)
    arguments = _ARGUMENTS if first_only else [word for word in _ARGUMENTS if word != "-x"]
    files = dict.fromkeys(test.split("::")[0] for test in tests)
    code = pytest.main([*arguments, f"--basetemp={folder / 'tests'}", *files], [picked])
    return {"outcome": "survived" if code == pytest.ExitCode.OK else "killed", "failed": picked.failed}


def steady_hypothesis() -> None:
    """Make hypothesis try the same examples every time, without a limit on their time."""
    hypothesis.settings.register_profile("mutation", derandomize=True, deadline=None, database=None)
    hypothesis.settings.load_profile("mutation")


class _Picked:
    """Runs the tests of a list, in its order."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.places = {test: place for place, test in enumerate(tests)}
        self.failed: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.places), key=lambda item: self.places[item.nodeid]
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


class _Trace:
    """Notes each test's time, and the lines that it reaches."""

    def __init__(self, source: Sequence[str]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()
        self._test = ""
        self._coverage = coverage.Coverage(data_file=None, include=list(source), config_file=False, messages=False)
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._test = item.nodeid
        self._coverage.switch_context(self._test)
        result = yield
        self._test = ""
        self._coverage.switch_context("")
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        self._coverage.switch_context("")
        try:
            return (yield)
        finally:
            self._coverage.switch_context(self._test)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)

    def lines(self) -> dict[str, dict[int, list[str]]]:
        """Return contexts by line, by file."""
        self._coverage.stop()
        data = self._coverage.get_data()
        return {name: data.contexts_by_lineno(name) for name in data.measured_files()}


class _Finder:
    """Finds one module with another source."""

    def __init__(self, path: Path, source: str) -> None:
        parts = path.relative_to(_SOURCE).with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.path, self.source = path, source

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=_Loader(name, self.path, self.source))


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from a text, past the cache of compiled files."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        super().__init__(name, str(path))
        self._source = source.encode()

    def get_data(self, path: Any) -> bytes:
        return self._source

    def path_stats(self, path: Any) -> Any:
        raise OSError


def _is_library(module: ModuleType) -> bool:
    """Whether a module was installed by pip."""
    origin = getattr(getattr(module, "__spec__", None), "origin", None) or ""
    return "site-packages" in origin or "dist-packages" in origin
