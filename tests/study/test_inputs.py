"""What a user means by a path."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from insula.cohort.predictions import case_name
from insula.errors import NoInput
from insula.study.inputs import find_scans, name_cases


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_gives_its_t1w_files_when_it_has_any(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "sub-1/anat/sub-1_T1w.nii.gz",
        "sub-1/anat/sub-1_label-L_desc-T1lesion_mask.nii.gz",
        "sub-1/anat/sub-1_FLAIR.nii.gz",
    )
    assert [p.name for p in find_scans([str(tmp_path)]).files] == ["sub-1_T1w.nii.gz"]


def test_otherwise_every_image_that_is_no_mask_and_not_hidden(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "b.nii",
        "a.nii.gz",
        "c.hdr",
        "c.img",
        "a_mask.nii.gz",
        "a_prob.nii.gz",
        ".DS_Store",
        "._a.nii.gz",
        ".x/y.nii",
        "notes.txt",
    )
    assert [p.name for p in find_scans([str(tmp_path)]).files] == ["a.nii.gz", "b.nii", "c.hdr"]


def test_globs_files_and_repeats(tmp_path: Path) -> None:
    _touch(tmp_path, "a.nii", "b.nii", "odd[1].nii")
    got = find_scans(
        [str(tmp_path / "*.nii"), str(tmp_path / "a.nii"), str(tmp_path / "odd[1].nii"), str(tmp_path / "absent.nii")]
    )
    assert [p.name for p in got.files] == ["a.nii", "b.nii", "odd[1].nii", "absent.nii"]


def test_nothing_found_is_said(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="holds no .nii"):
        find_scans([str(tmp_path)])
    with pytest.raises(NoInput, match=r"x\*\.nii matches no file"):
        find_scans([str(tmp_path / "x*.nii")])


def test_archives_in_a_folder_are_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "exam.tgz", "w:gz") as packed:
        packed.addfile(tarfile.TarInfo("a"))
    with pytest.raises(NoInput, match=r"no DICOM outside 1 archive \(zip, tar\); name each archive itself"):
        find_scans([str(tmp_path)])


def test_scans_of_a_folder_may_be_packed_in_other_ways(tmp_path: Path) -> None:
    names = ["a.NII", "b.nii.bz2", "c.nii.xz", "d.HDR", "e.hdr.gz", "e.img.gz", "f_mask.nii.xz", "g_FLAIR.nii.bz2"]
    _touch(tmp_path, *names)
    scans = find_scans([str(tmp_path)])
    assert [path.name for path in scans.files] == names[:5]
    assert name_cases(scans.files) == ["a", "b", "c", "d", "e"]


def test_equal_names_get_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / "s1" / "T1w.nii.gz", tmp_path / "s2" / "T1w.nii.gz", tmp_path / "other.nii"]
    assert name_cases(paths) == ["s1_T1w", "s2_T1w", "other"]
    names = name_cases([tmp_path / "a.nii", tmp_path / "a.nii.gz", tmp_path / "A.nii"])
    assert len({name.casefold() for name in names}) == 3


def test_of_nnunets_folders_the_first_channel_of_the_images(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "imagesTr/s_001_0000.nii.gz",
        "imagesTr/s_001_0001.nii.gz",
        "labelsTr/s_001.nii.gz",
        "imagesTs/s_002_0000.nii.gz",
    )
    scans = find_scans([str(tmp_path)]).files
    assert [path.name for path in scans] == ["s_001_0000.nii.gz", "s_002_0000.nii.gz"]
    assert [case_name(f"{name}_mask") for name in name_cases(scans)] == ["s_001", "s_002"]


def test_a_brain_mask_beside_its_results_is_no_scan_and_a_stripped_brain_is_one(tmp_path: Path) -> None:
    _touch(tmp_path, "a_mask.nii.gz", "a_prob.nii.gz", "a_brain.nii.gz", "b_brain.nii.gz")
    assert [p.name for p in find_scans([str(tmp_path)]).files] == ["b_brain.nii.gz"]


def test_what_is_passed_over_is_told_with_its_reason(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "sub-1_T1w.nii.gz",
        "sub-1_FLAIR.nii.gz",
        "sub-1_part-phase_T1w.nii.gz",
        "other.nii",
        "sub-1_T1w_mask.nii.gz",
    )
    scans = find_scans([str(tmp_path)])
    assert [path.name for path in scans.files] == ["sub-1_T1w.nii.gz"]
    names = {why: [path.name for path in some] for why, some in scans.passed_over.items()}
    assert names == {
        "not T1w by their names": ["sub-1_FLAIR.nii.gz", "sub-1_part-phase_T1w.nii.gz"],
        "without _T1w at the end of their names, where others have it": ["other.nii"],
    }
    both = find_scans([str(tmp_path), str(tmp_path / "other.nii")])  # named as well: done
    assert sum(map(len, both.passed_over.values())) == 2
    _touch(tmp_path / "none", "a_T2w.nii.gz", "b_FLAIR.nii")
    with pytest.raises(NoInput, match="no T1w scan, but 2 other images"):
        find_scans([str(tmp_path / "none")])


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    _touch(tmp_path, "disk/sub-2/sub-2_T1w.nii.gz", "data/sub-1/sub-1_T1w.nii.gz")
    (tmp_path / "data" / "sub-2").symlink_to(tmp_path / "disk" / "sub-2")
    (tmp_path / "data" / "sub-2" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "gone").symlink_to(tmp_path / "nowhere")
    scans = find_scans([str(tmp_path / "data")])
    assert [path.name for path in scans.files] == ["sub-1_T1w.nii.gz", "sub-2_T1w.nii.gz"]


def test_one_name_in_two_forms_is_one_scan_with_a_twin_unless_a_file_is_named(tmp_path: Path) -> None:
    _touch(tmp_path, "sub-1_T1w.nii", "sub-1_T1w.nii.gz", "sub-1_T1w.hdr", "sub-2_T1w.nii.gz")
    scans = find_scans([str(tmp_path)])
    assert [path.name for path in scans.files] == ["sub-1_T1w.hdr", "sub-2_T1w.nii.gz"]
    assert [path.name for path in scans.twins] == ["sub-1_T1w.hdr"]
    named = find_scans([str(tmp_path / "sub-1_T1w.nii"), str(tmp_path / "sub-1_T1w.nii.gz")])
    assert (len(named.files), named.twins) == (2, {})


def test_a_uni_image_stands_for_a_missing_t1w_and_participants_without_one_are_named(tmp_path: Path) -> None:
    names = ("1/anat/sub-1_T1w", "1/anat/sub-1_UNIT1", "2/anat/sub-2_UNIT1", "3/anat/sub-3_FLAIR")
    _touch(tmp_path, *(f"sub-{name}.nii.gz" for name in names))
    scans = find_scans([str(tmp_path)])
    assert [path.name for path in scans.files] == ["sub-1_T1w.nii.gz", "sub-2_UNIT1.nii.gz"]
    assert sorted(path.name for some in scans.passed_over.values() for path in some) == [
        "sub-1_UNIT1.nii.gz",
        "sub-3_FLAIR.nii.gz",
    ]
    assert scans.notes == ("1 of 3 participants without a T1w scan: passed over (sub-3)",)
