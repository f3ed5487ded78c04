"""Training variants ("arms") compared at equal minutes, on freshly simulated heads or on a fixed cohort of them.

    python -m studies.arms --data DATA --out FOLDER --arms smart-96,enhanced-96 --minutes 3 [--until 540]

Every arm continues from the weights given for its model (`--start baseline=CARD`), or begins with random ones, with the
same seed unless its name ends in `-s1`, `-s2` and so on; seeds of an arm take equally many steps. Arms are judged on
heads of the validation part, whose hosts and outlines no arm trains on: 48 simulated as in training, the same 48 with
an unfamiliar look, 48 as spin echoes, and real lesion-free heads with and without skull.
Each arm writes one JSON; an arm that has its JSON is not run again, and an interrupted arm resumes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from filelock import FileLock

from insula.augment import Augmentation, augment
from insula.checkpoint import load_weights
from insula.config import PrepareConfig, Recipe, to_dict
from insula.errors import Preempted
from insula.infer import choose_device
from insula.io import write_json
from insula.metrics import dice_score
from insula.models import probabilities
from insula.prepare import normalised
from insula.store import CaseSet
from insula.synthetic import Sources, load_sources
from insula.synthetic.sources import Part
from insula.train import HeadStream, train
from insula.train.loop import Progress
from insula.train.phases import pace
from insula.train.run import Run
from insula.train.stream import Batch
from insula.train.world import World
from studies.arm_recipes import recipe_of, unseeded
from studies.clock import machine
from studies.trial import forward, lesion_answer, score
from studies.turn import Turn

_PROBED, _WARM = 60, 700
_COMPILED = 20  # steps after which all is compiled
_SEED = 2411
_Made = TypeVar("_Made")


def sources_of(data: Path, part: Part, box: tuple[int, int, int], cache: Path) -> Sources:
    """Sources of a part, cached for later calls on the same machine."""
    return cached(cache / f"{part}.pt", lambda: load_sources(data, part=part, box=box))


def cached(path: Path, make: Callable[[], _Made]) -> _Made:
    """What an earlier process on this machine has made, or else make it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            torch.save(make(), path.with_suffix(".new"))
            path.with_suffix(".new").replace(path)
    return torch.load(path, weights_only=False)


def free_heads(sources: Sources, device: torch.device) -> CaseSet:
    """Real lesion-free heads: with their skull where they have one, and stripped to the brain."""
    names, hosts, images, masks, brains = [], [], [], [], []
    prepare = PrepareConfig()
    for host in sources.hosts:
        if host.image is None or not host.labelled:
            continue
        case = host.to(device)
        for strip in (None, 0.5) if host.skull else (0.5,):
            head = augment([case], [Augmentation(strip=strip)], starts=[(0, 0, 0)], crop=case.box)
            names.append(f"{host.name} {'stripped' if strip else 'whole'}")
            hosts.append(host.name)
            images.append(normalised(head.image[0], prepare).half())
            masks.append(torch.zeros_like(case.mask))
            brains.append(head.brain[0].to(torch.int8))
    return CaseSet(
        names=tuple(names),
        images=tuple(images),
        masks=tuple(masks),
        brains=tuple(brains),
        fingerprint="free",
        centres=tuple(hosts),
    )


def judge_sets(
    data: Path, cache: Path, recipe: Recipe, device: torch.device, count: int, part: Part
) -> dict[str, CaseSet]:
    """Heads that no arm trains on: simulated, with an unfamiliar look, as spin echoes, and real and lesion-free."""

    def make() -> dict[str, CaseSet]:
        sources = sources_of(data, part, recipe.prepare.box, cache)
        stream, spin_echoes = (
            HeadStream(
                sources, replace(recipe, simulate=replace(recipe.simulate, spin_echo_fraction=share)), device=device
            )
            for share in (0.0, 1.0)
        )
        return {
            "heads": stream.cases(count, seed=_SEED),
            "unfamiliar": stream.cases(count, seed=_SEED, unfamiliar=True),
            "spin echoes": spin_echoes.cases(count, seed=_SEED),
            "free": free_heads(sources, device),
        }

    return cached(cache / f"judged-{part}-{count}-{device.type}.pt", make)


