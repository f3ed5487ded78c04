"""`insula bench predict` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cli.call import call
from insula.volume import Case


@pytest.fixture
def cohort(coarse_case: Case, tmp_path: Path) -> Path:
    folder = tmp_path / "cohort" / "sub-1" / "anat"
    folder.mkdir(parents=True)
    affine = coarse_case.scan.grid.affine
    nib.save(nib.Nifti1Image(coarse_case.scan.image, affine), folder / "sub-1_T1w.nii.gz")
    nib.save(nib.Nifti1Image(coarse_case.truth.voxels.astype(np.uint8), affine), folder / "sub-1_label-L_mask.nii.gz")
    return tmp_path / "cohort"


def test_a_table_a_drawing_and_all_figures(
    cohort: Path, quiet_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    result = call(
        capsys,
        "bench",
        "predict",
        cohort,
        "--weights",
        quiet_weights,
        "--ways",
        "torch:bfloat16",
        "--repeats",
        1,
        "--device",
        "cpu",
        "--out",
        out,
    )
    assert result.code == 0
    record = json.loads(out.read_text())
    assert [row["way"]["precision"] for row in record["ways"]] == ["float32", "bfloat16"]
    assert record["cases"] == 1
    assert "multiples of the first" in result.out
    assert str(out.with_suffix(".svg")) in result.out
    assert out.with_suffix(".svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--repeats", "0"), 2, "below 1"),
        (("--ways", "caffe:float32"), 2, "engine and a precision"),
        (("--weights", "nobody"), 66, "do not exist"),
        (("/nowhere",), 66, "is not a folder"),
    ],
)
def test_what_makes_no_sense_gets_one_line(
    arguments: tuple[str, ...], code: int, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = call(capsys, "bench", "predict", *arguments, "--device", "cpu", "--out", tmp_path / "found.json")
    assert result.code == code
    assert message in " ".join(result.err.split())
    assert not list(tmp_path.iterdir())
