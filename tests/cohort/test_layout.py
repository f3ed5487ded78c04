"""Every layout is recognised without being told, and its pairs are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.cohort import find_cohort
from insula.cohort.layout import case_of
from insula.errors import NoInput

_SPACE = "space-MNI152NLin2009aSym"


def _touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def _atlas(folder: str, subject: str) -> tuple[str, str]:
    stem = f"{folder}/sub-{subject}/ses-1/anat/sub-{subject}_ses-1_{_SPACE}"
    return f"{stem}_T1w.nii.gz", f"{stem}_label-L_desc-T1lesion_mask.nii.gz"


def test_atlas_as_indi_ships_it(tmp_path: Path) -> None:
    _touch(
        tmp_path, *_atlas("ATLAS_2/Training/R001", "r001s001"), *_atlas("ATLAS_2/Training/R034", "r034s002"),
        _atlas("ATLAS_2/Testing/R027", "r027s001")[0], "ATLAS_2/Training/.DS_Store", "ATLAS_2/Training/R001/._x_T1w.nii.gz",
    )  # fmt: skip
    cohort = find_cohort(tmp_path)
    assert cohort.layout == "atlas-indi"
    assert [(e.case, e.centre, len(e.images), len(e.masks), e.hidden) for e in cohort.entries] == [
        ("sub-r001s001_ses-1", "R001", 1, 1, False), ("sub-r027s001_ses-1", "R027", 1, 0, True),
        ("sub-r034s002_ses-1", "R034", 1, 1, False),
    ]  # fmt: skip


def test_atlas_as_bids(tmp_path: Path) -> None:
    _touch(tmp_path, *_atlas("data/train/derivatives/ATLAS", "r009s014"))
    cohort = find_cohort(tmp_path)
    assert cohort.layout == "atlas-bids"
    (entry,) = cohort.entries
    assert (entry.centre, entry.subject, entry.session) == ("R009", "sub-r009s014", "ses-1")
    assert entry.masks


def test_atlas_raw(tmp_path: Path) -> None:
    stem = "Training_Raw/R052/sub-r052s003/ses-1/anat/sub-r052s003_ses-1_space-orig"
    sheet = "Training_Raw/R052/sub-r052s003/ses-1/anat/sub-r052s003_ses-1_metadata.csv"
    _touch(tmp_path, f"{stem}_desc-brain_T1w.nii.gz", f"{stem}_label-lesion_desc-T1lesion_mask.nii.gz")
    (tmp_path / sheet).write_text("DAYS_POST_STROKE,CHRONICITY\n12,180\n")
    cohort = find_cohort(tmp_path)
    assert cohort.layout == "atlas-raw"
    (entry,) = cohort.entries
    assert (entry.centre, entry.days, entry.chronicity) == ("R052", 12, "acute")


@pytest.mark.parametrize("session", ["", "ses-2"])
@pytest.mark.parametrize(
    "mask", ["space-orig_label-lesion_mask", "label-L_mask", "label-lesion_roi", "desc-lesion_mask"]
)
def test_bids_with_masks_in_derivatives(session: str, mask: str, tmp_path: Path) -> None:
    inside = "/".join(part for part in ("sub-AB7", session, "anat") if part)
    stem = "_".join(part for part in ("sub-AB7", session) if part)
    _touch(tmp_path, f"{inside}/{stem}_T1w.nii.gz", f"derivatives/masks/{inside}/{stem}_{mask}.nii.gz")
    _touch(tmp_path, f"derivatives/other/{inside}/{stem}_desc-preproc_T1w.nii.gz")
    (tmp_path / "participants.tsv").write_text("participant_id\tsite\nsub-AB7\tLyon\n")
    cohort = find_cohort(tmp_path)
    assert cohort.layout == "bids"
    (entry,) = cohort.entries
    assert (entry.case, entry.centre) == (stem, "Lyon")
    assert [path.name for path in entry.images] == [f"{stem}_T1w.nii.gz"]
    assert [path.name for path in entry.masks] == [f"{stem}_{mask}.nii.gz"]


def test_nnunet_raw(tmp_path: Path) -> None:
    _touch(
        tmp_path, "imagesTr/stroke_001_0000.nii.gz", "imagesTr/stroke_001_0001.nii.gz", "labelsTr/stroke_001.nii.gz",
        "imagesTs/stroke_002_0000.nii.gz", "dataset.json",
    )  # fmt: skip
    cohort = find_cohort(tmp_path)
    assert cohort.layout == "nnunet"
    assert [(e.case, len(e.images), len(e.masks), e.hidden) for e in cohort.entries] == [
        ("stroke_001", 1, 1, False), ("stroke_002", 1, 0, True),
    ]  # fmt: skip


def test_label_l_is_lesion_and_never_left(tmp_path: Path) -> None:
    """A left-hemisphere mask of another tool is no lesion; ATLAS' label-L is, on whichever side it lies."""
    image, mask = _atlas("Training/R001", "r001s001")
    _touch(tmp_path, image, mask, mask.replace("label-L_desc-T1lesion", "hemi-L_label-CST"))
    (entry,) = find_cohort(tmp_path).entries
    assert [path.name for path in entry.masks] == [Path(mask).name]


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoInput, match="holds no T1w scan"):
        find_cohort(_touch(tmp_path, "readme.txt", "sub-1_FLAIR.nii.gz"))
    with pytest.raises(NoInput, match="not a folder"):
        find_cohort(tmp_path / "nowhere")


def test_names_of_cases() -> None:
    assert case_of("sub-r001s001_ses-1_space-x_T1w.nii.gz") == "sub-r001s001_ses-1"
    assert case_of("sub-7_T1w.nii.gz") == "sub-7"
    assert case_of("stroke_001") == ""
