"""Every layout is recognised without being told, and its pairs are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.cohort import find_cohort
from insula.cohort.layout import case_of
from insula.errors import BadData, NoInput, UsageError
from insula.predict.bids import BidsScan, bids_paths

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
        tmp_path,
        *_atlas("ATLAS_2/Training/R001", "r001s001"),
        *_atlas("ATLAS_2/Training/R034", "r034s002"),
        _atlas("ATLAS_2/Testing/R027", "r027s001")[0],
        "ATLAS_2/Training/.DS_Store",
        "ATLAS_2/Training/R001/._x_T1w.nii.gz",
    )
    cohort = find_cohort(tmp_path)
    assert cohort.layout == "atlas-indi"
    assert [(e.case, e.centre, len(e.images), len(e.masks), e.hidden) for e in cohort.entries] == [
        ("sub-r001s001_ses-1", "R001", 1, 1, False),
        ("sub-r027s001_ses-1", "R027", 1, 0, True),
        ("sub-r034s002_ses-1", "R034", 1, 1, False),
    ]


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
        tmp_path,
        "imagesTr/stroke_001_0000.nii.gz",
        "imagesTr/stroke_001_0001.nii.gz",
        "labelsTr/stroke_001.nii.gz",
        "imagesTs/stroke_002_0000.nii.gz",
        "dataset.json",
    )
    cohort = find_cohort(tmp_path)
    assert cohort.layout == "nnunet"
    assert [(e.case, len(e.images), len(e.masks), e.hidden) for e in cohort.entries] == [
        ("stroke_001", 1, 1, False),
        ("stroke_002", 1, 0, True),
    ]


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


def test_what_was_predicted_is_never_taken_for_the_truth(tmp_path: Path) -> None:
    """`insula-bids` writes into derivatives/, where the truth of others lies."""
    scan = BidsScan(tmp_path / "x", "sub-1/anat/sub-1_T1w.nii.gz", {"sub": "1"})
    ours = bids_paths(scan, tmp_path / "derivatives" / "insula")
    corrected = ours.mask.name.replace("-insula_mask.nii.gz", "-corrected_mask.nii")
    edited = [ours.mask.with_name(name) for name in (corrected, f"{corrected}.gz")]
    written = (ours.mask, ours.network_mask, ours.prob, ours.lesions, *edited)
    names = [path.relative_to(tmp_path).as_posix() for path in written]
    _touch(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz", *names)
    assert find_cohort(tmp_path).entries[0].masks == ()
    name = "sub-1_space-orig_label-L_desc-corrected_mask.nii.gz"  # by another tool: nothing of ours is beside it
    _touch(tmp_path, f"derivatives/lesions/sub-1/anat/{name}")
    assert find_cohort(tmp_path).entries[0].mask.parts[-4:] == ("lesions", "sub-1", "anat", name)


def test_several_masks_are_no_truth(tmp_path: Path) -> None:
    image, mask = _atlas("Training/R001", "r001s001")
    (entry,) = find_cohort(_touch(tmp_path, image, mask, mask.replace("label-L_", "label-L_run-2_"))).entries
    with pytest.raises(BadData, match="sub-r001s001_ses-1 has 2 lesion masks"):
        _ = entry.mask


def test_folders_above_the_cohort_say_nothing_of_it(tmp_path: Path) -> None:
    """A part called test, a centre's number, derivatives: all of them further up."""
    root = tmp_path / "test" / "R123" / "derivatives" / "study"
    _touch(root, "sub-1/anat/sub-1_T1w.nii.gz", "derivatives/prep/sub-1/anat/sub-1_desc-preproc_T1w.nii.gz")
    (root / "participants.tsv").write_text("participant_id\tsite\nsub-1\tLyon\n")
    cohort = find_cohort(root)
    (entry,) = cohort.entries
    assert (cohort.layout, entry.centre, entry.hidden) == ("bids", "Lyon", False)
    assert [path.name for path in entry.images] == ["sub-1_T1w.nii.gz"]


