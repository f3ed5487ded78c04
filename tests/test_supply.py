"""What is installed with hashes is what the project is tested with, and nothing that it needs is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[1]
_EXTRAS = ("demo", "dicom", "serve")


def _hashed() -> dict[str, tuple[str, int]]:
    """Version, and number of hashes, by name."""
    text = (_ROOT / "requirements-hashed.txt").read_text(encoding="utf-8")
    blocks = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    found = {}
    for block in blocks:
        pin = re.match(r"([\w.-]+)==([\w.]+)", block)
        assert pin, block
        hashes = re.findall(r"--hash=(\S+)", block)
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes)
        found[str(canonicalize_name(pin[1]))] = (pin[2], len(hashes))
    return found


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
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *(one for extra in _EXTRAS for one in project["optional-dependencies"][extra])]
    hashed = _hashed()
    for requirement in map(Requirement, needed):
        version, _ = hashed[str(canonicalize_name(requirement.name))]
        assert requirement.specifier.contains(version), f"{requirement}: make hashes"
