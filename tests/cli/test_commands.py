"""The command as a user types it, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.call import call
from corpus.files import GRID, nifti, packed
from insula.io import read_mask

_INSULA = [sys.executable, "-m", "insula"]


def _run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_INSULA, *arguments], capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}, timeout=120
    )


def test_help_and_version_bring_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['insula', {!r}]\n"
        "from insula.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert 'torch' not in sys.modules"
    )
    for flag in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code.format(flag)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "insula" in done.stdout
    assert "segment" in _run("--help").stdout
    assert "usage" in _run().stdout


def test_three_files_and_a_bad_one(tiny_weights: Path, tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz", "c.nii.gz"):
        (tmp_path / name).write_bytes(packed(nifti()))
    (tmp_path / "bad.nii.gz").write_bytes(packed(nifti())[:5000])
    done = _run(
        "segment",
        "a.nii.gz",
        "bad.nii.gz",
        "b.nii.gz",
        "c.nii.gz",
        "--weights",
        str(tiny_weights),
        "--out",
        "out",
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert "bad: the gzip stream" in done.stderr
    out = tmp_path / "out"
    for name in "abc":
        assert read_mask(out / f"{name}_mask.nii.gz").grid.close_to(GRID)
        assert json.loads((out / f"{name}.json").read_text())["outcome"] == "done"
        assert (out / f"{name}_prob.nii.gz").exists()
        assert (out / f"{name}.html").exists()
    assert json.loads((out / "bad.json").read_text())["error"]["code"] == 65
    index = (out / "index.html").read_text()
    assert "3 segmented, 1 refused" in index
    assert len((out / "results.tsv").read_text().splitlines()) == 5
    assert done.stdout.splitlines()[-1] == "out/index.html"


@pytest.mark.parametrize("kind", ["tiny_weights", "brain_weights"])
def test_the_table_has_the_brain_where_it_is_known(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.nii.gz").write_bytes(packed(nifti()))
    (tmp_path / "bad.nii.gz").write_bytes(packed(nifti())[:5000])
    weights, out = request.getfixturevalue(kind), tmp_path / "out"
    call(capsys, "segment", tmp_path / "a.nii.gz", tmp_path / "bad.nii.gz", "--weights", weights, "--out", out)
    heads, *rows = (line.split("\t") for line in (out / "results.tsv").read_text().splitlines())
    done, refused = (dict(zip(heads, row, strict=True)) for row in rows)
    assert refused["brain_volume_ml"] == refused["lesion_share"] == ""
    brain = json.loads((out / "a.json").read_text())["brain"]
    assert (out / "a_brain.nii.gz").exists() == (brain is not None) == (kind == "brain_weights")
    if brain is None:
        assert done["brain_volume_ml"] == done["lesion_share"] == done["side"] == ""
    else:
        assert float(done["brain_volume_ml"]) == brain["volume_ml"]
        assert float(done["lesion_share"]) == brain["lesion_share"]
        assert float(done["left_ml"]) + float(done["right_ml"]) == pytest.approx(float(done["volume_ml"]), abs=1e-3)
        assert read_mask(out / "a_brain.nii.gz").volume_ml == pytest.approx(brain["volume_ml"], abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("segment", "absent.nii"), 66, "absent.nii does not exist"),
        (("segment",), 66, "the scans"),
        (("segment", "scan.nii", "--threshold", "2"), 2, "--threshold 2.0"),
        (("segment", "scan.nii", "--threshold", "high"), 2, "high"),
        (("segment", "scan.nii", "--device", "gpu"), 2, "gpu is not a device"),
        (("segment", "scan.nii", "--weights", "nope"), 66, "the weights nope"),
        (("segment", "scan.nii", "--out", "scan.nii/x"), 73, "scan.nii"),
        (("segment", "scan.nii", "--no-such-flag"), 2, "--no-such-flag"),
        (("segmentt", "scan.nii"), 2, "segmentt"),
        (("train", "absent.toml", "--data", ".", "--out", "o"), 66, "absent.toml"),
        (("segment", "*.mgz"), 66, "*.mgz matches no file"),
    ],
)
def test_a_wrong_call_gets_its_code_and_no_traceback(
    arguments: tuple[str, ...],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.nii").write_bytes(nifti())
    result = call(capsys, *arguments)
    assert result.code == code, result
    assert message in result.err + result.out


def test_without_a_home_or_a_cache(tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_bytes(nifti())
    done = _run(
        "segment",
        "scan.nii",
        "--weights",
        str(tiny_weights),
        cwd=tmp_path,
        HOME="/nonexistent",
        XDG_CACHE_HOME="/nonexistent",
        TMPDIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "insula-results" / "scan_mask.nii.gz").exists()


def test_a_leading_dash_is_a_file_after_two_dashes_or_a_path(tiny_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "-dash.nii").write_bytes(nifti())
    done = _run("segment", "./-dash.nii", "--weights", str(tiny_weights), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_its_code_and_nothing_half(
    number: int, code: int, tiny_weights: Path, tmp_path: Path
) -> None:
    for n in range(60):
        (tmp_path / f"s{n:02d}.nii").write_bytes(nifti())
    process = subprocess.Popen(
        [*_INSULA, "segment", str(tmp_path), "--weights", str(tiny_weights), "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert "stopped by signal" in errors
    assert not list((tmp_path / "out").glob(".insula-*.tmp"))


def test_kill_nine_leaves_whole_files_and_the_next_run_goes_on(tiny_weights: Path, tmp_path: Path) -> None:
    for n in range(10):
        (tmp_path / f"s{n:02d}.nii").write_bytes(nifti())
    out = tmp_path / "out"
    command = [*_INSULA, "segment", str(tmp_path), "--weights", str(tiny_weights), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.13)
    process.kill()
    process.communicate()
    for path in out.glob("*_mask.nii.gz"):
        read_mask(path)
    for path in out.glob("*.json"):
        json.loads(path.read_text())
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(out.glob(".insula-*.tmp"))
    assert len(list(out.glob("*_mask.nii.gz"))) == 10
