"""The masks of raters are matched by name, and what is unclear is refused or handed on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from insula.errors import InsulaError, NoInput, UsageError
from insula.study import RaterMasks, find_rater_masks


def _plant(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def _names(masks: RaterMasks) -> dict[str, dict[str, list[str]]]:
    return {
        case: {rater: [path.name for path in paths] for rater, paths in files.items()}
        for case, files in masks.cases.items()
    }


def test_masks_of_equal_names_are_of_the_same_case(tmp_path: Path) -> None:
    _plant(tmp_path, "anna/sub-b_T1w_mask.nii.gz", "anna/deep/sub-a_T1w.nii", "anna/sub-c_mask.nii.gz")
    _plant(tmp_path, "ben/sub-a_T1w_corrected.nii.gz", "ben/Sub-B_T1w_lesion_mask.nii.gz", "ben/sub-d.nii.gz")
    _plant(tmp_path, "ben/.sub-c.nii.gz", "ben/notes.txt")
    masks = find_rater_masks([tmp_path / "anna", tmp_path / "ben"])
    assert masks.raters == ("anna", "ben")
    assert _names(masks) == {
        "sub-a_T1w": {"anna": ["sub-a_T1w.nii"], "ben": ["sub-a_T1w_corrected.nii.gz"]},
        "sub-b_T1w": {"anna": ["sub-b_T1w_mask.nii.gz"], "ben": ["Sub-B_T1w_lesion_mask.nii.gz"]},
        "sub-c": {"anna": ["sub-c_mask.nii.gz"]},
        "sub-d": {"ben": ["sub-d.nii.gz"]},
    }
    assert masks.single == ("sub-c", "sub-d")


def test_a_folder_of_results_gives_its_masks_only(tmp_path: Path) -> None:
    kinds = "mask prob brain network_mask corrected-0123abcd_mask".split()
    _plant(tmp_path, *(f"anna/a_{kind}.nii.gz" for kind in kinds), "ben/a_mask.nii.gz")
    _plant(tmp_path, "anna/b_brain.nii.gz", "ben/b_brain.nii.gz")  # no map beside it: a mask of this name
    masks = find_rater_masks([tmp_path / "anna", tmp_path / "ben"])
    assert _names(masks) == {
        "a": {"anna": ["a_mask.nii.gz"], "ben": ["a_mask.nii.gz"]},
        "b_brain": {"anna": ["b_brain.nii.gz"], "ben": ["b_brain.nii.gz"]},
    }


def test_a_scan_beside_its_mask_is_not_meant_but_two_masks_are_unclear(tmp_path: Path) -> None:
    _plant(tmp_path, "anna/a.nii.gz", "anna/a_mask.nii.gz", "ben/a_mask.nii.gz", "ben/a_lesion.nii.gz")
    (files,) = _names(find_rater_masks([tmp_path / "anna", tmp_path / "ben"])).values()
    assert files == {"anna": ["a_mask.nii.gz"], "ben": ["a_lesion.nii.gz", "a_mask.nii.gz"]}


def _plant_record(path: Path, *, corrected: bool, **files: str) -> None:
    facts = {"correction": {"dice": 0.9}} if corrected else {}
    record = {"format": "insula-result/1", "outcome": "done", "files": files, **facts}
    path.write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize("edited", ["a_corrected.nii.gz", "a_corrected.nii"])
def test_an_edited_mask_that_was_taken_in_is_passed_over(edited: str, tmp_path: Path) -> None:
    _plant(tmp_path, "anna/a_mask.nii.gz", f"anna/{edited}", "anna/a_network_mask.nii.gz", "ben/a.nii.gz")
    folders = [tmp_path / "anna", tmp_path / "ben"]
    _plant_record(tmp_path / "anna/a.json", corrected=True, mask="a_mask.nii.gz", network_mask="a_network_mask.nii.gz")
    assert _names(find_rater_masks(folders))["a"] == {"anna": ["a_mask.nii.gz"], "ben": ["a.nii.gz"]}
    _plant_record(tmp_path / "anna/a.json", corrected=False, mask="a_mask.nii.gz")  # the mask is the network's
    assert _names(find_rater_masks(folders))["a"]["anna"] == [edited, "a_mask.nii.gz"]


def test_what_is_kept_beside_an_unpacked_mask_is_no_raters_mask(tmp_path: Path) -> None:
    """The files of a result, of which some were unpacked."""
    for rater in ("anna", "ben"):
        _plant(tmp_path, *(f"{rater}/x_{kind}" for kind in ("mask.nii", "network_mask.nii.gz", "brain.nii")))
        files = {"mask": "x_mask.nii.gz", "brain": "x_brain.nii.gz"}
        _plant_record(tmp_path / rater / "x.json", corrected=True, **files)
    cases = _names(find_rater_masks([tmp_path / "anna", tmp_path / "ben"]))
    assert cases == {"x": {"anna": ["x_mask.nii"], "ben": ["x_mask.nii"]}}


def test_a_corrected_derivative_gives_its_masks_only(tmp_path: Path) -> None:
    start = "sub-a_space-orig_label-L_desc"
    kinds = {"mask": f"{start}-insula", "network_mask": f"{start}-network"}
    files = {kind: f"{name}_mask.nii.gz" for kind, name in kinds.items()}
    files["brain"] = "sub-a_space-orig_label-brain_desc-insula_mask.nii.gz"
    others = (f"{start}-corrected_mask.nii.gz", "sub-a_space-orig_seg-lesions_desc-insula_dseg.nii.gz")
    for rater in ("anna", "ben"):
        _plant(tmp_path, *(f"{rater}/sub-a/anat/{name}" for name in (*files.values(), *others)))
        _plant_record(tmp_path / rater / "sub-a/anat/sub-a_record.json", corrected=True, **files)
    cases = _names(find_rater_masks([tmp_path / "anna", tmp_path / "ben"]))
    assert cases == {f"{start}-insula": {rater: [files["mask"]] for rater in ("anna", "ben")}}


@pytest.mark.parametrize(
    ("files", "raters", "case"),
    [
        (["anna/x.nii.gz", "ben/x.nii.gz"], ("anna", "ben"), "x"),
        (["s/anna/m/x.nii.gz", "s/ben/m/x_mask.nii.gz"], ("x", "x_mask"), "x"),
        (["s/anna/m/x.nii.gz", "s/ben/m/x.nii.gz"], ("anna", "ben"), "x"),
        (["x_T1w_anna.nii.gz", "x_T1w_ben_mask.nii.gz"], ("x_T1w_anna", "x_T1w_ben_mask"), "x_T1w"),
        (["one.nii.gz", "two.nii"], ("one", "two"), "one"),
    ],
)
def test_files_are_of_one_case(tmp_path: Path, files: list[str], raters: tuple[str, ...], case: str) -> None:
    _plant(tmp_path, *files)
    masks = find_rater_masks([tmp_path / name for name in files])
    assert masks.raters == raters and list(masks.cases) == [case]
    assert list(masks.cases[case].values()) == [(tmp_path / name,) for name in files]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (["anna"], NoInput, "needs two raters or more"),
        (["anna", "nobody"], NoInput, "nobody do not exist"),
        (["anna", "anna"], UsageError, "include one of them twice"),
        (["anna", "ben/b.nii.gz"], UsageError, "mix folders and files"),
        (["anna", "ben"], NoInput, "the folders anna, ben have no case in common"),
    ],
)
def test_what_gives_no_pair_of_masks_is_refused(
    tmp_path: Path, given: list[str], error: type[InsulaError], words: str
) -> None:
    _plant(tmp_path, "anna/a.nii.gz", "ben/b.nii.gz")
    with pytest.raises(error, match=re.escape(words)):
        find_rater_masks([tmp_path / name for name in given])
