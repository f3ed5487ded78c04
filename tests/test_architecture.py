"""Alarms about the code itself: they start a conversation."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import insula
from insula import config
from insula.config import from_dict
from insula.errors import UsageError

_ROOT = Path(__file__).parents[1]
_FILES = sorted((_ROOT / "src" / "insula").rglob("*.py"))
_PACKAGES = [insula.__name__, *(f"insula.{m.name}" for m in pkgutil.iter_modules(insula.__path__) if m.ispkg)]
_KNOBS = [value for name in config.__all__ if dataclasses.is_dataclass(value := getattr(config, name))]


def test_no_lower_floor_imports_a_higher_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", _FILES, ids=lambda p: str(p.relative_to(_ROOT / "src")))
def test_files_are_short_and_say_what_they_are(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text)), "the first line of a file says its one idea"


@pytest.mark.parametrize("path", _FILES, ids=lambda p: str(p.relative_to(_ROOT / "src")))
def test_signatures_are_short_and_public_names_are_documented(path: Path) -> None:
    tree = ast.parse(path.read_text())
    exported = next(
        (ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "__all__"), []
    )  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "cli" not in path.parts:
            parameters = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            count = len([a for a in parameters if a.arg not in ("self", "cls")])
            assert count <= 7, f"{node.name} takes {count}"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in exported:
            overload = "overload" in [getattr(decorator, "id", "") for decorator in node.decorator_list]
            assert overload or ast.get_docstring(node), node.name


@pytest.mark.parametrize("name", _PACKAGES)
def test_exports_are_complete_and_sorted(name: str) -> None:
    package = importlib.import_module(name)
    assert list(package.__all__) == sorted(package.__all__)
    for export in package.__all__:
        assert getattr(package, export) is not None


@pytest.mark.parametrize("kind", _KNOBS, ids=lambda k: k.__name__)
def test_knobs_are_frozen_documented_and_forbid_extras(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    source = ast.parse(Path(sys.modules[kind.__module__].__file__ or "").read_text())
    body = next(n.body for n in source.body if isinstance(n, ast.ClassDef) and n.name == kind.__name__)
    for at, node in enumerate(body):
        if isinstance(node, ast.AnnAssign):
            after = body[at + 1] if at + 1 < len(body) else None
            assert isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant), (
                f"{ast.unparse(node.target)} needs a docstring"
            )
    with pytest.raises(UsageError, match="no_such_knob"):
        from_dict(kind, {"no_such_knob": 1}, what="the test")


def test_tests_mirror_the_source() -> None:
    folders = {p.name for p in (_ROOT / "src" / "insula").iterdir() if (p / "__init__.py").exists()}
    assert folders <= {p.name for p in (_ROOT / "tests").iterdir() if p.is_dir() and any(p.glob("test_*.py"))}


def test_names_say_something() -> None:
    vague = {"utils", "helpers", "manager", "handler", "base", "common", "misc"}
    assert not {p.stem for p in _FILES} & vague


def test_only_the_command_line_knows_flags() -> None:
    flag = re.compile(r"(?<![\w-])--[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
    others = {"slurm.py", "monai_bundle.py", "form.py", "upload.py"}  # they write command lines of other programs
    for path in _FILES:
        if "cli" not in path.parts and path.name not in others:
            assert not flag.findall(path.read_text()), path


def test_no_function_shadows_the_module_that_it_is_in() -> None:
    for path in _FILES:
        if path.name == "__init__.py" and path.parent.name not in ("insula", "cli"):
            package = importlib.import_module(
                "insula." + ".".join(path.parent.relative_to(_ROOT / "src" / "insula").parts)
            )
            modules = {p.stem for p in path.parent.glob("*.py")}
            assert not [name for name in package.__all__ if name in modules], path


def test_few_annotations_are_any() -> None:
    lines = [line for path in _FILES for line in path.read_text().splitlines() if re.search(r"\bAny\b", line)]
    assert len([line for line in lines if "import" not in line]) < 80


def test_only_the_command_line_prints() -> None:
    for path in _FILES:
        if "cli" not in path.parts:
            calls = [
                n
                for n in ast.walk(ast.parse(path.read_text()))
                if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "print"
            ]
            assert not calls, path


def test_importing_insula_and_its_command_line_brings_no_torch() -> None:
    code = (
        "import insula, insula.cli, insula.config, sys; "
        "print([name for name in ('torch', 'nibabel', 'scipy', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
