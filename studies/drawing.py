"""What simulating heads adds to a training step: milliseconds, with the simulator compiled and not.

    python -m studies.drawing --data DATA [--arm smart-96] [--steps 200] [--out studies/results/drawing.json]

Three paces of one run on one GPU: the step on one batch again and again, drawing alone, and both side by side as
training runs them. The excess of the last over the first is the price of drawing.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from insula.config import Recipe
from insula.infer import choose_device
from insula.io import write_json
from insula.synthetic import Sources
from insula.train.phases import pace
from insula.train.run import Run
from insula.train.world import World
from studies.arm_recipes import recipe_of
from studies.arms import sources_of
from studies.clock import machine

_WARM = 700


def paces(recipe: Recipe, sources: Sources, device: torch.device, steps: int) -> dict[str, float]:
    """Milliseconds of a step alone, of drawing alone and of both; seconds until both were timed, warm-up included."""
    begun = time.perf_counter()
    warm = _WARM if device.type == "cuda" else 1
    count = warm + steps
    with tempfile.TemporaryDirectory() as folder:
        whole = replace(recipe, train=replace(recipe.train, steps=count))
        run = Run(whole, sources, Path(folder), start=None, world=World())
        take = partial(run.steps.take, lr=1e-9, rate=1e-3)
        both = pace(take, run.stream.batches(0, count), warm=warm, steps=steps, device=device)
        ready = time.perf_counter() - begun
        batch = run.stream.batch(0)
        alone = pace(take, itertools.repeat(batch), warm=warm and 20, steps=steps, device=device)
        numbers, same = itertools.count(), itertools.repeat(batch)
        drawn = pace(lambda _: run.stream.batch(next(numbers)), same, warm=20, steps=steps, device=device)
    return {"step_ms": alone, "drawing_ms": drawn, "both_ms": both, "share": both / alone - 1, "ready_s": ready}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of hosts, label maps and outlines")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/insula-sources"))
    parser.add_argument("--arm", default="smart-96", help="name of an arm, as in studies/arm_recipes.py")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--compiled", choices=("no", "yes", "both"), default="both", help="whether the simulator is compiled"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("studies/results/drawing.json"))
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    recipe = recipe_of(arguments.arm, str(device))
    sources = sources_of(arguments.data, "train", recipe.prepare.box, arguments.cache)
    rows = {}
    for compiled in {"no": (False,), "yes": (True,), "both": (False, True)}[arguments.compiled]:
        torch.compiler.reset()
        drawn = replace(recipe, simulate=replace(recipe.simulate, compile=compiled))
        name = "compiled" if compiled else "not compiled"
        rows[name] = row = paces(drawn, sources, device, arguments.steps)
        print(
            f"{arguments.arm}, drawing {name}: step {row['step_ms']:.1f} ms, drawing {row['drawing_ms']:.1f} ms, "
            f"side by side {row['both_ms']:.1f} ms (+{row['share']:.0%}); ready after {row['ready_s']:.0f} s",
            flush=True,
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, {**machine(device), "arm": arguments.arm, **rows})


if __name__ == "__main__":
    main()
