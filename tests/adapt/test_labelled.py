"""Which masks a person stands for, and to which scans they belong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from adapt.scans import case, write_files
from insula.adapt import find_labelled
from insula.errors import BadData, NoInput
from insula.report import Review
from insula.study import write_reviews
from report.records import MASKS, done_record
from study.derivative import CASES, write_derivative


def test_masks_are_brought_to_the_scans_that_their_names_begin_with(tmp_path: Path) -> None:
    write_files(tmp_path, 5)
    found = find_labelled(tmp_path / "masks", [str(tmp_path / "scans")])
    assert list(found) == [f"sub-{n:02d}_T1w" for n in range(5)]
    read = found["sub-03_T1w"]()
    assert read.subject == "03"
    assert np.array_equal(read.truth.voxels, case(3).truth.voxels)
    assert np.allclose(read.scan.image, case(3).scan.image, rtol=1e-3, atol=1)


def test_of_results_only_corrected_and_passed_masks_count(tmp_path: Path) -> None:
    correction = {"network_volume_ml": 1.0, "added_ml": 0.0, "removed_ml": 0.0, "dice": 1.0}
    records = [
        done_record("a", correction=correction),
        done_record("b"),
        done_record("c"),
        done_record("d"),
        *(done_record(f"e{n}", correction=correction) for n in range(3)),
        done_record("f", correction=correction, mask_sha256="1" * 64),
    ]
    for record in records:
        (tmp_path / f"{record['case']}.json").write_text(json.dumps(record))
    verdicts = {"b": ("pass", MASKS["b"]), "c": ("fix", MASKS["c"]), "d": ("pass", "0" * 64)}  # d: of an earlier mask
    verdicts["f"] = ("fail", "1" * 64)
    write_reviews(
        tmp_path,
        [
            Review(case=case, rater="anna", verdict=verdict, reviewed="2026-05-01", mask_sha256=sha)
            for case, (verdict, sha) in verdicts.items()
        ],
    )
    assert list(find_labelled(tmp_path, [])) == ["a", "b", "e0", "e1", "e2"]


def test_too_few_masks_are_counted(tmp_path: Path) -> None:
    write_files(tmp_path, 4)
    with pytest.raises(NoInput, match="stands for in 4 of the 5 cases that it takes; add masks"):
        find_labelled(tmp_path / "masks", [str(tmp_path / "scans")])


def test_a_mask_without_a_scan_and_two_for_one_scan_are_refused(tmp_path: Path) -> None:
    write_files(tmp_path, 5)
    scans = [str(tmp_path / "scans" / f"sub-{n:02d}_T1w.nii.gz") for n in range(4)]
    with pytest.raises(NoInput, match=r"sub-04_T1w_mask.nii.gz has no scan"):
        find_labelled(tmp_path / "masks", scans)
    mask = tmp_path / "masks" / "sub-02_T1w_mask.nii.gz"
    mask.with_name("sub-02_T1w_mask2.nii.gz").write_bytes(mask.read_bytes())
    with pytest.raises(BadData, match="both belong to sub-02_T1w"):
        find_labelled(tmp_path / "masks", [str(tmp_path / "scans")])
    with pytest.raises(NoInput, match="is a scan, not a mask; put the masks"):
        find_labelled(tmp_path / "scans", [str(tmp_path / "scans")])
    with pytest.raises(NoInput, match="does not exist"):
        find_labelled(tmp_path / "nowhere", [])


def test_a_mask_that_was_changed_after_its_verdict_is_refused(tmp_path: Path) -> None:
    write_files(tmp_path, 1)
    mask = tmp_path / "masks" / "sub-00_T1w_mask.nii.gz"
    record = done_record("sub-00_T1w", mask_sha256=hashlib.sha256(mask.read_bytes()).hexdigest())
    record["files"] = {**record["files"], "mask": mask.name}
    for n in range(5):
        (tmp_path / "masks" / f"c{n}.json").write_text(json.dumps({**record, "case": f"c{n}", "correction": {}}))
    found = find_labelled(tmp_path / "masks", [str(tmp_path / "scans")])
    mask.write_bytes(mask.read_bytes() + b" ")
    with pytest.raises(BadData, match="the mask of c1 was changed since it was written or passed; take it in"):
        found["c1"]()


def test_corrected_masks_of_a_derivative_find_their_scans_by_themselves(tmp_path: Path) -> None:
    out = write_derivative(tmp_path / "raw")
    found = find_labelled(out, [])
    assert list(found) == list(CASES)  # sub-5 failed
    for number, name in enumerate(CASES):
        read = found[name]()
        assert read.subject == name[4] and read.scan.name == name
        assert np.array_equal(read.truth.voxels, case(number).truth.voxels)
        assert np.allclose(read.scan.image, case(number).scan.image, rtol=1e-3, atol=1)


def test_verdicts_of_a_derivative_count_as_in_any_study(tmp_path: Path) -> None:
    out = write_derivative(tmp_path / "raw", corrected=CASES[:4])
    with pytest.raises(NoInput, match="in 4 of the 5 cases that it takes; correct masks"):
        find_labelled(out, [])
    mask = next(out.glob("sub-4/anat/*_mask.nii.gz"))
    verdict = Review(
        case="sub-4",
        rater="anna",
        verdict="pass",
        reviewed="2026-05-01",
        mask_sha256=hashlib.sha256(mask.read_bytes()).hexdigest(),
    )
    write_reviews(out, [verdict])
    assert list(find_labelled(out, [])) == [*CASES[:4], "sub-4"]


def test_a_dataset_that_has_moved_is_named_and_found_where_it_is(tmp_path: Path) -> None:
    out = write_derivative(tmp_path / "raw").rename(tmp_path / "out")
    found = find_labelled(out, [])
    words = (
        r"the scan of sub-2_run-2 was not found: sub-2/anat/sub-2_run-2_T1w.nii.gz, in .* \(\.\./\.\.\), does not exist"
    )
    with pytest.raises(NoInput, match=words):
        found["sub-2_run-2"]()
    read = find_labelled(out, [str(tmp_path / "raw")])["sub-2_run-2"]()
    assert np.allclose(read.scan.image, case(3).scan.image, rtol=1e-3, atol=1)


def test_a_derivative_by_another_program_and_the_dataset_itself_are_refused(tmp_path: Path) -> None:
    out = write_derivative(tmp_path / "raw")
    with pytest.raises(NoInput, match=f"is the dataset, not the derivative of it; name {out}"):
        find_labelled(tmp_path / "raw", [str(tmp_path / "raw")])
    for record in out.rglob("*_record.json"):
        record.unlink()
    (out / "dataset_description.json").write_text(json.dumps({"GeneratedBy": [{"Name": "lesiontool"}]}))
    with pytest.raises(
        NoInput, match="a BIDS derivative that lesiontool wrote: .*; copy its lesion masks into a folder"
    ):
        find_labelled(out, [str(tmp_path / "raw")])