def judge(model: torch.nn.Module, sets: dict[str, CaseSet], device: torch.device) -> dict[str, Any]:
    """Scores of every case of every set, and the means of each set."""
    model.to(device).eval()
    scores: dict[str, Any] = {}
    for name, cases in sets.items():
        rows = score(partial(lesion_answer, model), cases, device)
        for row, brain in zip(rows, _brain_dice(model, cases, device), strict=True):
            row["brain"] = brain
        scores[name] = rows
    scores["means"] = {name: means(rows) for name, rows in scores.items()}
    return scores


@torch.inference_mode()
def _brain_dice(model: torch.nn.Module, cases: CaseSet, device: torch.device) -> list[float | None]:
    out: list[float | None] = []
    for image, brain in zip(cases.images, cases.brains, strict=True):
        prob = probabilities(forward(model, image.to(device).float()[None, None]))
        known = bool((brain >= 0).all()) and prob.shape[1] > 1
        out.append(dice_score((brain > 0).cpu().numpy(), (prob[0, 1] > 0.5).cpu().numpy()) if known else None)
    return out


def means(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Dice of cases with a lesion, false volume of those without, recall by size, false lesions, Dice of the brain."""
    with_lesion, without = [r for r in rows if r["voxels"]], [r for r in rows if not r["voxels"]]
    out: dict[str, float] = {"cases": len(rows)}
    if with_lesion:
        out["dice"] = statistics.fmean(r["dice"] for r in with_lesion)
        out["dice_median"] = statistics.median(r["dice"] for r in with_lesion)
        out["false_lesions"] = statistics.fmean(r["false_lesions"] for r in with_lesion)
        for size in with_lesion[0]["found"]:
            touched, there = (sum(r["found"][size][n] for r in with_lesion) for n in (0, 1))
            if there:
                out[f"recall {size}"] = touched / there
        if small := [r["dice"] for r in with_lesion if r["voxels"] < 3000]:
            out["dice_under_3ml"] = statistics.fmean(small)
    if without:
        out["false_ml"] = statistics.fmean(r["predicted"] / 1000 for r in without)
        out["empty"] = sum(not r["predicted"] for r in without) / len(without)
    if brains := [r["brain"] for r in rows if r.get("brain") is not None]:
        out["brain"], out["brain_least"] = statistics.fmean(brains), min(brains)
    return out


def steps_within(
    recipe: Recipe, data: Sources | CaseSet, plan: Path, start: str | None, minutes: float, turn: Turn
) -> int:
    """Number of steps that fit into the minutes; measured once, when it is this process's turn, and stored."""
    with FileLock(plan.with_suffix(".lock")):
        if not plan.exists():
            _measure_steps(recipe, data, plan, start, minutes, turn)
            torch.cuda.empty_cache()
    return json.loads(plan.read_text(encoding="utf-8"))["steps"]


def _measure_steps(
    recipe: Recipe, data: Sources | CaseSet, plan: Path, start: str | None, minutes: float, turn: Turn
) -> None:
    weights = load_weights(start) if start else None
    short = replace(recipe, train=replace(recipe.train, steps=_WARM + _PROBED))
    run = Run(short, data, plan.parent, start=weights, world=World())
    numbers = itertools.count()

    def take(batch: Batch) -> None:
        if next(numbers) == _COMPILED:
            turn.take()
        run.steps.take(batch, lr=1e-9, rate=1e-3)

    ms = pace(take, run.stream.batches(0, _WARM + _PROBED), warm=_WARM, steps=_PROBED, device=run.device)
    turn.give()
    whole = recipe.train.whole_fraction
    steps = int(minutes * 60_000 / (ms * (1 + 2.5 * whole)))
    write_json(plan, {"steps": steps, "step_ms": ms, "minutes": minutes})


def run_arm(
    arm: str, arguments: argparse.Namespace, sources: Sources, sets: dict[str, CaseSet], deadline: float
) -> None:
    """Train an arm as far as the deadline allows, judge it and write its JSON."""
    path, folder = arguments.out / f"{arm}.json", arguments.runs / arm
    if path.exists():
        return
    device = choose_device(arguments.device)
    recipe = recipe_of(arm, str(device))
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    data: Sources | CaseSet = sources
    if recipe.simulate.heads:
        data = HeadStream(sources, recipe, device=device).cases(recipe.simulate.heads, seed=_SEED)
    start = dict(arguments.start).get(recipe.name)
    turn, plan = Turn(arguments.turn), arguments.runs / f"{unseeded(arm)}.plan.json"
    steps = steps_within(recipe, data, plan, start, arguments.minutes, turn)
    left = (deadline - time.monotonic()) / 60 - arguments.reserve / 60
    recipe = replace(recipe, train=replace(recipe.train, steps=steps, minutes=max(left, 0.1)))
    print(f"{arm}: {steps} steps ({time.monotonic() - begun:.0f} s to begin)", flush=True)
    weights, done = load_weights(start) if start else None, True

    def wait(progress: Progress) -> None:
        if progress.step > _COMPILED:
            turn.take()

    try:
        train(recipe, data, folder, start=weights, resume=True, report=wait)
    except Preempted:
        done = False
    finally:
        turn.give()
    weights = load_weights(str(folder / f"{recipe.name}.json"))
    scores = judge(weights.model, sets, device)
    result = {
        "arm": arm,
        "done": done,
        "recipe": to_dict(recipe),
        "provenance": {k: v for k, v in weights.card.provenance.items() if k != "recipe"},
        **machine(device),
        **scores,
    }
    write_json(path if done else arguments.out / f"{arm}.part.json", result)
    for file in (f"{recipe.name}.json", f"{recipe.name}.safetensors"):
        (arguments.out / f"{arm}{Path(file).suffix if file.endswith('s') else '.card.json'}").write_bytes(
            (folder / file).read_bytes()
        )
    if (log := folder / "log.jsonl").exists():
        lines = log.read_text(encoding="utf-8").splitlines()
        (arguments.out / f"{arm}.log").write_text(
            "\n".join(lines[:: max(1, len(lines) // 200)]) + "\n", encoding="utf-8"
        )
    minutes = weights.card.provenance["minutes"]
    print(
        f"{arm}: {'done' if done else 'cut off'} after {minutes} min, {weights.card.provenance['steps']} steps",
        flush=True,
    )
    for name, values in scores["means"].items():
        print("   ", name, {key: round(value, 3) for key, value in values.items()}, flush=True)
    torch.compiler.reset()
    torch.cuda.empty_cache()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of hosts, label maps and outlines")
    parser.add_argument("--out", type=Path, required=True, help="results, and the weights of each arm")
    parser.add_argument("--runs", type=Path, help="folder for the states of runs; default: OUT/runs")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/insula-sources"))
    parser.add_argument("--arms", required=True, help="names joined by commas: `model-crop[-extra ...][-sSEED]`")
    parser.add_argument("--minutes", type=float, default=3.0, help="training time of each arm")
    parser.add_argument("--until", type=float, default=1e9, help="time limit of the whole call, in seconds")
    parser.add_argument("--reserve", type=float, default=45.0, help="seconds of it kept for judging the last arm")
    parser.add_argument("--cases", type=int, default=48)
    parser.add_argument("--part", choices=("validation", "test"), default="validation")
    parser.add_argument(
        "--start",
        action="append",
        default=[],
        type=lambda text: tuple(text.split("=", 1)),
        metavar="MODEL=CARD",
        help="weights that the arms of a model continue from",
    )
    parser.add_argument("--judge-only", action="store_true", help="judge the weights that arms start from")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--turn", type=Path, help="a file that processes on one card share: one at a time trains")
    arguments = parser.parse_args()
    deadline = time.monotonic() + arguments.until
    arguments.runs = arguments.runs or arguments.out / "runs"
    arguments.out.mkdir(parents=True, exist_ok=True)
    device = choose_device(arguments.device)
    begun = time.monotonic()
    box = PrepareConfig().box
    base = recipe_of("enhanced-96", str(device))
    sets = judge_sets(arguments.data, arguments.cache, base, device, arguments.cases, arguments.part)
    sizes = ", ".join(f"{len(cases)} {name}" for name, cases in sets.items())
    print(f"judged by {sizes} ({time.monotonic() - begun:.0f} s)", flush=True)
    if arguments.judge_only:
        for _, name in arguments.start:
            scores = judge(load_weights(name).model, sets, device)
            write_json(arguments.out / f"start-{Path(name).stem}.json", scores)
            print(name, {n: {k: round(v, 3) for k, v in m.items()} for n, m in scores["means"].items()}, flush=True)
    sources = sources_of(arguments.data, "train", box, arguments.cache)
    np.random.seed(0)
    for arm in arguments.arms.split(","):
        if time.monotonic() + arguments.reserve + 60 < deadline:
            run_arm(arm, arguments, sources, sets, deadline)


if __name__ == "__main__":
    main()
