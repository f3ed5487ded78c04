"""Processes of a training run that are killed at random, and whether the run comes to the same end.

    python -m studies.kills --data DATA --out FOLDER --processes 4 [--kills 3] [--steps 2000] [--items 4]

Three short runs of one recipe and seed (`short` of `studies/processes.py`) with several processes: two are left
alone, and tell how far runs differ by themselves. In the third a random process is killed at a random step, again and
again; each time the run is started anew and goes on from its last state. Written are the seconds until the last process
had ended, the step it went on from, and the loss of the weights of each run on heads that were not trained on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from insula.io import write_json

_POLL_S = 0.05


def launch(arguments: argparse.Namespace, name: str) -> subprocess.Popen[bytes]:
    """Start the processes of a run with torchrun."""
    work = (
        f"short --data {arguments.data} --out {arguments.out} --cache {arguments.cache} --runs {arguments.runs / name}"
    )
    work += f" --items {arguments.items} --steps {arguments.steps} --arm {arguments.arm} --unseen {arguments.unseen}"
    work += " --save-minutes 0.05"
    # each process is shown its own GPU
    inner = f"gpus=({arguments.gpus.replace(',', ' ')}); export CUDA_VISIBLE_DEVICES=${{gpus[$LOCAL_RANK]}}; "
    inner += f"exec {sys.executable} -m studies.processes {work}"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(arguments.processes)]
    return subprocess.Popen(
        [*torchrun, "--master-port", str(random.randint(20000, 40000)), "--no-python", "bash", "-c", inner]
    )


def steps_done(folder: Path) -> int:
    """The last step in the log of a run."""
    log = folder / "log.jsonl"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return json.loads(lines[-1])["step"] if lines and lines[-1].endswith("}") else 0


def ranks(launcher: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The training processes under a launcher."""
    return [p for p in psutil.Process(launcher.pid).children() if p.is_running() and p.status() != "zombie"]


def kill_one(arguments: argparse.Namespace, name: str, at: int, rng: random.Random) -> dict[str, float]:
    """Run until a step, kill a random process, wait for all to end."""
    launcher = launch(arguments, name)
    before = steps_done(arguments.runs / name)
    begun = time.monotonic()
    while (step := steps_done(arguments.runs / name)) < at:
        if launcher.poll() is not None:
            raise SystemExit(f"the run ended by itself with {launcher.returncode}, at step {step}")
        time.sleep(_POLL_S)
    there = ranks(launcher)
    victim = rng.choice(there)
    started, killed = time.monotonic() - begun, time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    launcher.wait()
    psutil.wait_procs(there)
    return {
        "resumed_at": before,
        "killed_at": step,
        "rank": there.index(victim),
        "all_ended_s": time.monotonic() - killed,
        "ran_s": started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of hosts, label maps and outlines")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/insula-sources"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--runs", type=Path, default=Path("/tmp/insula-kills"), help="folder for the states of the runs"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--gpus", default="0,1,2,3,4,5,6,7", help="the GPU of each process")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--items", type=int, default=4, help="items of a step over all processes")
    parser.add_argument("--arm", default="smart-96-mission", help="name of an arm, as in studies/arm_recipes.py")
    parser.add_argument("--unseen", type=int, default=16, help="batches of validation heads that judge a run")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(arguments.seed)
    for name in ("alone-1", "alone-2"):
        if launch(arguments, name).wait():
            raise SystemExit(f"{name} failed")
    moments = sorted(rng.randrange(arguments.steps // 10, 9 * arguments.steps // 10) for _ in range(arguments.kills))
    deaths = [kill_one(arguments, "killed", at, rng) for at in moments]
    if launch(arguments, "killed").wait():
        raise SystemExit("the run did not go on")
    runs = {
        name: json.loads((arguments.out / f"short-{name}.json").read_text(encoding="utf-8"))
        for name in ("alone-1", "alone-2", "killed")
    }
    unseen = {name: run["unseen_loss"] for name, run in runs.items()}
    write_json(arguments.out / "kills.json", {"deaths": deaths, "unseen_loss": unseen})
    for death in deaths:
        print({key: round(value, 1) for key, value in death.items()}, flush=True)
    print({name: round(value, 5) for name, value in unseen.items()}, flush=True)


if __name__ == "__main__":
    main()
