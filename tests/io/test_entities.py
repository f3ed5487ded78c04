"""Which files belong together by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from insula.io.entities import acquisition, entities_of, fitting, joined, session_of, uni_alone


def test_entities_are_read_in_order_and_from_names_that_are_not_quite_bids() -> None:
    name = "sub-01_ses-a_acq-mprage_run-2_space-orig_desc-x_T1w.nii.gz"
    entities = entities_of(name)
    assert joined(entities) == "sub-01_ses-a_acq-mprage_run-2_space-orig_desc-x"
    assert joined(acquisition(entities)) == "sub-01_ses-a_acq-mprage_run-2"
    assert session_of(entities) == "sub-01_ses-a"
    assert entities_of("study-sub-7_T1w.nii") == {"sub": "7"}
    assert entities_of("stroke_001.nii.gz") == {}


@pytest.mark.parametrize(
    ("mask", "scans", "right"),
    [
        ("sub-1_run-2_mask", ["sub-1_run-1", "sub-1_run-2"], [1]),
        ("sub-1_run-02_mask", ["sub-1_run-1", "sub-1_run-2"], [1]),
        ("sub-1_acq-MPRAGE_mask", ["sub-1_acq-fast", "sub-1_acq-mprage"], [1]),
        ("sub-1_rec-norm_mask", ["sub-1_rec-raw", "sub-1_rec-norm"], [1]),
        ("sub-1_echo-1_mask", ["sub-1_echo-1", "sub-1_echo-2"], [0]),
        ("sub-1_visit-2_mask", ["sub-1_visit-1", "sub-1_visit-2"], [1]),  # an entity of somebody's own
        ("sub-1_mask", ["sub-1_T1w", "sub-1_ce-gad"], [0]),
        ("sub-1_mask", ["sub-1_acq-a", "sub-1_run-1_acq-b"], [0, 1]),
        ("sub-1_mask", ["sub-1_run-1", "sub-1_run-2"], [0, 1]),
        ("sub-1_acq-a_mask", ["sub-1_acq-a_run-1", "sub-1_acq-a_run-2", "sub-1_acq-b"], [0, 1]),
        ("sub-1_mask", ["sub-1_ses-1", "sub-1_ses-2"], [0, 1]),
        ("sub-1_mask", ["sub-1_ses-1"], [0]),
        ("sub-1_run-2_mask", ["sub-1"], [0]),
        ("sub-1_run-2_mask", ["sub-1_run-1"], []),
        ("sub-1_mask", ["sub-01", "sub-11"], []),
        ("sub-1_space-MNI_mask", ["sub-1_T1w", "sub-1_space-MNI_T1w"], [1]),
        ("sub-1_label-L_mask", ["sub-1_space-MNI_T1w", "sub-1_T1w"], [1]),
        ("sub-1_space-orig_desc-T1lesion_mask", ["sub-1_space-orig_desc-brain_T1w", "sub-1_space-orig_T1w"], [1]),
        ("sub-1_hemi-L_label-L_mask", ["sub-1_T1w"], [0]),
    ],
)
def test_a_mask_belongs_to_the_scan_with_which_it_shares_most(mask: str, scans: list[str], right: list[int]) -> None:
    assert fitting(entities_of(mask), [entities_of(scan) for scan in scans]) == right


@pytest.mark.parametrize(
    "entity", "atlas cohort desc from hemi label mod mode model roi scale seg stat to xfm space res den".split()
)
def test_steps_of_processing_do_not_make_another_acquisition(entity: str) -> None:
    scan = entities_of("sub-1_run-2_T1w.nii")
    assert acquisition(entities_of(f"sub-1_run-2_{entity}-x_mask.nii")) == scan
    assert fitting(entities_of(f"sub-1_{entity}-x_mask"), [entities_of(f"sub-1_{entity}-y_T1w")]) == [0]


@pytest.mark.parametrize("entity", "chunk echo flip inv run split".split())
def test_numbers_may_have_zeros_in_front(entity: str) -> None:
    scans = [entities_of(f"sub-1_{entity}-{n}_T1w") for n in ("1", "2")]
    assert fitting(entities_of(f"sub-1_{entity}-02_mask"), scans) == [1]
    assert fitting(entities_of(f"sub-1_{entity}-2a_mask"), scans) == []  # no number


@pytest.mark.parametrize("entity", ["acq", "sub", "ses"])
def test_zeros_in_front_of_labels_count(entity: str) -> None:
    mask, scan = ({"sub": "1", entity: label} for label in ("01", "1"))
    assert fitting(mask, [scan]) == []


@pytest.mark.parametrize("entity", ["sub", "ses"])
def test_case_counts_in_subjects_and_sessions_and_in_nothing_else(entity: str) -> None:
    assert fitting({"sub": "a", entity: "A"}, [{"sub": "a", entity: "a"}]) == []
    assert fitting({"sub": "a", "acq": "A"}, [{"sub": "a", "acq": "a"}]) == [0]


@pytest.mark.parametrize(
    ("mask", "scans", "right"),
    [
        ("sub-1_res-hi_mask", ["sub-1_res-lo_T1w", "sub-1_res-hi_T1w"], [1]),
        ("sub-1_den-2_mask", ["sub-1_den-1_T1w", "sub-1_den-2_T1w"], [1]),
        ("sub-1_mask", ["sub-1_res-hi_T1w", "sub-1_T1w"], [1]),
        ("sub-1_desc-a_mask", ["sub-1_desc-b_T1w", "sub-1_desc-a_T1w"], [1]),
        ("sub-1_mask", ["sub-1_desc-a_T1w", "sub-1_T1w"], [1]),
        ("sub-1_desc-a_mask", ["sub-1_T1w", "sub-1_desc-a_T1w"], [1]),
    ],
)
def test_ties_go_to_the_masks_own_space_and_description(mask: str, scans: list[str], right: list[int]) -> None:
    assert fitting(entities_of(mask), [entities_of(scan) for scan in scans]) == right


def test_a_uni_image_counts_where_its_session_has_nothing_else() -> None:
    names = ["sub-1_UNIT1.nii.gz", "sub-2_ses-1_UNIT1.nii.gz", "sub-2_ses-1_T1w.nii.gz", "sub-2_ses-2_UNIT1.nii"]
    assert [path.name for path in uni_alone([Path(name) for name in names])] == [names[0], names[3]]
