"""Which prediction belongs to which case."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.cohort import Cohort, Entry, find_cohort
from insula.errors import BadData, NoInput
from insula.evaluate import pair_up


def _cohort(tmp_path: Path) -> Cohort:
    entries = tuple(
        Entry(
            case=f"sub-r001s00{n}_ses-1",
            subject=f"sub-r001s00{n}",
            session="ses-1",
            centre="R001",
            images=(tmp_path / "t1.nii.gz",),
            masks=(tmp_path / f"truth{n}.nii.gz",),
        )
        for n in (1, 2)
    )
    return Cohort(folder=tmp_path, layout="atlas-indi", entries=entries)


def _touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("sub-r001s001_ses-1_space-x_T1w_mask.nii.gz", "sub-r001s002_ses-1_space-x_T1w_mask.nii.gz"),
        ("sub-r001s001_ses-1.nii.gz", "sub-r001s002_ses-1.nii.gz"),
        (
            "sub-r001s001_ses-1_T1w_mask.nii.gz",
            "sub-r001s001_ses-1_T1w_brain.nii.gz",
            "sub-r001s002_ses-1_T1w_mask.nii.gz",
            "sub-r001s002_ses-1_T1w_brain.nii.gz",
        ),
        (
            "sub-r001s001_ses-1_T1w_mask.nii.gz",
            "sub-r001s001_ses-1_T1w_network_mask.nii.gz",
            "sub-r001s001_ses-1_T1w_corrected.nii.gz",
            "sub-r001s001_ses-1_T1w_corrected-0123abcd_mask.nii.gz",
            "sub-r001s002_ses-1_T1w_mask.nii.gz",
        ),
        (
            "sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-orig_label-L_desc-network_mask.nii.gz",
            "sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-orig_label-brain_desc-insula_mask.nii.gz",
            "sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-orig_label-L_desc-insula_mask.nii.gz",
            "sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-orig_seg-lesions_desc-insula_dseg.nii.gz",
            "sub-r001s002/ses-1/anat/sub-r001s002_ses-1_space-orig_label-L_desc-insula_mask.nii.gz",
        ),
    ],
)
def test_results_submissions_and_nnunets_output_are_found(names: tuple[str, ...], tmp_path: Path) -> None:
    folder = _touch(tmp_path / "p", *names, ".hidden/sub-r001s001_ses-1_mask.nii.gz", "index.html")
    pairs = pair_up(_cohort(tmp_path), folder)
    assert [(pair.entry.case, pair.entry.mask.name) for pair in pairs] == [
        ("sub-r001s001_ses-1", "truth1.nii.gz"),
        ("sub-r001s002_ses-1", "truth2.nii.gz"),
    ]
    others = ("dseg", "brain", "network", "corrected")
    assert not any(word in pair.mask.name for pair in pairs for word in others)
    assert all(pair.prob is None for pair in pairs)


def test_map_and_record_come_along(tmp_path: Path) -> None:
    stems = [f"sub-r001s00{n}_ses-1_T1w" for n in (1, 2)]
    folder = _touch(tmp_path / "p", *(f"{s}{end}" for s in stems for end in ("_mask.nii.gz", "_prob.nii.gz", ".json")))
    (pair, _) = pair_up(_cohort(tmp_path), folder)
    assert pair.prob == folder / f"{stems[0]}_prob.nii.gz"
    assert pair.record == folder / f"{stems[0]}.json"


def test_a_missing_prediction_is_never_passed_over(tmp_path: Path) -> None:
    folder = _touch(tmp_path / "p", "sub-r001s001_ses-1_mask.nii.gz")
    with pytest.raises(BadData, match="1 of 2 cases, e.g. sub-r001s002_ses-1"):
        pair_up(_cohort(tmp_path), folder)
    assert len(pair_up(_cohort(tmp_path), folder, only=["sub-r001s001_ses-1"])) == 1


def test_two_predictions_of_one_case_are_refused(tmp_path: Path) -> None:
    folder = _touch(
        tmp_path / "p", "a/sub-r001s001_ses-1_mask.nii.gz", "b/sub-r001s001_ses-1_mask.nii.gz", "sub-r001s002_ses-1.nii"
    )
    with pytest.raises(BadData, match="several masks of sub-r001s001_ses-1"):
        pair_up(_cohort(tmp_path), folder)


def test_no_folder_and_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="nowhere"):
        pair_up(_cohort(tmp_path), tmp_path / "nowhere")
    with pytest.raises(BadData, match="no case with a mask"):
        pair_up(_cohort(tmp_path), _touch(tmp_path / "p"), only=["sub-x"])


def _runs(root: Path, *stems: str) -> Path:
    for stem in stems:
        _touch(root, f"sub-1/anat/sub-1{stem}_T1w.nii.gz", f"derivatives/m/sub-1{stem}_label-lesion_mask.nii.gz")
    return root


def test_predictions_are_paired_by_run(tmp_path: Path) -> None:
    cohort = find_cohort(_runs(tmp_path / "c", "_run-1", "_run-2"))
    folder = _touch(
        tmp_path / "p", "sub-1_run-01_T1w_mask.nii.gz", "sub-1_run-2_space-orig_label-L_desc-insula_mask.nii.gz"
    )
    assert [(pair.entry.mask.name[:11], pair.mask.name[:12]) for pair in pair_up(cohort, folder)] == [
        ("sub-1_run-1", "sub-1_run-01"),
        ("sub-1_run-2", "sub-1_run-2_"),
    ]
    with pytest.raises(BadData, match=r"hold a file \(sub-1_mask.nii.gz\) that fits 2 scans"):
        pair_up(cohort, _touch(tmp_path / "q", "sub-1_mask.nii.gz"))


def test_a_prediction_of_another_run_is_none(tmp_path: Path) -> None:
    root = _runs(tmp_path / "c", "_run-2")
    _touch(root, "sub-1/anat/sub-1_run-1_T1w.nii.gz")
    cohort = find_cohort(root)
    with pytest.raises(BadData, match="lack 1 of 1 cases, e.g. sub-1_run-2"):
        pair_up(cohort, _touch(tmp_path / "p", "sub-1_run-1_mask.nii.gz"))
    both = _touch(tmp_path / "q", "sub-1_run-1_T1w_mask.nii.gz", "sub-1_run-2_T1w_mask.nii.gz")
    assert [pair.mask.name for pair in pair_up(cohort, both)] == ["sub-1_run-2_T1w_mask.nii.gz"]
    with pytest.raises(BadData, match="that fits 2 scans"):  # of the run without a mask, perhaps
        pair_up(cohort, _touch(tmp_path / "r", "sub-1_mask.nii.gz"))
