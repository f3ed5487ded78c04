"""Training variants ("arms") compared at equal minutes, on freshly simulated heads or on a fixed cohort of them.

    python -m studies.arms --data DATA --out FOLDER --arms smart-96,enhanced-96 --minutes 3 [--until 540]

Every arm continues from the same weights (`--start-smart`, `--start-enhanced`), with the same seed unless its name ends
in `-s1`, `-s2` and so on. Arms are judged on heads of the validation part, whose hosts and outlines no arm trains on:
48 simulated as in training, the same 48 with an unfamiliar look, and real lesion-free heads with and without skull.
Each arm writes one JSON; an arm that has its JSON is not run again, and an interrupted arm resumes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from insula.augment import Augmentation, augment
from insula.checkpoint import load_weights
from insula.config import PrepareConfig, Recipe, load_recipe, to_dict
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
from insula.train.phases import pace
from insula.train.run import Run
from insula.train.world import World
from studies.clock import machine
from studies.trial import forward, lesion_answer, score

_RECIPES = Path(__file__).parents[1] / "recipes"
_HEADS = (
    "simulate.chronic_fraction=0.8",
    "simulate.most_lesions=3",
    "simulate.further_lesion_fraction=0.3",
    "simulate.small_fraction=0.25",
    "simulate.strip_fraction=0.45",
    "simulate.shift_mm=10",
    "simulate.blend_fraction=0.2",
    "train.focus=lesion",
    "train.compile=true",
    "train.save_minutes=4",
    'train.losses=[[1.0,"dice"],[1.0,"cross_entropy"]]',
)
_CROPS = {
    "64": ("train.crop=[64,64,64]", "train.batch=12"),
    "96": ("train.crop=[96,96,96]", "train.batch=4"),
    "128": ("train.crop=[128,128,128]", "train.batch=2"),
}
_EXTRAS = {
    "fixed": ("simulate.heads=600",),
    "precise": ('train.losses=[[0.7,"dice"],[1.0,"cross_entropy"],[0.3,"precise_tversky"]]',),
    "unpainted": ("simulate.painted_fraction=0",),
    "painted": ("simulate.painted_fraction=0.45",),
    "mission": ('train.losses=[[0.35,"dice"],[0.25,"focal"],[0.25,"boundary"],[0.15,"tversky"]]',),
    "plain": ("simulate.confounders=0",),
    "whole": ("train.whole_fraction=0.04",),
    "compiled": ("simulate.compile=true",),
    "eager": ("train.compile=false",),
    "nomemory": ("model.memory=off",),
    "noscan": ("model.scans=0",),
    "gentle": ("train.lr=2e-4",),
    "controls": ("simulate.control_fraction=0.2",),
}
_PROBED, _WARM = 60, 700
_SEED = 2411


def recipe_of(arm: str, device: str) -> Recipe:
    """The recipe that an arm's name stands for: `model-crop[-extra ...][-sSEED]`."""
    model, crop, *rest = arm.split("-")
    changes = [*_HEADS, *_CROPS[crop]]
    for word in rest:
        changes += [f"train.seed={word[1:]}"] if word[0] == "s" and word[1:].isdigit() else _EXTRAS[word]
    changes.append(f"train.device={device}")
    return replace(load_recipe(_RECIPES / f"{model}.toml", tuple(changes)), name=model)


def sources_of(data: Path, part: Part, box: tuple[int, int, int], cache: Path) -> Sources:
    """Sources of a part, cached for later calls on the same machine."""
    path = cache / f"{part}.pt"
    if path.exists():
        return torch.load(path, weights_only=False)
    sources = load_sources(data, part=part, box=box)
    cache.mkdir(parents=True, exist_ok=True)
    torch.save(sources, path)
    return sources


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
    """Heads that no arm trains on: simulated as in training, with an unfamiliar look, and real and lesion-free."""
    sources = sources_of(data, part, recipe.prepare.box, cache)
    stream = HeadStream(sources, recipe, device=device)
    return {
        "heads": stream.cases(count, seed=_SEED),
        "unfamiliar": stream.cases(count, seed=_SEED, unfamiliar=True),
        "free": free_heads(sources, device),
    }


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


def steps_within(recipe: Recipe, data: Sources | CaseSet, folder: Path, start: str | None, minutes: float) -> int:
    """Number of steps that fit into the minutes; measured once and stored in the folder."""
    kept = folder / "plan.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))["steps"]
    weights = load_weights(start) if start else None
    short = replace(recipe, train=replace(recipe.train, steps=_WARM + _PROBED))
    run = Run(short, data, folder, start=weights, world=World())
    take: Callable[..., Tensor] = partial(run.steps.take, lr=1e-9, rate=1e-3)
    ms = pace(take, run.stream.batches(0, _WARM + _PROBED), warm=_WARM, steps=_PROBED, device=run.device)
    whole = recipe.train.whole_fraction
    steps = int(minutes * 60_000 / (ms * (1 + 2.5 * whole)))
    write_json(kept, {"steps": steps, "step_ms": ms, "minutes": minutes})
    del run
    torch.cuda.empty_cache()
    return steps


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
    start = {"smart": arguments.start_smart, "enhanced": arguments.start_enhanced}.get(recipe.name)
    steps = steps_within(recipe, data, folder, start, arguments.minutes)
    left = (deadline - time.monotonic()) / 60 - arguments.reserve / 60
    recipe = replace(recipe, train=replace(recipe.train, steps=steps, minutes=max(left, 0.1)))
    print(f"{arm}: {steps} steps ({time.monotonic() - begun:.0f} s to begin)", flush=True)
    done = True
    try:
        train(recipe, data, folder, start=load_weights(start) if start else None, resume=True)
    except Preempted:
        done = False
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
    parser.add_argument("--start-smart", help="weights that smart arms continue from")
    parser.add_argument("--start-enhanced", help="weights that enhanced arms continue from")
    parser.add_argument("--judge-only", action="store_true", help="judge the weights that arms start from")
    parser.add_argument("--device", default="auto")
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
        for name in (arguments.start_smart, arguments.start_enhanced):
            if name:
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
