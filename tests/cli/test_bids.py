"""`insula-bids`: a BIDS App, judged by the BIDS validator."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from cli.call import CommandResult
from corpus.files import nifti, packed
from insula.cli.bids import main
from insula.errors import Interrupted
from insula.io import FolderInUse, OutputFolder
from insula.predict import bids_files

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Two participants, one of them with two sessions."""
    root = tmp_path / "raw"
    for name in ("sub-01/ses-a/anat/sub-01_ses-a_T1w", "sub-01/ses-b/anat/sub-01_ses-b_T1w", "sub-02/anat/sub-02_T1w"):
        path = root / f"{name}.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(packed(nifti()))
    facts = {"Name": "phantoms", "BIDSVersion": "1.10.0", "License": "CC0", "Authors": ["phantom"]}
    (root / "dataset_description.json").write_text(json.dumps(facts))
    (root / "README").write_text("Phantoms, made by a test; nobody was scanned.\n" * 5)
    return root


def call(capsys: Capture, *arguments: object) -> CommandResult:
    with mock.patch.object(sys, "argv", ["insula-bids", *map(str, arguments)]), pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return CommandResult(int(stop.value.code or 0), printed.out, printed.err)


def _errors(folder: Path) -> list[object]:
    """What the BIDS validator calls an error."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run([validator, folder, "--format", "json"], capture_output=True, text=True, timeout=120)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert isinstance(issues, list)
    return [issue for issue in issues if issue["severity"] == "error"]


def test_participants_then_group_and_the_validator_finds_no_error(
    raw: Path, tiny_weights: Path, capsys: Capture
) -> None:
    out = raw / "derivatives" / "insula"
    options = ("--weights", tiny_weights, "--device", "cpu")
    result = call(capsys, raw, out, "participant", "--participant-label", "01", *options)
    assert (result.code, result.err) == (0, "")
    assert not (out / "sub-02").exists()
    assert call(capsys, raw, out, "participant", "--participant-label", "sub-02", *options).code == 0
    assert call(capsys, raw, out, "group").code == 0
    rows = (out / "results.tsv").read_text().splitlines()
    assert [row.split("\t")[:5] for row in rows[1:]] == [
        ["sub-01_ses-a", "01", "a", "", "done"],
        ["sub-01_ses-b", "01", "b", "", "done"],
        ["sub-02", "02", "", "", "done"],
    ]
    assert len(list(out.rglob("*_mask.nii.gz"))) == 3
    assert "3 segmented" in (out / "index.html").read_text()
    assert _errors(raw) == []
    assert _errors(out) == []


def test_a_brain_mask_is_valid_too_and_goes_with_a_refusal(raw: Path, brain_weights: Path, capsys: Capture) -> None:
    out = raw / "derivatives" / "insula"
    call_it = (raw, out, "participant", "--participant-label", "02", "--weights", brain_weights, "--device", "cpu")
    assert call(capsys, *call_it).code == 0
    assert sorted(path.name for path in out.rglob("*_mask.nii.gz")) == [
        "sub-02_space-orig_label-L_desc-insula_mask.nii.gz",
        "sub-02_space-orig_label-brain_desc-insula_mask.nii.gz",
    ]
    assert call(capsys, raw, out, "group").code == 0
    heads, row = [line.split("\t") for line in (out / "results.tsv").read_text().splitlines()]
    brain = dict(zip(heads, row, strict=True))
    assert 0 < float(brain["lesion_share"]) < 1 < float(brain["brain_volume_ml"])
    assert _errors(raw) == []
    assert _errors(out) == []
    scan = raw / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    scan.write_bytes(scan.read_bytes()[:3000])
    assert call(capsys, *call_it).code == 65
    assert [path.name for path in (out / "sub-02").rglob("sub-02*")] == ["sub-02_space-orig_desc-insula_record.json"]
    call(capsys, raw, out, "group")
    assert (out / "results.tsv").read_text().splitlines()[1].split("\t")[:7] == [
        "sub-02",
        "02",
        "",
        "",
        "refused",
        "",
        "",
    ]


def test_participants_at_the_same_time_into_one_folder_and_nothing_into_the_input(
    raw: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    for path in raw.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    raw.chmod(0o555)
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in (raw, *raw.rglob("*"))}
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from insula.cli.bids import main; main()", str(raw), str(out), "participant"]
    options = ["--weights", str(tiny_weights), "--device", "cpu"]
    runs = [
        subprocess.Popen(
            [*command, "--participant-label", label, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for label in ("01", "02")
    ]
    outputs = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert len(list(out.rglob("*_mask.nii.gz"))) == 3
    assert json.loads((out / "dataset_description.json").read_text())["DatasetType"] == "derivative"
    assert before == {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in (raw, *raw.rglob("*"))
    }
    for path in (raw, *raw.rglob("*")):
        path.chmod(0o755)


def test_the_files_of_the_dataset_are_written_under_the_lock_of_all_runs(
    raw: Path, tiny_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, held = tmp_path / "out", []

    def write(raw: Path, out: Path) -> None:
        with pytest.raises(FolderInUse), OutputFolder(out):
            raise AssertionError
        held.append(out)

    with mock.patch("insula.predict.write_bids_dataset", write):
        call(capsys, raw, out, "participant", "--participant-label", "02", "--weights", tiny_weights, "--device", "cpu")
    assert held == [out.resolve()]


def test_a_participant_that_another_run_holds_is_told_and_the_others_are_done(
    raw: Path, tiny_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    with OutputFolder(out / "sub-01"), mock.patch("insula.io.OTHERS_PATIENCE_S", 0):
        result = call(capsys, raw, out, "participant", "--weights", tiny_weights, "--device", "cpu")
    assert result.code == 1
    assert [line.split(": ")[1] for line in result.err.splitlines()] == ["sub-01_ses-a", "sub-01_ses-b"]
    assert "choose another output folder" in result.err
    assert [path.name for path in out.rglob("*_record.json")] == ["sub-02_space-orig_desc-insula_record.json"]


def test_a_run_that_ends_before_its_record_leaves_no_result(raw: Path, tiny_weights: Path, capsys: Capture) -> None:
    """The next one finds neither a record beside an old page, nor a page that is missing for good."""
    out = raw / "derivatives" / "insula"
    command = (raw, out, "participant", "--participant-label", "02", "--weights", tiny_weights, "--device", "cpu")
    call(capsys, *command)
    (record,) = out.rglob("*_record.json")
    page = next(out.glob("sub-02*.html"))
    before = page.read_bytes()
    real = bids_files.write_json

    def stopped(path: Path, content: object) -> None:
        if path == record:
            raise Interrupted(15)
        real(path, content)

    with mock.patch.object(bids_files, "write_json", stopped):
        assert call(capsys, *command, "--threshold", "0.9").code == 143
    assert not record.exists()
    assert page.read_bytes() != before
    assert "unchanged" not in call(capsys, *command, "--threshold", "0.9").out
    page.unlink()
    assert "unchanged" not in call(capsys, *command, "--threshold", "0.9").out
    assert page.exists()


def test_the_validator_would_tell(raw: Path, tiny_weights: Path, capsys: Capture) -> None:
    out = raw.parent / "out"
    call(capsys, raw, out, "participant", "--participant-label", "02", "--weights", tiny_weights, "--device", "cpu")
    mask = next(out.rglob("*_mask.nii.gz"))
    mask.rename(mask.with_name("sub-02_lesion.nii.gz"))
    assert _errors(out)


def test_an_edited_mask_is_kept_by_the_next_run(raw: Path, tiny_weights: Path, capsys: Capture) -> None:
    out, options = raw.parent / "out", ("--participant-label", "02", "--weights", tiny_weights, "--device", "cpu")
    call(capsys, raw, out, "participant", *options)
    (mask,) = (out / "sub-02").rglob("*_mask.nii.gz")
    edited = gzip.compress(gzip.decompress(mask.read_bytes())[:-1] + b"\1")
    mask.write_bytes(edited)
    result = call(capsys, raw, out, "participant", *options)
    assert result.code == 0 and "it is kept" in result.out
    assert mask.read_bytes() == edited
    assert "sub-02: unchanged" not in result.out


def test_a_refused_scan_leaves_nothing_to_be_believed(raw: Path, tiny_weights: Path, capsys: Capture) -> None:
    out = raw.parent / "out"
    options = ("--weights", tiny_weights, "--device", "cpu")
    call(capsys, raw, out, "participant", *options)
    scan = raw / "sub-02" / "anat" / "sub-02_T1w.nii.gz"
    scan.write_bytes(scan.read_bytes()[:3000])
    result = call(capsys, raw, out, "participant", *options)
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert result.err.startswith("insula: sub-02: ")
    assert [path.name for path in (out / "sub-02").rglob("sub-02*")] == ["sub-02_space-orig_desc-insula_record.json"]
    assert _errors(out) == []
    alone = call(capsys, raw, out, "participant", "--participant-label", "02", *options)
    assert alone.code == 65
    assert len(list((out / "sub-01").rglob("*_mask.nii.gz"))) == 2
    call(capsys, raw, out, "group")
    assert "sub-02\t02\t\t\trefused\t\t" in (out / "results.tsv").read_text()
    shutil.rmtree(out / "sub-02")


def test_rubbish_gets_one_line(raw: Path, capsys: Capture, tmp_path: Path) -> None:
    for arguments, code, message in (
        ((raw / "absent", tmp_path / "o", "participant"), 66, "absent"),
        ((raw, tmp_path / "o", "participant", "--participant-label", "07"), 66, "the participant 07"),
        ((raw, raw, "participant"), 2, "lies inside the dataset"),
        ((raw, raw / "results", "participant"), 2, "lies inside the dataset"),
        ((raw, tmp_path / "o", "participant", "--threshold", "3"), 2, "--threshold 3.0"),
        ((raw, tmp_path / "o", "group"), 66, "run the participant level first"),
        ((raw, tmp_path, "group"), 66, "holds no records"),
    ):
        result = call(capsys, *arguments)
        assert (result.code, result.err.count("\n")) == (code, 1), result
        assert message in result.err
    assert not (tmp_path / "o").exists()
    assert call(capsys, raw, tmp_path / "o", "everyone").code == 2


@pytest.mark.parametrize(("content", "message"), [(None, "is missing"), ("{", "is not JSON"), ("{}", "lacks Name")])
def test_a_poor_description_is_told_and_does_no_harm(
    content: str | None, message: str, raw: Path, tiny_weights: Path, capsys: Capture
) -> None:
    path = raw / "dataset_description.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    result = call(
        capsys,
        raw,
        raw.parent / "out",
        "participant",
        "--participant-label",
        "02",
        "--weights",
        tiny_weights,
        "--device",
        "cpu",
    )
    assert result.code == 0
    assert message in result.err
    assert result.err.count("\n") == 1


def test_entities_are_heard_and_what_is_passed_over_stands_on_the_index(
    raw: Path, tiny_weights: Path, tmp_path: Path, capsys: Capture
) -> None:
    anat, scan = raw / "sub-02" / "anat", (raw / "sub-02" / "anat" / "sub-02_T1w.nii.gz").read_bytes()
    for name in ("acq-x_ce-gad_T1w.nii.gz", "part-phase_T1w.nii.gz", "run-2_T1w.nii.gz", "run-2_T1w.nii"):
        (anat / f"sub-02_{name}").write_bytes(scan)
    (raw / "sub-03" / "anat").mkdir(parents=True)
    (raw / "sub-03" / "anat" / "sub-03_UNIT1.nii.gz").write_bytes(scan)
    (raw / "sub-04").mkdir()
    out = tmp_path / "out"
    result = call(capsys, raw, out, "participant", "--weights", tiny_weights, "--device", "cpu")
    assert result.code == 1
    lines = result.err.splitlines()
    assert lines[0].endswith(
        "sub-02_run-2_T1w.nii.gz would have the same result file, and it is unclear which is meant; keep one of them"
    )
    assert lines[1:] == [
        "insula: passed over: 1 image (sub-02_part-phase_T1w.nii.gz), by their names not T1w scans",
        "insula: 1 of 4 participants without a T1w scan: passed over (sub-04)",
    ]
    assert call(capsys, raw, out, "group").code == 0
    assert "passed over (sub-04)" in (out / "index.html").read_text()
    flags = {
        path.name.partition("_space")[0]: {flag["code"] for flag in json.loads(path.read_text()).get("flags", ())}
        for path in out.rglob("*_record.json")
    }
    assert {name for name, codes in flags.items() if "contrast-agent" in codes} == {"sub-02_acq-x_ce-gad"}
    assert {name for name, codes in flags.items() if "mp2rage-uni" in codes} == {"sub-03"}
