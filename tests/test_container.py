"""The container's recipes: linted, of files that exist, for a user that is not root; and insula runs as they run it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from insula.volume import Case

_ROOT = Path(__file__).parents[1]
_DOCKERFILE = (_ROOT / "Dockerfile").read_text(encoding="utf-8")
_APPTAINER = (_ROOT / "apptainer.def").read_text(encoding="utf-8")


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert hadolint is not None
    done = subprocess.run([hadolint, str(_ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_both_copy_what_is_there_and_install_through_the_constraints() -> None:
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.+) \S+$", _DOCKERFILE, re.MULTILINE) for name in line.split()
    ]
    files = _APPTAINER[_APPTAINER.index("%files") : _APPTAINER.index("%post")].splitlines()[1:]
    listed = [line.split()[0] for line in files if line.strip()]
    assert sorted(copied) == sorted(listed)
    ignored = (_ROOT / ".dockerignore").read_text(encoding="utf-8")
    for name in copied:
        assert (_ROOT / name).exists()
        assert f"!{name}" in ignored
    for text in (_DOCKERFILE, _APPTAINER):
        assert "--constraint constraints.txt '.[dicom,serve]'" in text
        assert re.search(r"^(FROM|From:) python:3\.\d+-slim", text, re.MULTILINE)


def test_the_last_user_is_not_root() -> None:
    users = re.findall(r"^USER (\S+)", _DOCKERFILE, re.MULTILINE)
    assert users
    assert users[-1] not in ("0", "root")


def _unshared() -> bool:
    """Whether this system lets a user be without a network."""
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _unshared(), reason="no user namespaces here")
def test_it_segments_without_a_network_or_a_home(coarse_case: Case, tmp_path: Path) -> None:
    nib.save(
        nib.Nifti1Image(
            (3000 * coarse_case.scan.image / coarse_case.scan.image.max()).astype(np.int16),
            coarse_case.scan.grid.affine,
        ),
        tmp_path / "scan.nii.gz",
    )
    command = [
        "unshare",
        "-rn",
        sys.executable,
        "-m",
        "insula",
        "segment",
        str(tmp_path / "scan.nii.gz"),
        "--out",
        str(tmp_path / "out"),
    ]
    environment = {
        **os.environ,
        "HOME": "/nowhere",
        "MPLCONFIGDIR": str(tmp_path / "mpl"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "scan_mask.nii.gz").exists()
