"""A run handed to a cluster: what is asked for, and what the script does when a run leaves."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from cli.call import call
from insula.config import SlurmConfig
from insula.errors import UsageError
from insula.train.slurm import parse_slurm, script_of

_RECIPE = 'name = "small"\n[model]\nkind = "attention_unet"\n'


def _directives(script: str) -> dict[str, str]:
    """The directives, split into words as sbatch does."""
    words = [shlex.split(line.removeprefix("#SBATCH ")) for line in script.splitlines() if line.startswith("#SBATCH")]
    assert all(len(each) == 1 for each in words), words
    lines = [word.removeprefix("--") for (word,) in words]
    return dict(line.partition("=")[::2] for line in lines)


def test_the_script_asks_for_what_it_is_told() -> None:
    config = parse_slurm("partition=gpu,gpus=4,nodes=2,hours=48,account=stroke")
    directives = _directives(script_of(config, ["insula", "train", "r.toml"], Path("runs/x"), name="smart"))
    assert directives["partition"] == "gpu"
    assert directives["account"] == "stroke"
    assert directives["nodes"] == "2"
    assert directives["ntasks-per-node"] == directives["gpus-per-node"] == "4"
    assert directives["time"] == "48:00:00"
    assert directives["job-name"] == "insula-smart"
    assert directives["signal"] == "USR1@180"
    assert "requeue" in directives
    assert "array" not in directives


def test_names_may_hold_anything() -> None:
    config = parse_slurm("partition=7,account=1234")
    directives = _directives(script_of(config, ["insula"], Path('my "runs"/50%'), name="a name"))
    assert directives["partition"] == "7"
    assert directives["account"] == "1234"
    assert directives["job-name"] == "insula-a name"
    assert directives["output"] == 'my "runs"/50%%/slurm-%j.log'


def test_what_is_not_said_is_left_to_the_cluster() -> None:
    directives = _directives(script_of(SlurmConfig(gpus=0), ["insula"], Path("x"), name="n"))
    assert {"partition", "account", "gpus-per-node"}.isdisjoint(directives)
    assert directives["ntasks-per-node"] == "1"


@pytest.mark.parametrize(
    ("text", "message"),
    [("gpu", "not key=value"), ("nodes=0", "less than 1"), ("gpu=4", "gpu "), ("gpus=many", "gpus")],
)
def test_what_cannot_be_asked_for_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_slurm(text)


@pytest.mark.parametrize(("code", "requeued", "cache"), [(0, False, ""), (75, True, "/scratch/c"), (65, False, "")])
def test_a_run_that_was_told_to_stop_queues_again(code: int, requeued: bool, cache: str, tmp_path: Path) -> None:
    """The script itself, with stand-ins for what a cluster has."""
    tools = {
        "srun": 'shift; SLURM_PROCID=1 SLURM_NTASKS=2 SLURM_LOCALID=0 "$@"',
        "scontrol": 'if [ "$1" = show ]; then echo node7; else echo "$@" > "$MARK"; fi',
    }
    for name, body in tools.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    seen = tmp_path / "seen.txt"
    echo = 'printf "%s\\n" "$RANK $WORLD_SIZE $LOCAL_RANK $MASTER_ADDR $MASTER_PORT" "$TORCHINDUCTOR_CACHE_DIR" "$@"'
    command = ["bash", "-c", f"{{ {echo}; }} > {seen}; exit {code}", "insula", "a recipe.toml"]
    script = script_of(SlurmConfig(), command, Path("the run"), name="small", folds=3)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "MARK": str(tmp_path / "mark"),
        "SLURM_JOB_ID": "41",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_ARRAY_TASK_ID": "2",
        "TORCHINDUCTOR_CACHE_DIR": cache,
    }
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    first, compiled, *arguments = seen.read_text().splitlines()
    assert compiled == (cache or str(Path("the run/compiled").resolve()))
    assert first == "1 2 0 node7 20041"
    assert "export SRUN_CPUS_PER_TASK=8" in script
    assert arguments == ["a recipe.toml", "--out", "the run/fold2", "--fold", "2", "--resume"]
    assert (tmp_path / "mark").exists() is requeued
    if requeued:
        assert (tmp_path / "mark").read_text() == "requeue 41\n"


def test_a_dry_run_shows_this_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE)
    split = tmp_path / "split.json"
    folds = [{"train": ["a"], "test": ["b"]}, {"train": ["b"], "test": ["a"]}]
    split.write_text(
        json.dumps({"format": "insula-split/1", "cohort_sha256": "", "by": "random", "seed": 0, "folds": folds})
    )
    options = ("--data", "store", "--out=runs", "--split", split, "--set", "train.lr=3e-4", "--set", "train.batch=2")
    arguments = ("train", tmp_path / "r.toml", *options)
    result = call(capsys, *arguments, "--slurm", "gpus=2", "--dry-run")
    assert result.code == 0, result.err
    assert _directives(result.out)["array"] == "0-1"
    line = next(line for line in result.out.splitlines() if "-m insula train" in line)
    assert f"--data store --split {split} --set train.lr=3e-4 --set train.batch=2 --out runs/fold" in line
    assert "--slurm" not in line
    assert "--dry-run" not in line
    single = call(capsys, *arguments, "--fold", "1", "--slurm", "gpus=2", "--dry-run")
    assert "array" not in _directives(single.out)
    assert "--fold 1" in single.out


def test_without_a_cluster_or_without_a_wish_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.toml").write_text(_RECIPE)
    arguments = ("train", tmp_path / "r.toml", "--data", "store", "--out", tmp_path / "run")
    result = call(capsys, *arguments, "--dry-run")
    assert result.code == 2
    assert "there is no --slurm" in result.err
    result = call(capsys, *arguments, "--slurm", "gpus=5")
    assert result.code == 2
    assert "cannot be dealt out to 5 processes; add --set train.batch=15" in result.err
    monkeypatch.setenv("PATH", str(tmp_path))
    result = call(capsys, *arguments, "--slurm", "gpus=1")
    assert result.code == 69
    assert "sbatch is not on this machine" in result.err
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    result = call(capsys, *arguments, "--slurm", "gpus=1")
    assert result.code == 2
    assert "no such partition" in result.err
    (tmp_path / "sbatch").write_text('#!/bin/sh\necho "Submitted batch job 7"\n')
    result = call(capsys, *arguments, "--slurm", "gpus=1")
    assert result.code == 0
    assert "Submitted batch job 7" in result.out
    assert (tmp_path / "run" / "slurm.sh").read_text().startswith("#!/bin/bash\n#SBATCH")
