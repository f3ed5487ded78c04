"""The two layouts of a folder of results: where its files are, what belongs to it, and what a folder is instead."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from insula.errors import NoInput
from insula.io import FolderInUse, OutputFolder, read_mask, write_json, write_mask
from insula.predict import ResultRecord, read_record, result_paths
from insula.study import (
    BidsResults,
    FlatResults,
    Overview,
    earlier_records,
    needs_scans,
    no_results,
    other_program,
    passed_over,
    results_in,
)
from report.records import done_record
from study.derivative import CASES, raw_scan, write_derivative


def _record(results: BidsResults, case: str) -> ResultRecord:
    record = read_record(results.paths(case).record)
    assert record is not None and record["outcome"] == "done"
    return record


def _describe(folder: Path, **facts: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(json.dumps(facts))
    return folder


def test_sessions_runs_and_failed_participants_are_cases(tmp_path: Path) -> None:
    results = results_in(write_derivative(tmp_path / "raw"))
    records = earlier_records(results)
    assert isinstance(results, BidsResults) and set(records) == {*CASES, "sub-5"}
    for case in CASES:
        assert results.file(_record(results, case), "mask").is_file()
        assert results.file(_record(results, case), "page").read_text() == f"the page of {case}"


def test_a_copy_of_a_record_elsewhere_is_of_no_case(tmp_path: Path) -> None:
    results = BidsResults(write_derivative(tmp_path / "raw"))
    before, place = set(results.records()), results.paths("sub-3").record
    for folder in (place.parent / "backup", results.path / "sub-1" / "ses-a" / "backup"):
        folder.mkdir()
        shutil.copy(place, folder / place.name)
    assert set(results.records()) == before
    copy = place.with_name("sub-3_space-orig_desc-insula_copy_record.json")
    renamed = place.with_name("sub-9_space-orig_desc-insula_record.json")
    for other in (copy, renamed):
        write_json(other, done_record("sub-3", volume_ml=99.0))
        assert results.record(other) is None
    assert results.record(place) == earlier_records(results)["sub-3"] == _record(results, "sub-3")
    overview = Overview(results.path)
    assert overview.read(results) == len(before)
    write_json(copy, done_record("sub-../../../outside"))
    assert set(earlier_records(results)) == {*CASES, "sub-5"}


def test_files_of_a_flat_folder_lie_side_by_side(tmp_path: Path) -> None:
    results, record = FlatResults(tmp_path), done_record("a")
    write_json(result_paths(tmp_path, "a").record, record)
    assert results.file(record, "mask") == tmp_path / "a_mask.nii.gz"
    assert earlier_records(results) == {"a": record} and results.expected_scan("a") is None


def test_scans_are_needed_but_for_a_derivative_with_results(tmp_path: Path) -> None:
    derivative = write_derivative(tmp_path / "raw")
    assert not needs_scans(derivative)
    assert needs_scans(tmp_path)
    with pytest.raises(NoInput, match=f"is the dataset, not the derivative of it; name {derivative}"):
        needs_scans(tmp_path / "raw")
    with pytest.raises(NoInput, match="does not exist"):
        needs_scans(tmp_path / "nowhere")
    with pytest.raises(NoInput, match="that lesiontool wrote: it holds no results of insula"):
        needs_scans(_describe(tmp_path / "other", DatasetType="derivative", GeneratedBy=[{"Name": "lesiontool"}]))


@pytest.mark.parametrize("case", CASES)
def test_the_scan_of_a_case_is_where_sources_and_links_say(case: str, tmp_path: Path) -> None:
    out = write_derivative(tmp_path / "raw")
    expected = BidsResults(out).expected_scan(case)
    assert expected is not None and (expected.inside, expected.dataset) == (raw_scan(case), "../..")
    assert expected.path.samefile(tmp_path / "raw" / raw_scan(case))
    mask = BidsResults(out).paths(case).mask
    sidecar = mask.with_name(mask.name.replace(".nii.gz", ".json"))
    sidecar.write_text(json.dumps({"Sources": [f"bids:raw:{raw_scan(case).replace('_T1w', '_UNIT1')}"]}))
    expected = BidsResults(out).expected_scan(case)
    assert expected is not None and expected.inside.endswith(f"{case}_UNIT1.nii.gz")


@pytest.mark.parametrize(
    "source",
    [f"bids:raw:{place}" for place in ("../../secret.nii.gz", "/etc/secret.nii.gz", "//etc/secret.nii.gz", "", ".")],
)
def test_a_source_outside_the_dataset_is_not_looked_at(source: str, tmp_path: Path) -> None:
    results = BidsResults(write_derivative(tmp_path / "raw"))
    sidecar = results.paths("sub-3").mask.with_name("sub-3_space-orig_label-L_desc-insula_mask.json")
    sidecar.write_text(json.dumps({"Sources": [source]}))
    assert results.expected_scan("sub-3") is None


@pytest.mark.parametrize("links", [None, {}, {"raw": 5}, {"raw": "https://example.org/raw"}, "raw"])
def test_without_a_link_to_a_dataset_no_scan_is_expected(links: object, tmp_path: Path) -> None:
    out = write_derivative(tmp_path / "raw")
    _describe(out, Name="x", DatasetLinks=links)
    assert BidsResults(out).expected_scan("sub-3") is None


def test_each_lock_is_of_its_own_files_and_waits_as_long_as_is_said(tmp_path: Path) -> None:
    results = BidsResults(write_derivative(tmp_path / "raw"))
    with OutputFolder(results.path / "sub-2"), results.lock():
        with results.lock_case("sub-1_ses-a"), results.lock_tables(0):
            pass
        with pytest.raises(FolderInUse, match="choose another folder"), results.lock_case("sub-2_run-1", 0.01):
            pass
    flat = FlatResults(tmp_path / "flat")
    with flat.lock(), flat.lock_case("a"), flat.lock_tables(), pytest.raises(FolderInUse), flat.lock(0.01):
        pass


def test_lesion_masks_of_another_program_are_counted_and_those_of_results_are_not(tmp_path: Path) -> None:
    results = BidsResults(write_derivative(tmp_path / "raw"))
    mask = results.paths("sub-3").mask
    for name in ("-network_mask.nii.gz", "-corrected_mask.nii", "-insula_corrected-0123abcd_mask.nii.gz"):
        shutil.copy(mask, mask.with_name(mask.name.replace("-insula_mask.nii.gz", name)))
    write_mask(results.paths("sub-3").brain, read_mask(mask))
    cases = earlier_records(results)
    assert passed_over(results, cases) == ""
    for name in ("sub-3_label-lesion_mask.nii.gz", "sub-3_label-L_desc-manual_mask.nii.gz"):
        shutil.copy(mask, mask.with_name(name))
    line = passed_over(results, cases)
    assert line.startswith("passed over: 2 lesion masks (sub-3_label-L_desc-manual_mask.nii.gz, sub-3_label-lesion_")
    assert passed_over(results, set(cases) - {"sub-4"}).startswith("passed over: 3 lesion masks")
    assert passed_over(FlatResults(results.path), cases) == ""


def test_a_folder_without_results_is_called_what_it_is(tmp_path: Path) -> None:
    assert "nowhere does not exist; name the folder" in str(no_results(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    assert "empty holds no results" in str(no_results(tmp_path / "empty"))
    out = write_derivative(tmp_path / "raw")
    assert str(no_results(tmp_path / "raw")).endswith(f"is the dataset, not the derivative of it; name {out}")
    prep = _describe(tmp_path / "prep", DatasetType="derivative", GeneratedBy=[{"Name": "prep"}, {"Name": "lesions"}])
    assert "is a BIDS derivative that prep and lesions wrote: it holds no results of insula" in str(no_results(prep))


def test_only_a_derivative_by_another_program_has_one(tmp_path: Path) -> None:
    assert other_program(tmp_path) == other_program(write_derivative(tmp_path / "raw")) == ""
    assert other_program(tmp_path / "raw") == ""
    assert other_program(_describe(tmp_path / "a", DatasetType="derivative")) == "another program"
    assert other_program(_describe(tmp_path / "b", GeneratedBy="prep", DatasetType="derivative")) == "another program"
    assert other_program(_describe(tmp_path / "c", GeneratedBy=[{"Name": "prep"}])) == "prep"
