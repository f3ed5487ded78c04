"""`insula cohort predict`: each case by the fold that has not seen it, or a line that says why not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cli.call import call
from cohort.tree import plant_tree
from insula.checkpoint import load_weights, save_weights

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cohort") / "tree"
    plant_tree(root, sites=2, each=2, step_mm=6.0)
    return root


@pytest.fixture
def split(tree: Path, tmp_path: Path, capsys: Capture) -> Path:
    check, made = tree.with_name("check"), tree.with_name("s.json")  # by the first test
    if not made.exists():
        call(capsys, "cohort", "check", tree, "--out", check, "--jobs", 1)
        assert call(capsys, "cohort", "split", check / "cohort.json", "--out", made, "--folds", 2).code == 0
    return Path(shutil.copy(made, tmp_path / "s.json"))


@pytest.fixture
def folds(quiet_weights: Path, tmp_path: Path) -> Path:
    """Two folds of the same network; the second has another threshold, which its cases' records show."""
    tiny = load_weights(str(quiet_weights))
    for n in range(2):
        folder = tmp_path / "runs" / f"fold{n}"
        folder.mkdir(parents=True)
        save_weights(folder, tiny.model, replace(tiny.card, name=f"f{n}", threshold=0.5 + 0.25 * n))
    return tmp_path / "runs"


@pytest.mark.long
def test_each_case_is_segmented_by_the_fold_that_tests_it(
    tree: Path, split: Path, folds: Path, tmp_path: Path, capsys: Capture
) -> None:
    result = call(
        capsys,
        "cohort",
        "predict",
        tree,
        "--weights",
        folds,
        "--split",
        split,
        "--out",
        tmp_path / "p",
        "--device",
        "cpu",
    )
    assert result.code == 0, result.err
    tests = [fold["test"] for fold in json.loads(split.read_text())["folds"]]
    assert sorted(case for test in tests for case in test) == sorted(
        path.name[: -len("_mask.nii.gz")] for path in (tmp_path / "p").glob("*_mask.nii.gz")
    )
    for n, test in enumerate(tests):
        assert test
        for case in test:
            assert json.loads((tmp_path / "p" / f"{case}.json").read_text())["threshold"] == 0.5 + 0.25 * n
    scored = call(
        capsys, "evaluate", tree, tmp_path / "p", "--out", tmp_path / "e", "--preset", "atlas2022", "--jobs", 1
    )
    assert "p: 4 cases" in scored.out


@pytest.mark.long
def test_of_several_scans_of_a_case_the_first_is_taken(
    tree: Path, split: Path, folds: Path, tmp_path: Path, capsys: Capture
) -> None:
    """One case with a repeated scan does not stop the others."""
    cohort = tmp_path / "cohort"
    shutil.copytree(tree, cohort)
    scan = next(cohort.rglob("*_T1w.nii.gz"))
    scan.with_name(scan.name.replace("_T1w", "_rec-2_T1w")).write_bytes(b"not the first, and not an image")
    result = call(
        capsys,
        "cohort",
        "predict",
        cohort,
        "--weights",
        folds,
        "--split",
        split,
        "--out",
        tmp_path / "p",
        "--device",
        "cpu",
    )
    assert result.code == 0, result.err
    assert len(list((tmp_path / "p").glob("*_mask.nii.gz"))) == 4


def test_what_does_not_fit_together_is_refused(
    tree: Path, split: Path, folds: Path, tmp_path: Path, capsys: Capture
) -> None:
    def refused(message: str, code: int) -> None:
        result = call(capsys, "cohort", "predict", tree, "--weights", folds, "--split", split, "--out", tmp_path / "q")
        assert result.code == code
        assert message in result.err
        assert len(result.err.strip().splitlines()) == 1
        assert not (tmp_path / "q").exists()

    record = json.loads(split.read_text())
    twice = {**record, "folds": [record["folds"][0], record["folds"][0]]}
    split.write_text(json.dumps(twice))
    refused("is tested by several folds", 65)
    split.write_text(json.dumps(record))
    shutil.rmtree(folds / "fold1")
    refused("has no fold1, and the split has 2 folds", 66)
