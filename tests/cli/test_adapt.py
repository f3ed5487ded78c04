"""`insula adapt`: how long it takes, what the left-out cases gained, which cases to correct next."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapt.scans import write_files
from cli.call import call
from study.derivative import CASES, write_derivative

Capture = pytest.CaptureFixture[str]


def test_a_folder_of_masks_is_judged_case_by_case(tmp_path: Path, tiny_weights: Path, capsys: Capture) -> None:
    write_files(tmp_path, 5)
    out = tmp_path / "adapted"
    result = call(
        capsys, "adapt", tmp_path / "masks", tmp_path / "scans", "--out", out, "--weights", tiny_weights,
        "--steps", 2, "--folds", 2, "--device", "cpu",
    )  # fmt: skip
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "5 cases of 5 subjects"
    assert lines[1].startswith("3 fine-tunings at most, ")
    assert sum(line.split()[0].startswith("sub-0") for line in lines if line.strip()) == 5
    assert any(line.startswith("mean Dice before 0.") for line in lines)
    assert any(line.startswith("the weights stay as they are: ") for line in lines)
    assert lines[-1] == str(out / "adapt.json")
    assert sorted(path.name for path in out.glob("adapt*")) == ["adapt.json", "adapt.tsv"]


def test_wrong_input_gets_one_line(tmp_path: Path, tiny_weights: Path, capsys: Capture) -> None:
    write_files(tmp_path, 3)
    few = call(capsys, "adapt", tmp_path / "masks", tmp_path / "scans", "--weights", tiny_weights)
    assert few.code == 66
    assert "in 3 of the 5 cases that it takes" in few.err
    assert call(capsys, "adapt", tmp_path / "masks", tmp_path / "scans", "--steps", 0).code == 2
    assert call(capsys, "adapt", tmp_path / "masks", tmp_path / "scans", "--folds", 1).code == 2
    assert call(capsys, "adapt", tmp_path / "nowhere", tmp_path / "scans").code == 66
    nothing = call(capsys, "adapt", tmp_path / "masks")
    assert nothing.code == 66
    assert "write e.g. insula adapt" in nothing.err


def test_a_derivative_needs_no_scans_and_says_what_it_passes_over(
    tmp_path: Path, tiny_weights: Path, capsys: Capture
) -> None:
    results = write_derivative(tmp_path / "raw", corrected=CASES[:5])
    mask = next(results.glob("sub-4/anat/*_mask.nii.gz"))
    mask.with_name("sub-4_label-lesion_mask.nii.gz").write_bytes(mask.read_bytes())
    arguments = ("--weights", tiny_weights, "--steps", 1, "--folds", 2, "--device", "cpu")
    result = call(capsys, "adapt", results, "--out", tmp_path / "adapted", *arguments)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "5 cases of 3 subjects"
    assert {line.split()[0] for line in lines if line.startswith(" sub-")} == set(CASES[:5])
    assert lines[-1].startswith("  sub-4: review score ") and lines[-2] == "to correct next:"
    assert "passed over: 1 scan (sub-5) that could not be segmented" in result.err
    assert "passed over: 1 lesion mask (sub-4_label-lesion_mask.nii.gz) without a record by insula" in result.err