def test_the_session_of_a_sheet_goes_before_its_subject_and_nothing_is_lost(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"sub-1/ses-{n}/anat/sub-1_ses-{n}_T1w.nii.gz" for n in (1, 2)))
    (tmp_path / "participants.tsv").write_text("participant_id\tsite\tdays_post_stroke\nsub-1\tLyon\t10\n")
    (tmp_path / "sub-1" / "sub-1_sessions.tsv").write_text("session_id\tdays_post_stroke\nses-2\t400\n")
    assert [(e.centre, e.days, e.chronicity) for e in find_cohort(tmp_path).entries] == [
        ("Lyon", 10, "acute"),
        ("Lyon", 400, "chronic"),
    ]


def test_sheets_reach_nnunets_names(tmp_path: Path) -> None:
    _touch(tmp_path, "imagesTr/stroke_001_0000.nii.gz", "labelsTr/stroke_001.nii.gz")
    (tmp_path / "participants.tsv").write_text("participant_id\tsession_id\tsite\nstroke_001\tn/a\tLyon\n")
    assert find_cohort(tmp_path).entries[0].centre == "Lyon"


@pytest.mark.parametrize("label", [0, -1])
def test_background_is_no_lesion_label(label: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"`label` {label} is not 1 or more"):
        find_cohort(_touch(tmp_path, *_atlas("Training/R001", "r001s001")), label=label)


def _lesion(stem: str) -> str:
    return f"derivatives/masks/{stem.split('_')[0]}/anat/{stem}_label-lesion_mask.nii.gz"


def _scan(stem: str, suffix: str = "T1w") -> str:
    return f"{stem.split('_')[0]}/anat/{stem}_{suffix}.nii.gz"


@pytest.mark.parametrize(
    ("beside", "taken"),
    [
        ("run-1", "run-2"),
        ("acq-fast", "acq-mprage"),
        ("rec-norm", "rec-raw"),
        ("echo-1", "echo-2"),
        ("ce-gad", "ce-none"),
    ],
)
def test_the_scan_that_a_mask_was_drawn_on_is_taken_and_the_other_is_named(
    beside: str, taken: str, tmp_path: Path
) -> None:
    _touch(tmp_path, _scan(f"sub-1_{beside}"), _scan(f"sub-1_{taken}"), _lesion(f"sub-1_{taken}"))
    cohort = find_cohort(tmp_path)
    (entry,) = cohort.entries
    assert (entry.case, entry.image.name) == (f"sub-1_{taken}", f"sub-1_{taken}_T1w.nii.gz")
    assert [path.name for path in entry.beside] == [f"sub-1_{beside}_T1w.nii.gz"]
    assert [f"1 T1w scan (sub-1_{beside}_T1w.nii.gz)" in note for note in cohort.notes] == [True]


def test_two_runs_with_two_masks_are_two_cases(tmp_path: Path) -> None:
    _touch(tmp_path, *(make(f"sub-1_run-{n}") for n in (1, 2) for make in (_scan, _lesion)))
    entries = find_cohort(tmp_path).entries
    assert [(e.case, e.subject, e.image.name, e.mask.name) for e in entries] == [
        (f"sub-1_run-{n}", "sub-1", f"sub-1_run-{n}_T1w.nii.gz", f"sub-1_run-{n}_label-lesion_mask.nii.gz")
        for n in (1, 2)
    ]


def test_a_mask_that_fits_two_scans_makes_neither_usable(tmp_path: Path) -> None:
    _touch(tmp_path, _scan("sub-1_run-1"), _scan("sub-1_run-2"), _lesion("sub-1"))
    for entry in find_cohort(tmp_path).entries:
        for use in (lambda e: e.image, lambda e: e.mask):
            with pytest.raises(BadData, match=r"sub-1_run-\d has a mask .* that fits 2 scans by its name"):
                use(entry)


@pytest.mark.parametrize("ending", [".nii", "_label-lesion_mask.nii"])
def test_one_name_as_nii_and_as_nii_gz_is_refused(ending: str, tmp_path: Path) -> None:
    _touch(tmp_path, _scan("sub-1"), _lesion("sub-1"))
    for path in [*tmp_path.rglob("*.nii.gz")]:
        if path.name.removesuffix(".gz").endswith(ending):
            path.with_name(path.name.removesuffix(".gz")).touch()
    (entry,) = find_cohort(tmp_path).entries
    with pytest.raises(BadData, match="of one name|2 lesion masks"):
        _ = (entry.image, entry.mask)


