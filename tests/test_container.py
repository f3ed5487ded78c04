"""The container's recipes: linted, of files that exist, for a user that is not root; and insula runs as they run it."""

from __future__ import annotations

import json
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
from serve.challenge.container import MASK, PROB, challenge, fill, head

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


def _stage(name: str) -> str:
    """The instructions of a stage of the Dockerfile; the last stage has no name."""
    stages = re.split(r"^FROM ", _DOCKERFILE, flags=re.MULTILINE)[1:]
    (found,) = [text for text in stages if re.match(rf"\S+ AS {name}$" if name else r"\S+$", text, re.MULTILINE)]
    return found


def test_only_the_image_of_the_challenge_is_called_by_its_platform() -> None:
    """A plain `docker build` makes the last stage, which is the general image and nothing more."""
    assert _stage("isles2026").startswith("insula AS")
    assert 'org.grand-challenge.api-method="invoke"' in _stage("isles2026")
    assert "EXPOSE 4743" in _stage("isles2026")
    assert "grand-challenge" not in _stage("insula")
    assert "USER 10001" in _stage("insula")
    assert 'ENTRYPOINT ["insula"]' in _stage("insula")
    assert _stage("").strip() == "insula"
    assert _DOCKERFILE.rstrip().endswith("\nFROM insula")


@pytest.mark.long
def test_the_command_of_the_challenge_s_image_serves_a_case(
    coarse_case: Case, quiet_weights: Path, tmp_path: Path
) -> None:
    (line,) = re.findall(r"^CMD (.+)$", _stage("isles2026"), re.MULTILINE)
    verb, *arguments = json.loads(line)
    assert verb == "challenge"
    shutil.copytree(quiet_weights, tmp_path / "opt/ml/model")
    with challenge(tmp_path, *arguments) as running:
        assert running.client.get("/health").status_code == 200
        fill(tmp_path, head(coarse_case))
        assert running.client.post("/invoke").status_code == 201
    assert (tmp_path / MASK).is_file()
    assert (tmp_path / PROB).is_file()


def _unshared() -> bool:
    """Whether this system lets a user be without a network."""
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "-rn", "true"], capture_output=True).returncode == 0


@pytest.mark.long
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
