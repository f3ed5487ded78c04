"""Writes a Slurm script for a training run and submits it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insula.config import SlurmConfig

__all__ = ["parse_slurm", "script_of", "submit"]

_WARNING_S = 180  # signal before the time limit; a state is written in seconds


def parse_slurm(text: str) -> SlurmConfig:
    """Parse options such as `partition=gpu,gpus=4,nodes=2`.

    Raises:
        UsageError: an item is not `key=value`, the key is unknown, or the value has the wrong type.
    """
    from insula.config import SlurmConfig, from_dict
    from insula.errors import UsageError

    tree: dict[str, object] = {}
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError("`slurm`", pair, "is not key=value", "write e.g. `slurm=partition=gpu,gpus=4,nodes=2`")
        text_alone = key.strip() in ("partition", "account")
        tree[key.strip()] = int(value) if value.strip().isdecimal() and not text_alone else value.strip()
    config = from_dict(SlurmConfig, tree, what="`slurm`")
    for name in ("nodes", "cpus", "memory_gb", "hours"):
        if getattr(config, name) < 1:
            raise UsageError(f"`slurm`: {name}", getattr(config, name), "is less than 1", "ask for at least 1")
    return config


def script_of(config: SlurmConfig, command: Sequence[str], out: Path, *, name: str, folds: int = 0) -> str:
    """Return the script for sbatch.

    Every task is a process of one run. Three minutes before the time limit, or when the cluster preempts the job, the
    tasks get a signal, save and exit with code 75; then the job is queued again and resumes. What PyTorch compiles
    is kept in the folder `compiled`, shared by the folds, unless TORCHINDUCTOR_CACHE_DIR names another.

    Args:
        config: the requested resources.
        command: `insula train ...` without --out, --fold and --resume.
        out: the folder of the run, or with folds their parent.
        name: name of the job.
        folds: number of folds, each a job of an array; 0 for a single run.
    """
    options = {
        "job-name": f"insula-{name}",
        "partition": config.partition,
        "account": config.account,
        "nodes": config.nodes,
        "ntasks-per-node": max(config.gpus, 1),
        "gpus-per-node": config.gpus or "",
        "cpus-per-task": config.cpus,
        "mem": f"{config.memory_gb}G",
        "time": f"{config.hours}:00:00",
        "array": f"0-{folds - 1}" if folds else "",
        "signal": f"USR1@{_WARNING_S}",
        "output": str(out).replace("%", "%%") + ("/slurm-%A_%a.log" if folds else "/slurm-%j.log"),
    }
    lines = [f"#SBATCH --{key}={_quoted(str(value))}" for key, value in options.items() if value != ""]
    folder = shlex.quote(str(out))
    where, fold = folder, ""
    if folds:
        where, fold = f'{folder}/fold"$SLURM_ARRAY_TASK_ID"', ' --fold "$SLURM_ARRAY_TASK_ID"'
    # submitit would submit a pickled call, which nobody can read, change or submit again by hand
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            "#SBATCH --requeue",
            "#SBATCH --open-mode=append",
            "",
            'export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            "export MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))",
            f"export SRUN_CPUS_PER_TASK={config.cpus}  # srun no longer takes it from sbatch",
            "# a job that is queued again need not compile again, on whichever node it runs",
            f': "${{TORCHINDUCTOR_CACHE_DIR:=$(realpath -m -- {folder})/compiled}}"',
            "export TORCHINDUCTOR_CACHE_DIR",
            "srun --kill-on-bad-exit=1 bash -c \\",
            """  'RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID exec "$@"' insula \\""",
            f"  {shlex.join(command)} --out {where}{fold} --resume",
            "code=$?",
            'if [ "$code" -eq 75 ]; then  # asked to stop, and saved: queue again',
            '  scontrol requeue "$SLURM_JOB_ID"',
            "fi",
            'exit "$code"',
            "",
        ]
    )


def _quoted(value: str) -> str:
    """Quote a value for an #SBATCH comment: in double quotes if it has special characters."""
    return (
        value if re.fullmatch(r"[\w./:@%+=-]*", value) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def submit(text: str, out: Path) -> str:
    """Write the script to the folder of the run, submit it, and return the reply of sbatch.

    Raises:
        Unavailable: sbatch is not installed.
        UsageError: sbatch refuses the job.
        CannotCreate, NoPermission: the folder cannot be written.
    """
    import shutil
    import subprocess

    from insula.errors import Unavailable, UsageError
    from insula.io import OutputFolder, write_bytes

    if shutil.which("sbatch") is None:
        raise Unavailable("sbatch", "", "is not on this machine", "submit from a login node, or see it with `dry_run`")
    with OutputFolder(out) as folder:
        path = folder / "slurm.sh"
        write_bytes(path, text.encode(errors="surrogateescape"))
    done = subprocess.run(["sbatch", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError("sbatch", done.stderr.strip(), "refuses the job", "change what `slurm` asks for")
    return done.stdout.strip()