def test_phase_images_are_no_scans_and_a_uni_image_is_one_where_there_is_no_t1w(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        _scan("sub-1_part-mag"),
        _scan("sub-1_part-phase"),
        _lesion("sub-1"),
        _scan("sub-2", "UNIT1"),
        _lesion("sub-2"),
        _scan("sub-3"),
        _scan("sub-3", "UNIT1"),
        _lesion("sub-3"),
        _scan("sub-4", "FLAIR"),
    )
    cohort = find_cohort(tmp_path)
    assert [(entry.case, entry.image.name) for entry in cohort.entries] == [
        ("sub-1", "sub-1_part-mag_T1w.nii.gz"),
        ("sub-2", "sub-2_UNIT1.nii.gz"),
        ("sub-3", "sub-3_T1w.nii.gz"),
    ]
    images, people = cohort.notes
    assert "3 images (sub-1_part-phase_T1w.nii.gz, sub-3_UNIT1.nii.gz, sub-4_FLAIR.nii.gz)" in images
    assert people == "1 of 4 participants without a T1w scan: passed over (sub-4)"


def test_a_scan_and_a_mask_of_different_runs_are_no_pair(tmp_path: Path) -> None:
    _touch(tmp_path, _scan("sub-1_run-1"), _lesion("sub-1_run-2"))
    assert [(e.case, len(e.images), len(e.masks)) for e in find_cohort(tmp_path).entries] == [
        ("sub-1_run-1", 1, 0),
        ("sub-1_run-2", 0, 1),
    ]


def test_a_session_without_a_scan_is_named_and_linked_folders_are_entered(tmp_path: Path) -> None:
    _touch(tmp_path / "disk", "ses-1/anat/sub-1_ses-1_T1w.nii.gz")
    _touch(tmp_path / "data", "sub-1/ses-2/anat/sub-1_ses-2_FLAIR.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz")
    (tmp_path / "data" / "sub-1" / "ses-1").symlink_to(tmp_path / "disk" / "ses-1")
    cohort = find_cohort(tmp_path / "data")
    assert [entry.case for entry in cohort.entries] == ["sub-1_ses-1", "sub-2"]
    assert "1 of 2 sessions without a T1w scan: passed over (sub-1_ses-2)" in cohort.notes


def test_a_sheet_of_another_name_is_named(tmp_path: Path) -> None:
    _touch(tmp_path, _scan("sub-1"), _lesion("sub-1"), "demographics.csv", "sub-1/anat/sub-1_events.tsv")
    assert find_cohort(tmp_path).notes == (
        "passed over: 1 sheet (demographics.csv) with neither participants nor metadata in the name",
    )


def test_single_inversions_are_no_scans_and_a_mask_of_nobody_is_named(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        _scan("sub-1_inv-1"),
        _scan("sub-1_inv-2"),
        _scan("sub-1", "UNIT1"),
        _lesion("sub-1"),
        "lesion_mask.nii.gz",
    )
    cohort = find_cohort(tmp_path)
    assert [(entry.case, entry.image.name) for entry in cohort.entries] == [("sub-1", "sub-1_UNIT1.nii.gz")]
    assert "3 images (lesion_mask.nii.gz, sub-1_inv-1_T1w.nii.gz, sub-1_inv-2_T1w.nii.gz)" in cohort.notes[0]


def test_a_scan_beside_two_cases_is_counted_once(tmp_path: Path) -> None:
    scans = [f"sub-1_acq-{a}_run-{n}" for a in "ab" for n in (1, 2)]
    _touch(tmp_path, *map(_scan, scans), _lesion(scans[0]), _lesion(scans[3]))
    (note,) = find_cohort(tmp_path).notes
    assert note.startswith(
        "passed over: 2 T1w scans (sub-1_acq-a_run-2_T1w.nii.gz, sub-1_acq-b_run-1_T1w.nii.gz) without"
    )
