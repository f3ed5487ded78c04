"""Trains the same run alone, in two processes, and in two of which one dies; each into a folder of its own.

python pair.py FOLDER; and with a third word, `soak`, runs that are killed at random moments twenty times. Processes are
forked, so that torch is imported once; run by test_world.py.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

import torch

from insula.checkpoint import load_weights
from insula.config import AttentionUNet, AugmentConfig, PrepareConfig, Recipe, TrainConfig
from insula.errors import InsulaError
from insula.store import CaseSet
from insula.train import train
from insula.train.loop import Progress

_STEPS = 24
_LONG, _KILLS = 600, 20
_BOX = (24, 24, 24)


def recipe(**options: object) -> Recipe:
    """Four crops a step, then two whole boxes; losses that are sums and losses that are means."""
    settings = {
        "steps": _STEPS,
        "batch": 4,
        "crop": (16, 16, 16),
        "whole_fraction": 0.2,
        "whole_batch": 2,
        "lr": 1e-3,
        "losses": ((1.0, "dice"), (1.0, "boundary"), (1.0, "cross_entropy")),
        "recalibrate": 0,
        "device": "cpu",
        "compile": False,
        "validations": 2,
        **options,
    }
    return Recipe(
        name="small",
        model=AttentionUNet(widths=(4, 8), norm="instance", stem="full"),
        prepare=PrepareConfig(box=_BOX),
        augment=AugmentConfig(),
        train=TrainConfig(**settings),  # type: ignore[arg-type]
    )


def cases() -> CaseSet:
    """Six noisy boxes, each with a bright cube that is its lesion."""
    generator = torch.Generator().manual_seed(0)
    images, masks = [], []
    for n in range(6):
        mask = torch.zeros(_BOX, dtype=torch.bool)
        mask[4 + n : 12 + n, 6:14, 8:16] = True
        masks.append(mask)
        images.append((torch.rand(_BOX, generator=generator) + 2 * mask).half())
    return CaseSet(names=tuple("abcdef"), images=tuple(images), masks=tuple(masks), fingerprint="six")


def start(folder: Path, *, size: int, dies: int | None = None, resume: bool = False, **options: object) -> list[int]:
    """Train into a folder in `size` processes; their exit statuses, as `os.waitpid` gives them."""
    children = begin(folder, size=size, dies=dies, resume=resume, **options)
    return [os.waitpid(child, 0)[1] for child in children]


def begin(folder: Path, *, size: int, dies: int | None = None, resume: bool = False, **options: object) -> list[int]:
    """Fork the processes."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(size):
        child = os.fork()
        if child == 0:
            os._exit(_work(folder, rank, size, port, dies=dies == rank, resume=resume, **options))
        children.append(child)
    return children


def _work(
    folder: Path, rank: int, size: int, port: int, *, dies: bool, resume: bool, runs: int = 1, **options: object
) -> int:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )

    def report(progress: Progress) -> None:
        if dies and progress.step == 21:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        for run in range(runs):  # folds, one after the other
            into = folder / f"fold{run}" if runs > 1 else folder
            into.mkdir(exist_ok=True)
            train(recipe(**options), cases(), into, resume=resume, judge_by=cases(), report=report)
            (into / f"read-{rank}.txt").write_text(load_weights(str(into / "small.json")).sha256)
    except InsulaError as error:
        (folder / f"error-{rank}.txt").write_text(f"{error.code} {error}")
        return error.code
    return 0


def soak(folder: Path, *, size: int) -> dict[str, object]:
    """A run whose processes, one or all, are killed twenty times at random, and one that is left alone."""
    rng = random.Random(size)
    options = {"steps": _LONG, "save_minutes": 0.0}
    start(folder / f"alone{size}", size=size, **options)
    kills, resumes = 0, 0
    while True:
        children = begin(folder / f"killed{size}", size=size, resume=True, **options)
        if kills < _KILLS:
            time.sleep(rng.uniform(0.3, 2.0))
            for child in children if rng.random() < 0.5 else children[:1]:
                os.kill(child, signal.SIGKILL)
        ends = [os.waitpid(child, 0)[1] for child in children]
        kills += signal.SIGKILL in ends
        resumes += 1
        if not any(ends):
            return {"kills": kills, "resumes": resumes - 1}


def main() -> None:
    """Run all of it; what came of it goes into `told.json`."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    if sys.argv[2:] == ["soak"]:
        (folder / "told.json").write_text(json.dumps([soak(folder, size=size) for size in (1, 2)]))
        return
    told: dict[str, object] = {"alone": start(folder / "alone", size=1), "pair": start(folder / "pair", size=2)}
    begun = time.monotonic()
    told["killed"] = start(folder / "killed", size=2, dies=1, save_minutes=0.0)
    told["seconds"] = time.monotonic() - begun
    told["resumed"] = start(folder / "killed", size=2, resume=True, save_minutes=0.0)
    told["folds"] = start(folder / "folds", size=2, runs=3, steps=3)
    told["undealt"] = start(folder / "undealt", size=2, batch=3)
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
