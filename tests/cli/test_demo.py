"""The demo as a newcomer types it, with the bundled weights: a real patient, or a simulated subject."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cli.call import call
from insula.io import read_mask, read_scan, read_values
from insula.metrics import dice_score

_WITHOUT_EXTRAS = (
    "import sys\n"
    "for extra in ('nilearn', 'sklearn', 'pandas', 'highdicom', 'pydicom', 'fastapi', 'onnx', 'openvino'):\n"
    "    sys.modules[extra] = None\n"
    "from insula.cli import main\n"
    "main()\n"
)


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """`insula demo` in an empty folder, in an install without extras, without a screen."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT_EXTRAS, "demo", "--device", "cpu"],
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("patient"),
        env=environment,
        timeout=300,
    )


def _figures(stdout: str) -> dict[str, str]:
    """The first value of each line that names a figure."""
    rows = [line.split() for line in stdout.splitlines()]
    return {row[0]: row[1] for row in rows if row[0] in ("volume", "lesions", "Dice")}


@pytest.mark.long
def test_the_patient_is_segmented_without_extras_and_the_page_printed_last(
    patient: subprocess.CompletedProcess[str],
) -> None:
    assert patient.returncode == 0, patient.stderr
    assert patient.stderr == ""
    folder = Path(patient.stdout.splitlines()[-1]).parent
    assert Path(patient.stdout.splitlines()[-1]) == folder / "sub-M2017_T1w.html"
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "sub-M2017_T1w.nii.gz",
        "sub-M2017_T1w_mask.nii.gz",
        "sub-M2017_T1w_prob.nii.gz",
        "sub-M2017_T1w_brain.nii.gz",
        "sub-M2017_T1w.json",
        "sub-M2017_T1w.html",
    }


@pytest.mark.long
def test_the_patients_figures_are_those_of_the_files(patient: subprocess.CompletedProcess[str]) -> None:
    folder = Path(patient.stdout.splitlines()[-1]).parent
    figures = _figures(patient.stdout)
    mask, scan = read_mask(folder / "sub-M2017_T1w_mask.nii.gz"), read_scan(folder / "sub-M2017_T1w.nii.gz")
    prob, prob_grid = read_values(folder / "sub-M2017_T1w_prob.nii.gz")
    assert mask.grid.close_to(scan.grid)
    assert prob_grid.close_to(scan.grid)
    assert float(prob.max()) <= 1
    assert float(figures["volume"]) == pytest.approx(mask.volume_ml, abs=0.01)
    record = json.loads((folder / "sub-M2017_T1w.json").read_text())
    assert int(figures["lesions"]) == record["lesion_count"]
    assert record["flags"] == []


@pytest.mark.long
def test_the_patients_lesion_lies_on_the_left(patient: subprocess.CompletedProcess[str]) -> None:
    folder = Path(patient.stdout.splitlines()[-1]).parent
    mask = read_mask(folder / "sub-M2017_T1w_mask.nii.gz")
    assert mask.voxels.any(), "a territorial infarct is not missed by any weights that are shipped"
    right_mm = np.argwhere(mask.voxels) @ mask.grid.affine[0, :3] + mask.grid.affine[0, 3]
    assert (right_mm < 0).mean() > 0.9


@pytest.mark.long
def test_the_experts_volume_is_shown_and_no_dice_is_claimed(patient: subprocess.CompletedProcess[str]) -> None:
    page = Path(patient.stdout.splitlines()[-1]).read_text(encoding="utf-8")
    assert "(experts drew 134.5 ml, on the T2w image of the same session)" in patient.stdout
    assert "Dice" not in patient.stdout
    assert "simulated" not in patient.stdout
    assert "<dt>Experts drew</dt><dd>134.5 <small>ml</small></dd>" in page
    assert "Aphasia Recovery Cohort" in page
    assert "Dice with the known truth" not in page


@pytest.mark.long
def test_a_simulated_subject_is_compared_with_its_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Volume, count and Dice are recomputed from the files."""
    result = call(capsys, "demo", "--simulated", "--device", "cpu", "--out", tmp_path / "demo")
    assert result.code == 0, result.err
    page = Path(result.out.splitlines()[-1])
    figures = _figures(result.out)
    mask, truth = (read_mask(page.parent / f"demo_{name}.nii.gz") for name in ("mask", "truth_mask"))
    assert float(figures["volume"]) == pytest.approx(mask.volume_ml, abs=0.01)
    assert float(figures["Dice"]) == pytest.approx(dice_score(mask.voxels, truth.voxels), abs=1e-3)
    assert int(figures["lesions"]) == json.loads((page.parent / "demo.json").read_text())["lesion_count"]
    assert f"truth {truth.volume_ml:.2f} ml; subject and infarct are simulated" in result.out
    html = page.read_text(encoding="utf-8")
    assert "This head and its infarct are simulated." in html
    assert f"<dd>{float(figures['Dice']):.3f}</dd>" in html
    assert "xperts" not in html + result.out


def test_without_nilearn_a_simulated_subject_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    result = call(capsys, "demo", "--simulated", "--out", tmp_path / "demo")
    assert result.code == 69
    assert "nilearn is not installed; run: pip install 'insula[demo]'" in result.err
    assert not (tmp_path / "demo" / "demo.html").exists()


@pytest.mark.parametrize("kind", [(), ("--simulated",)])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    kind: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    result = call(capsys, "demo", *kind, "--out", tmp_path / "file" / "demo")
    assert result.code == 73
    assert "a part of the path is a file, not a folder; choose another --out" in result.err
    assert result.out == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    result = call(capsys, "demo", "--out", tmp_path / "locked")
    assert result.code == 77
    assert "locked" in result.err


def test_a_device_that_is_none_is_refused_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "demo", "--device", "gpu", "--out", tmp_path / "demo")
    assert result.code == 2
    assert "gpu is not a device" in result.err
    assert not (tmp_path / "demo").exists()
