"""A served BIDS derivative: board, files, verdicts and corrections as of any study, in the derivative's own layout."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from corpus.files import IMAGE, nifti, packed
from insula.cli.bids import main as bids_main
from insula.errors import NoInput
from insula.io import FolderInUse, OutputFolder, read_mask, write_json
from insula.predict import BidsPaths
from insula.serve.study import StudyFolder
from insula.serve.study import folder as folder_module
from insula.study import BidsResults, read_reviews
from report.records import done_record
from serve.conftest import service
from serve.study.conftest import edited
from study.derivative import raw_scan

CASES = ("sub-1_ses-a_run-2", "sub-2")


@pytest.fixture(scope="session")
def dataset(brain_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with a derivative: a scan with session and run, one without, and one that could not be segmented."""
    raw = tmp_path_factory.mktemp("bids") / "raw"
    contents = [packed(nifti(np.roll(IMAGE, number, axis=1))) for number in range(len(CASES))]
    for case, content in zip((*CASES, "sub-3"), (*contents, b"damaged"), strict=True):
        scan = raw / raw_scan(case)
        scan.parent.mkdir(parents=True)
        scan.write_bytes(content)
    facts = {"Name": "phantoms", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["phantom"]}
    (raw / "dataset_description.json").write_text(json.dumps(facts))
    arguments = ["participant", "--weights", str(brain_weights), "--device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["insula-bids", str(raw), str(raw / "derivatives" / "insula"), *arguments])
        with pytest.raises(SystemExit) as end:
            bids_main()
    assert end.value.code == 1  # one of the scans was refused
    return raw


@pytest.fixture
def out(dataset: Path, tmp_path: Path) -> Path:
    """A derivative that a test may change."""
    shutil.copytree(dataset, tmp_path / "raw")
    return tmp_path / "raw" / "derivatives" / "insula"


@pytest.fixture
def study(out: Path, tmp_path: Path) -> Iterator[StudyFolder]:
    """The derivative, served without naming its scans."""
    study = StudyFolder(out, views=tmp_path / "views")
    yield study
    study.close()


@pytest.fixture(scope="module")
def served(dataset: Path, brain_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The service over a derivative, started without naming its scans."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(dataset, folder / "raw")
    out = folder / "raw" / "derivatives" / "insula"
    with service(folder / "service", brain_weights, wait=False, more=["--study", str(out)]) as running:
        running.results = out
        yield running


def _paths(out: Path, case: str) -> BidsPaths:
    return BidsResults(out).paths(case)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "results.tsv").open(encoding="utf-8", newline="") as table:
        return {row["case"]: row for row in csv.DictReader(table, delimiter="\t")}


def _sent(out: Path, case: str, folder: Path, *, shift: int = 0) -> Path:
    path = folder / f"sent{shift}.nii"
    path.write_bytes(edited(_paths(out, case).mask, shift=shift))
    return path


def _errors(folder: Path) -> list[object]:
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, folder, "--format", "json"], capture_output=True, text=True, timeout=120)
    return [issue for issue in json.loads(done.stdout)["issues"]["issues"] if issue["severity"] == "error"]


@pytest.mark.parametrize("case", CASES)
def test_the_board_and_the_files_of_each_case_are_given_out(case: str, served: Any) -> None:
    board = served.client.get("/study/").text
    assert f'data-case="{case}"' in board and f'href="files/{case}.html"' in board and f"../?case={case}" in board
    assert board.count("data:image/png") == len(CASES) and "too short" in board  # why sub-3 was refused
    places, paths = served.client.get(f"/study/cases/{case}.json").json(), _paths(served.results, case)
    for kind in ("mask", "prob", "brain", "record", "page"):
        assert served.client.get(f"/{places[kind]}").content == getattr(paths, kind).read_bytes(), kind
    assert served.client.get(f"/{places['scan']}").status_code == 200
    assert served.client.get("/study/files/results.tsv").content == (served.results / "results.tsv").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/study/files/dataset_description.json",
        "/study/files/sub-2",
        "/study/files/sub-2%2Fanat%2Fsub-2_space-orig_desc-insula_record.json",
        "/study/files/sub-2_T1w.nii.gz",
        "/study/files/sub-2_space-orig_label-L_desc-insula_mask.json",
        "/study/cases/sub-3.json",
        "/study/cases/sub-3/scan.nii.gz",
        "/study/cases/sub-1.json",
    ],
)
def test_nothing_else_of_the_derivative_or_its_dataset_is_given_out(path: str, served: Any) -> None:
    assert served.client.get(path).status_code == 404


