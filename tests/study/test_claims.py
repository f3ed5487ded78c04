"""Two inputs never share a result, and a name is never too odd to be done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from cli.call import call
from corpus.files import IMAGE, nifti, packed
from insula.cli.bids import main
from insula.study.inputs import name_cases
from io_series import write_head

_OTHER = np.roll(IMAGE, 2, axis=1)


def _results(out: Path) -> dict[str, str]:
    """Case -> SHA-256 of the scan; every case has all its files, and no file belongs to none."""
    results = {}
    for path in out.glob("*.json"):
        if path.stem in ("lesions", "results"):  # what the columns of the tables mean
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["case"] == path.stem or len(record["case"]) > 200  # what is too long for a file is cut
        if record["outcome"] == "done":
            assert all((out / name).is_file() for name in record["files"].values())
            assert f">{record['case']}<" in (out / record["files"]["page"]).read_text(encoding="utf-8")
            results[record["case"]] = record["scan"]["sha256"]
    assert len(list(out.glob("*_mask.nii.gz"))) == len(results)
    return results


@pytest.mark.parametrize(
    ("first_name", "second_name"),
    [
        ("a/scan.nii", "a/scan.nii.gz"),
        ("a/scan.nii", "b/scan.nii"),
        ("a/scan.nii.gz", "a/SCAN.nii.gz"),
        ("a/\u00e9.nii", "a/e\u0301.nii"),
        ("d1/sub-01/anat/sub-01_T1w.nii.gz", "d2/sub-01/anat/sub-01_T1w.nii.gz"),
        ("a/scan.nii.xz", "a/scan.nii.bz2"),
        ("a/" + "x" * 240 + ".nii", "a/" + "x" * 240 + ".nii.gz"),
        ("a/index.nii", "b/other.nii"),
        ("a/stra\u00dfe.nii", "a/STRASSE.nii"),
    ],
)
@pytest.mark.parametrize("runs", [1, 2])
def test_two_scans_of_one_name_have_two_results(
    first_name: str, second_name: str, runs: int, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for name, image in ((first_name, IMAGE), (second_name, _OTHER)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(nifti(image) if name.endswith(".nii") else packed(nifti(image)))
    calls = (
        [(tmp_path / first_name, tmp_path / second_name)]
        if runs == 1
        else [(tmp_path / first_name,), (tmp_path / second_name,)]
    )
    for paths in calls:
        assert call(capsys, "segment", *paths, "--weights", tiny_weights, "--out", out).code == 0
    first = _results(out)
    assert len(set(first.values())) == 2
    for paths in calls:  # the same again is the same
        assert call(capsys, "segment", *paths, "--weights", tiny_weights, "--out", out).code == 0
    assert _results(out) == first
    index = (out / "index.html").read_text(encoding="utf-8")
    assert "segmented" in index
    assert len({unicodedata.normalize("NFC", name).casefold() for name in first}) == 2


def test_names_that_become_equal_are_told_apart(tmp_path: Path) -> None:
    odd = [tmp_path / os.fsdecode(b"a\xfc.nii"), tmp_path / os.fsdecode(b"a\xf6.nii"), tmp_path / "a_.nii"]
    names = name_cases([*odd, tmp_path / "b.nii", tmp_path / "b.nii.gz", tmp_path / "b-2.nii", tmp_path / "B-2.nii"])
    assert len({name.casefold() for name in names}) == 7
    assert all(name.encode() for name in names)


def test_another_scan_never_replaces_a_result_and_says_so(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "scan.nii", tmp_path / "out"
    path.write_bytes(nifti())
    call(capsys, "segment", path, "--weights", tiny_weights, "--out", out)
    before = _results(out)
    path.write_bytes(nifti(_OTHER))
    result = call(capsys, "segment", path, "--weights", tiny_weights, "--out", out)
    after = _results(out)
    assert result.code == 0
    assert before.items() < after.items()
    assert "scan is called scan-" in result.err
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "scan.nii").write_bytes(b"broken")
    assert call(capsys, "segment", tmp_path / "far" / "scan.nii", "--weights", tiny_weights, "--out", out).code == 65
    assert _results(out) == after


def test_a_refusal_of_the_same_file_takes_its_result_away(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "scan.nii", tmp_path / "out"
    path.write_bytes(nifti())
    call(capsys, "segment", path, "--weights", tiny_weights, "--out", out)
    path.write_bytes(nifti()[:-9])
    assert call(capsys, "segment", path, "--weights", tiny_weights, "--out", out).code == 65
    assert json.loads((out / "scan.json").read_text())["outcome"] == "refused"
    assert not list(out.glob("*.nii.gz"))


def test_a_sidecar_in_the_output_folder_is_no_record_to_replace(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "scan.nii").write_bytes(nifti())
    (tmp_path / "scan.json").write_text('{"EchoTime": 0.003}')
    assert call(capsys, "segment", tmp_path / "scan.nii", "--weights", tiny_weights, "--out", tmp_path).code == 0
    assert json.loads((tmp_path / "scan.json").read_text()) == {"EchoTime": 0.003}
    assert len(list(tmp_path.glob("scan-*_mask.nii.gz"))) == 1


@pytest.mark.parametrize("runs", [1, 2])
def test_two_patients_of_one_series_uid_have_two_results(
    runs: int, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_head(tmp_path / "A", SeriesInstanceUID="1.2.3", PatientID="P1")
    second = write_head(tmp_path / "B", SeriesInstanceUID="1.2.3", PatientID="P2")
    for path in second.iterdir():
        path.write_bytes(path.read_bytes()[:-2] + b"\7\0")
    out = tmp_path / "out"
    for paths in [(first, second)] if runs == 1 else [(first,), (second,)]:
        assert call(capsys, "segment", *paths, "--weights", tiny_weights, "--out", out).code == 0
    results = _results(out)
    assert len(set(results.values())) == 2
    assert all(name.startswith("dicom-") for name in results)
    assert len(list(out.glob("*_seg.dcm"))) == 2
    call(capsys, "segment", first, second, "--weights", tiny_weights, "--out", out)
    assert _results(out) == results


def test_bids_scans_of_one_name_are_refused_and_the_others_done(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    anat = tmp_path / "raw" / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (anat / "sub-01_T1w.nii").write_bytes(nifti())
    (anat / "sub-01_T1w.nii.gz").write_bytes(packed(nifti(_OTHER)))
    (anat / "sub-01_run-2_T1w.nii.gz").write_bytes(packed(nifti()))
    arguments = ["insula-bids", tmp_path / "raw", tmp_path / "out", "participant", "--weights", tiny_weights]
    with mock.patch.object(sys, "argv", list(map(str, arguments))), pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "keep one of them" in capsys.readouterr().err
    done = [path.name for path in (tmp_path / "out").rglob("*-L_*mask.nii.gz")]
    assert len(done) == 1
    assert "run-2" in done[0]


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "C"},
        {},
    ],
    ids=str,
)
def test_any_name_on_any_terminal(environment: dict[str, str], tiny_weights: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    names = [
        "a_M\u00fcller_\u03bb.nii".encode(),
        b"b_M\xfcller.nii",
        "c_\u8133.nii".encode(),
        b"d\x1b[31m\n.nii",
        b"e_next.nii",
        b"f_\xff_bad.nii",
        b"g_M\xfcller_FLAIR.nii",
    ]
    for name in names:
        (tmp_path / "x").write_bytes(nifti() if b"bad" not in name else b"broken")
        os.rename(os.fsencode(tmp_path / "x"), os.fsencode(folder) + b"/" + name)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG", "PYTHONIO"))}
    command = [
        sys.executable,
        "-m",
        "insula",
        "segment",
        str(folder),
        "--weights",
        str(tiny_weights),
        "--out",
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, env=kept | environment, timeout=300)
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"bug" not in done.stderr
    assert b"1 of 7 files passed over" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert len(_results(out)) == 5
    for path in [*out.glob("*.json"), *out.glob("*.html"), out / "results.tsv"]:
        assert path.name.encode()
        assert path.read_bytes().decode()
    assert len((out / "results.tsv").read_text(encoding="utf-8").splitlines()) == 7
    assert "5 segmented, 1 refused" in (out / "index.html").read_text(encoding="utf-8")
