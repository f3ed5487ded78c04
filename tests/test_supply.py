"""What is installed with hashes is what the project is tested with, and nothing that it needs is missing."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[1]
_EXTRAS = ("demo", "dicom", "serve")
_LIST = _ROOT / "requirements-hashed.txt"
_GUIDE = _ROOT / "docs/how-to/operate.md"


def _hashed(text: str = _LIST.read_text(encoding="utf-8")) -> dict[str, tuple[str, int]]:
    """Version, and number of hashes, by name."""
    blocks = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    pinned = {}
    for block in blocks:
        pin = re.match(r"([\w.-]+)==([\w.]+)", block)
        assert pin, block
        hashes = re.findall(r"--hash=(\S+)", block)
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in hashes)
        pinned[str(canonicalize_name(pin[1]))] = (pin[2], len(hashes))
    return pinned


def test_every_pin_has_hashes_and_the_version_that_is_tested() -> None:
    tested = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", (_ROOT / "constraints.txt").read_text(), re.MULTILINE))
    tested = {str(canonicalize_name(name)): version for name, version in tested.items()}
    hashed = _hashed()
    assert len(hashed) > 60
    for name, (version, count) in hashed.items():
        assert count >= 1, name
        assert tested.get(name, version) == version, f"{name}: make hashes"
    assert {"torch", "pydicom", "fastapi", "numpy"} <= set(hashed) & set(tested)


def test_everything_that_an_installation_needs_is_there() -> None:
    tree = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = tree["project"]
    needed = [
        *project["dependencies"],
        *(name for extra in _EXTRAS for name in project["optional-dependencies"][extra]),
        *tree["build-system"]["requires"],
    ]
    hashed = _hashed()
    for requirement in map(Requirement, needed):
        version, _ = hashed[str(canonicalize_name(requirement.name))]
        assert requirement.specifier.contains(version), f"{requirement}: make hashes"


def test_the_guide_builds_with_what_was_checked_and_leaves_out_torch_alone() -> None:
    guide = _GUIDE.read_text(encoding="utf-8")
    installs = re.findall(r"pip install (.*)", guide)
    assert "--no-deps --no-build-isolation ." in installs
    version, _ = _hashed()["torch"]
    assert f'--index-url "$TORCH_CPU_INDEX" torch=={version}' in installs
    (command,) = re.findall(r"^(awk .*) > requirements-cpu.txt$", guide, re.MULTILINE)
    listed = subprocess.run(command, shell=True, cwd=_ROOT, capture_output=True, text=True, check=True).stdout
    left_out = set(_hashed()) - set(_hashed(listed))
    assert {"torch", "triton"} < left_out
    assert {name.split("-")[0] for name in left_out} == {"torch", "triton", "cuda", "nvidia"}
    assert {name: _hashed()[name] for name in _hashed(listed)} == _hashed(listed)