def test_verdict_and_mask_that_are_sent_are_those_of_the_derivative(served: Any, tmp_path: Path) -> None:
    case, out = CASES[0], served.results
    paths = _paths(out, case)
    network, before = paths.mask.read_bytes(), _json(paths.record)
    sidecar = paths.mask.with_name(paths.mask.name.replace(".nii.gz", ".json"))
    sources = _json(sidecar)["Sources"]
    sent = _sent(out, case, tmp_path)
    answer: httpx.Response = served.client.put(
        f"/study/cases/{case}/mask",
        content=sent.read_bytes(),
        headers={"If-Match": f'"{before["sha256"]["mask"]}"'},
    )
    assert answer.status_code == 200 and answer.json() == _json(paths.record)
    assert (read_mask(paths.mask).voxels == read_mask(sent).voxels).all()
    assert paths.network_mask.read_bytes() == network
    assert (_json(sidecar)["Manual"], _json(sidecar)["Sources"]) == (True, sources)
    assert sources == [f"bids:raw:{raw_scan(case)}"]
    assert "corrected by hand" in served.client.get(f"/study/files/{case}.html").text
    verdict = {"case": case, "rater": "anna", "verdict": "fix", "note": "", "reviewed": "2026-05-01T10:00:00Z"}
    verdict["mask_sha256"] = answer.json()["sha256"]["mask"]
    assert served.client.post("/study/verdicts", json=[verdict]).status_code == 200
    assert [review.verdict for review in read_reviews(out / "review.tsv")] == ["fix"]
    assert served.client.get("/study/live").json()["masks"][case] == verdict["mask_sha256"]
    assert _errors(out) == []


def test_tables_of_the_derivative_follow(study: StudyFolder, out: Path, tmp_path: Path) -> None:
    for shift in (0, 8):
        assert study.correct(CASES[1], _sent(out, CASES[1], tmp_path, shift=shift)).outcome == "corrected"
    study.close()
    assert {case: row["mask"] for case, row in _rows(out).items()} == {
        CASES[0]: "network",
        CASES[1]: "corrected",
        "sub-3": "",
    }
    assert float(_rows(out)[CASES[1]]["volume_ml"]) == _json(_paths(out, CASES[1]).record)["volume_ml"]
    assert len(list(out.rglob("sub-2_*_corrected-*_mask.nii.gz"))) == 1  # the first of the two


def test_a_run_that_writes_one_subject_holds_up_only_what_is_of_it(
    study: StudyFolder, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_PATIENCE_S", 0.05)
    before = _paths(out, CASES[0]).mask.read_bytes()
    with OutputFolder(out / "sub-1"):
        with pytest.raises(FolderInUse):
            study.correct(CASES[0], _sent(out, CASES[0], tmp_path))
        assert study.correct(CASES[1], _sent(out, CASES[1], tmp_path)).outcome == "corrected"
    assert _paths(out, CASES[0]).mask.read_bytes() == before


def test_a_dataset_that_has_moved_is_named_and_may_be_given(out: Path, tmp_path: Path) -> None:
    moved = out.rename(tmp_path / "elsewhere")
    for scans in ([], [str(tmp_path / "raw")]):
        study = StudyFolder(moved, scans, views=tmp_path / "views")
        if scans:
            assert study.view("sub-2").is_file()
        else:
            with pytest.raises(NoInput, match=r"sub-2/anat/sub-2_T1w\.nii\.gz, in .*, does not exist; give the folder"):
                study.view("sub-2")
        study.close()


def test_no_record_leads_out_of_the_derivative(study: StudyFolder, out: Path) -> None:
    cases = set(study.records())
    (out.parent / "x.html").write_text("secret")
    place = _paths(out, "sub-2").record
    write_json(place.with_name("sub-9_desc-insula_record.json"), done_record("sub-../../../sub-9"))
    record = _json(place)
    write_json(place, {**record, "files": {**record["files"], "page": "../x.html", "brain": "../anat"}})
    assert set(study.records()) == cases
    for name in ("../x.html", "../anat", "sub-9_desc-insula_record.json"):
        with pytest.raises(NoInput, match="does not belong"):
            study.file(name)


def test_the_board_counts_the_masks_of_another_program(study: StudyFolder, out: Path) -> None:
    assert "passed over" not in study.index()
    mask = _paths(out, "sub-2").mask
    shutil.copy(mask, mask.with_name("sub-2_label-lesion_mask.nii.gz"))
    assert "passed over: 1 lesion mask (sub-2_label-lesion_mask.nii.gz) without a record by insula." in study.index()
