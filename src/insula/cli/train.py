"""`insula train`: a recipe and a cohort, or a folder of open data, in; weights out."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional, UseAppendAction

if TYPE_CHECKING:
    from insula.cohort import CaseSet, Sources
    from insula.config import Recipe

__all__ = ["train"]


def train(
    recipe: Positional[Path],
    /,
    data: Path,
    out: Path,
    paint_from: Path | None = None,
    set: UseAppendAction[tuple[str, ...]] = (),
    from_weights: str | None = None,
    resume: bool = False,
    minutes: float = math.inf,
    debug: bool = False,
) -> int:
    """Train a model on a prepared cohort, or on heads simulated from open data; under `torchrun`, on several GPUs.

    Args:
        recipe: A TOML file, e.g. recipes/baseline.toml.
        data: What `insula cohort prepare` wrote, or a folder of hosts, label maps and lesion masks.
        out: Where weights, states and the log go.
        paint_from: Label maps, in such a folder, for the painted heads that augment.synthetic_fraction asks for.
        set: A knob of the recipe, e.g. --set train.steps=100; repeatable.
        from_weights: Fine-tune these (bundled name, folder or file) instead of starting fresh.
        resume: Go on from the newest state in --out.
        minutes: Stop and save after this long.
        debug: Show a traceback on errors.
    """
    from insula.config import load_recipe

    chosen = load_recipe(recipe, set)

    from insula.checkpoint import load_weights
    from insula.cli.console import plain_progress
    from insula.infer import choose_device
    from insula.io import OutputFolder
    from insula.train import World
    from insula.train import train as run

    start = load_weights(from_weights) if from_weights else None
    choose_device(chosen.train.device)
    world = World.join()
    first = world.rank == 0  # the process that writes and speaks
    with OutputFolder(out) if first else nullcontext(out) as folder:
        if first:
            print(f"reading {data} ...", flush=True)
        material, told = _read(data, chosen, paint_from)
        if first:
            many = f", {world.size} processes" if world.size > 1 else ""
            print(f"{told}; {choose_device(chosen.train.device)}{many}", flush=True)
        progress = plain_progress if first else lambda _: None
        sha = run(chosen, material, folder, start=start, resume=resume, minutes=minutes, report=progress)
    if first:
        print(f"weights: {out / chosen.name}.safetensors (SHA-256 {sha[:12]}...)")
    return 0


def _read(data: Path, recipe: Recipe, paint_from: Path | None) -> tuple[CaseSet | Sources, str]:
    """What to train on, and what it is."""
    from insula.cohort import CaseSet, Store, load_sources
    from insula.errors import BadData

    if not (data / "store.json").exists():
        sources = load_sources(data, part="train", box=recipe.prepare.box)
        outlines = f"{len(sources.acute)} acute and {len(sources.chronic)} chronic outlines"
        return sources, f"{len(sources.hosts)} hosts, {outlines}"
    store = Store(data)
    if store.prepare != recipe.prepare:
        knobs = {name: value for name, value in vars(store.prepare).items() if value != getattr(recipe.prepare, name)}
        told = ", ".join(f"prepare.{name} {value}" for name, value in knobs.items())
        rule = f"was prepared with {told}, and the recipe says otherwise"
        raise BadData("the store", data.name, rule, "set these in the recipe")
    cases = CaseSet.from_store(store)
    if paint_from is not None:
        cases = replace(cases, painted_from=load_sources(paint_from, part="train", box=recipe.prepare.box))
    return cases, f"{len(cases)} cases"
