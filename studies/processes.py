"""Training on several GPUs: how fast it is, how long the exchange of gradients takes, and the training itself.

    torchrun --nproc-per-node N -m studies.processes measure --data DATA --out FOLDER [--items 4,16]
        [--arm smart-96-mission-compiled]
    torchrun --nproc-per-node N -m studies.processes train --data DATA --out FOLDER --pace FILE --minutes 15
        [--start-from CARD] [--exams 8]
    torchrun --nproc-per-node N -m studies.processes short --data DATA --out FOLDER --items 4 --steps 300
        [--precision float32]

`measure` writes one JSON for each number of items a step (over all processes): milliseconds of a step in training, of a
step on one batch again and again, of drawing alone and of an exchange of gradients alone; the kernels' time of a step,
in exchanges and in drawing; and GPU memory. `train` trains for as many steps as fit into the minutes at the measured
pace, over several calls if necessary, and is judged as in `arms.py`: the processes divide the three sets of heads.
`short` trains the mission's recipe, with the gradients of each stage recomputed, for a few steps; its losses are to be
compared to those of another number of processes, and so is the loss of its weights on heads of the validation part.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from insula.checkpoint import load_weights
from insula.config import Recipe
from insula.errors import Preempted
from insula.infer import settle
from insula.io import write_json
from insula.losses import compound
from insula.store import CaseSet
from insula.synthetic import Sources
from insula.train import HeadStream, World, train
from insula.train.exchange import Exchange
from insula.train.phases import pace
from insula.train.run import Run
from insula.train.stream import Batch
from insula.train.world import Votes
from studies.arm_recipes import recipe_of
from studies.arms import judge, judge_sets, sources_of
from studies.clock import machine
from studies.trial import forward

_WARM = 700
_TRACED = 20
_EXAM_SEED = 77
_WHOLE_COSTS = 2.5  # additional cost of a step on a whole head, in steps


def paces(recipe: Recipe, sources: Sources, world: World, steps: int, warm: int = _WARM) -> dict[str, Any]:
    """Cost of a step in this process, and the time that the exchange of gradients takes."""
    begun = time.perf_counter()
    device = world.device(recipe.train.device)
    warm = warm if device.type == "cuda" else 1
    count = warm + steps
    with tempfile.TemporaryDirectory() as folder:
        whole = replace(recipe, train=replace(recipe.train, steps=count))
        run = Run(whole, sources, Path(folder), start=None, world=world)
        take = partial(run.steps.take, lr=1e-9, rate=1e-3)
        votes = Votes(world)

        def train_on(batch: Batch) -> None:
            take(batch)
            votes.cast(0)  # as the training loop does at every step

        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        both = pace(train_on, run.stream.batches(0, count), warm=warm, steps=steps, device=device)
        ready = time.perf_counter() - begun
        batch = run.stream.batch(0)
        alone = pace(take, itertools.repeat(batch), warm=min(warm, 20), steps=steps, device=device)
        numbers = itertools.count()
        begun_cpu = time.thread_time()
        drawing = pace(
            lambda _: run.stream.batch(next(numbers)), itertools.repeat(batch), warm=0, steps=steps, device=device
        )
        drawing_cpu = 1000 * (time.thread_time() - begun_cpu) / steps
        parameters = [p for p in run.model.parameters() if p.grad is not None]
        messages = Exchange(world)
        same = itertools.repeat(batch)
        exchange = pace(lambda _: messages.mean(parameters, []), same, warm=3, steps=20, device=device)
        peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
        traced = {}
        if device.type == "cuda":
            traced = _traced(lambda: take(batch), device)
            traced["drawing_kernels_ms"] = _traced(lambda: run.stream.batch(next(numbers)), device)["kernels_ms"]
    return {
        "processes": world.size,
        "items": recipe.train.batch,
        "both_ms": both,
        "step_ms": alone,
        "exchange_ms": exchange,
        "drawing_ms": drawing,
        "drawing_cpu_ms": drawing_cpu,
        "memory_gib": peak,
        "ready_s": ready,
        **traced,
    }


def _traced(work: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Milliseconds a step in NCCL kernels and in all kernels; NCCL includes waiting for other processes."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        for _ in range(_TRACED):
            work()
        settle(device)
    times = [(row.key, row.self_device_time_total) for row in trace.key_averages()]
    nccl = sum(time for name, time in times if "nccl" in name.lower())
    return {"nccl_kernels_ms": nccl / 1000 / _TRACED, "kernels_ms": sum(t for _, t in times) / 1000 / _TRACED}


def measure(arguments: argparse.Namespace, world: World) -> None:
    recipe = recipe_of(arguments.arm, "auto")
    sources = sources_of(arguments.data, "train", recipe.prepare.box, arguments.cache)
    for items in (int(n) for n in arguments.items.split(",")):
        changed = replace(recipe, train=replace(recipe.train, batch=items, whole_batch=world.size))
        torch.compiler.reset()
        costs = paces(changed, sources, world, arguments.steps, arguments.warm)
        if world.rank == 0:
            name = f"{arguments.arm}-{world.size}x{items // world.size}.json"
            write_json(arguments.out / name, {**machine(world.device("auto")), "arm": arguments.arm, **costs})
            print(name, {k: round(v, 2) for k, v in costs.items() if isinstance(v, float)}, flush=True)


def go_on(arguments: argparse.Namespace, world: World) -> None:
    """Train as far as the time allows; judge the weights once training is complete."""
    begun = time.monotonic()
    recipe = recipe_of(arguments.arm, "auto")
    ms = json.loads(arguments.pace.read_text(encoding="utf-8"))["both_ms"]
    steps = int(arguments.minutes * 60_000 / (ms * (1 + _WHOLE_COSTS * recipe.train.whole_fraction)))
    until = (arguments.until - arguments.reserve) / 60
    recipe = replace(
        recipe,
        train=replace(
            recipe.train,
            steps=steps,
            batch=arguments.each * world.size,
            whole_batch=world.size,
            lr=arguments.lr,
            minutes=until,
            save_minutes=4,
            validations=max(arguments.exams, 1),
        ),
        simulate=replace(recipe.simulate, control_fraction=arguments.controls),
    )
    sources = sources_of(arguments.data, "train", recipe.prepare.box, arguments.cache)
    exam = _exam(arguments, recipe, world) if arguments.exams else None
    folder = arguments.runs / arguments.arm
    folder.mkdir(parents=True, exist_ok=True)
    if world.rank == 0:
        print(f"{steps} steps at {ms:.1f} ms; sources after {time.monotonic() - begun:.0f} s", flush=True)
    done = True
    try:
        start = load_weights(arguments.start_from) if arguments.start_from else None
        train(recipe, sources, folder, start=start, resume=True, judge_by=exam)
    except Preempted:
        done = False
    if world.rank == 0:
        for file in (f"{recipe.name}.json", f"{recipe.name}.safetensors", "log.jsonl"):
            if (folder / file).exists():
                shutil.copy(folder / file, arguments.out / file)
        print(f"{'done' if done else 'cut off'} {time.monotonic() - begun:.0f} s after the start", flush=True)
    if done and arguments.cases:
        device = world.device("auto")
        weights = load_weights(str(folder / f"{recipe.name}.json"))
        sets = judge_sets(
            arguments.data,
            arguments.cache,
            recipe_of("enhanced-96", str(device)),
            device,
            arguments.cases,
            "validation",
        )
        for name in sorted(sets)[world.rank :: world.size]:
            scores = judge(weights.model, {name: sets[name]}, device)
            write_json(arguments.out / f"judged-{name}.json", scores)
            print(name, {key: round(value, 3) for key, value in scores["means"][name].items()}, flush=True)


def _exam(arguments: argparse.Namespace, recipe: Recipe, world: World) -> CaseSet:
    sources = sources_of(arguments.data, "validation", recipe.prepare.box, arguments.cache)
    return HeadStream(sources, recipe, device=world.device("auto")).cases(24, seed=_EXAM_SEED)


def short(arguments: argparse.Namespace, world: World) -> None:
    """A short run from scratch; rank 0 writes its losses, and the loss of its weights on crops of other heads."""
    recipe, items = recipe_of(arguments.arm, "auto"), int(arguments.items)
    settings = {"steps": arguments.steps, "batch": items, "whole_batch": world.size, "precision": arguments.precision}
    settings |= {"recompute": True, "save_minutes": arguments.save_minutes, "recalibrate": 0, "lr": arguments.lr}
    recipe = replace(recipe, train=replace(recipe.train, **settings))
    sources = sources_of(arguments.data, "train", recipe.prepare.box, arguments.cache)
    arguments.runs.mkdir(parents=True, exist_ok=True)
    train(recipe, sources, arguments.runs, resume=True)
    if world.rank:
        return
    weights = load_weights(str(arguments.runs / f"{recipe.name}.json"))
    lines = [json.loads(line) for line in (arguments.runs / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    result = {
        **machine(world.device("auto")),
        "processes": world.size,
        "items": items,
        "precision": arguments.precision,
        "sha256": weights.sha256,
        "losses": [[line["step"], line["loss"]] for line in lines],
        "unseen_loss": _unseen_loss(weights.model, recipe, arguments, world.device("auto")),
    }
    write_json(arguments.out / f"short-{arguments.runs.name}.json", result)
    print(arguments.runs.name, result["losses"][-1], f"unseen heads {result['unseen_loss']:.5f}", flush=True)


@torch.inference_mode()
def _unseen_loss(model: torch.nn.Module, recipe: Recipe, arguments: argparse.Namespace, device: torch.device) -> float:
    """Mean lesion loss on crops of heads of the validation part."""
    sources = sources_of(arguments.data, "validation", recipe.prepare.box, arguments.cache)
    stream = HeadStream(sources, replace(recipe, train=replace(recipe.train, batch=4)), device=device)
    loss_of, model = compound(recipe.train.losses), model.to(device).eval()
    batches = [stream.batch(step) for step in range(arguments.unseen)]
    return statistics.fmean(float(loss_of(forward(model, batch.image)[:, :1], batch.truth)) for batch in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "train", "short"))
    parser.add_argument("--data", type=Path, required=True, help="the folder of hosts, label maps and outlines")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/insula-sources"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--arm", default="smart-96-mission-compiled", help="name of an arm, as in studies/arm_recipes.py"
    )
    parser.add_argument(
        "--items", default="4,16", help="items of a step over all processes; measured one after the other"
    )
    parser.add_argument("--steps", type=int, default=200, help="steps to time, or steps of a short run")
    parser.add_argument("--warm", type=int, default=_WARM, help="steps before those that are timed")
    parser.add_argument("--start-from", help="weights to continue from; from scratch without")
    parser.add_argument("--exams", type=int, default=0, help="how often the run is judged on 24 validation heads")
    parser.add_argument("--precision", choices=("auto", "float32"), default="auto", help="arithmetic of a short run")
    parser.add_argument("--save-minutes", type=float, default=5.0, help="minutes between the states of a short run")
    parser.add_argument("--unseen", type=int, default=16, help="batches of validation heads that judge a short run")
    parser.add_argument("--runs", type=Path, default=Path("/tmp/insula-runs"), help="folder for the states of the run")
    parser.add_argument("--pace", type=Path, help="a JSON that `measure` wrote")
    parser.add_argument("--minutes", type=float, default=15.0, help="training time over all calls")
    parser.add_argument("--each", type=int, default=4, help="items of a step in each process")
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--controls", type=float, default=0.2, help="share of heads without a lesion")
    parser.add_argument("--until", type=float, default=1e9, help="time limit of this call, in seconds")
    parser.add_argument("--reserve", type=float, default=30.0, help="seconds of it kept for saving and judging")
    parser.add_argument("--cases", type=int, default=48, help="cases to judge on; 0 for none")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    world = World.join()
    {"measure": measure, "train": go_on, "short": short}[arguments.what](arguments, world)
    if world.size > 1:
        dist.barrier()


if __name__ == "__main__":
    main()
