"""What adapting to another hospital brings: simulated heads with an unfamiliar look, 5, 10 and 20 of them.

    python -m studies.adapt --data DATA --out FOLDER [--weights smart] [--counts 5,10,20] [--shuffled 10] [--until 540]

The other hospital's cases are heads of the validation part with an unfamiliar look. Weights adapted to some of them are
judged on others of the same part and look, whose heads and outlines are drawn anew, and on heads as training draws
them: the old test. `--shuffled` gives each case the mask of another: nothing true can be learned from these, and the
left-out cases must not gain. Half of the items of training are simulated heads of the training part.

Each row has what `insula adapt` would decide: the difference on left-out cases with its interval.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from insula.adapt import CaseChange, adapted_recipe, decide, fine_tune
from insula.adapt.folds import deal
from insula.checkpoint import Weights, load_weights
from insula.config import AdaptConfig, PrepareConfig
from insula.infer import choose_device
from insula.io import write_json
from insula.store import CaseSet
from insula.train import HeadStream
from studies.arms import sources_of
from studies.clock import machine
from studies.trial import lesion_answer, score

_CASES_SEED, _UNFAMILIAR_SEED, _OLD_SEED = 7101, 7102, 7103


def some_of(cases: CaseSet, chosen: Sequence[int]) -> CaseSet:
    """The cases of these numbers, with unknown brains, as corrected masks have."""
    return replace(cases.only(chosen), brains=(), centres=())


def shuffled(cases: CaseSet) -> CaseSet:
    """The same images, each with the mask of the next case."""
    return replace(cases, masks=(*cases.masks[1:], cases.masks[0]), fingerprint=f"{cases.fingerprint} shuffled")


def row_of(
    weights: Weights, cases: CaseSet, sets: dict[str, CaseSet], config: AdaptConfig, folder: Path
) -> dict[str, Any]:
    """Adapt to the cases, with folds left out as `insula adapt` does, if any, and judge on the other sets."""
    begun = time.perf_counter()
    device = choose_device(config.device)
    recipe = adapted_recipe(weights.card, config, device, simulated=True)
    changes: list[CaseChange] = []
    before = _dice(weights, cases, device)
    folds = deal(cases.names, config.folds, config.seed) if config.folds else []
    for number, left_out in enumerate(folds):
        kept = [n for n in range(len(cases)) if n not in left_out]
        tuned = _tuned(weights, some_of(cases, kept), recipe, folder / f"fold{number}")
        after = _dice(tuned, some_of(cases, left_out), device)
        changes += [
            CaseChange(
                case=cases.names[n],
                subject=cases.names[n],
                truth_ml=0,
                before=before[n],
                after=dice,
                before_ml=0,
                after_ml=0,
            )
            for n, dice in zip(left_out, after, strict=True)
        ]
    tuned = _tuned(weights, cases, recipe, folder / "all")
    judged = {name: _means(tuned, cases, device) for name, cases in sets.items()}
    row = {"cases": len(cases), **judged, "seconds": time.perf_counter() - begun}
    if not changes:
        return row
    decision = decide(changes)
    mean = decision.difference.mean
    return row | {
        "left_out_before": decision.before.value,
        "left_out_after": decision.after.value,
        "difference": [mean.value, mean.low, mean.high],
        "gained": decision.gained,
    }


def _tuned(weights: Weights, cases: CaseSet, recipe: Any, folder: Path) -> Weights:
    folder.mkdir(parents=True, exist_ok=True)
    return fine_tune(weights, cases, recipe, folder)


def _dice(weights: Weights, cases: CaseSet, device: torch.device) -> list[float]:
    model = weights.model.to(device).eval()
    rows = score(partial(lesion_answer, model), cases, device)
    return [float(row["dice"]) for row in rows]


def _means(weights: Weights, cases: CaseSet, device: torch.device) -> dict[str, float]:
    """Mean Dice of heads with a lesion, and the share of empty masks and the mean false volume of those without."""
    rows = score(partial(lesion_answer, weights.model.to(device).eval()), cases, device)
    free = [row["predicted"] for row in rows if not row["voxels"]]
    return {
        "dice": statistics.fmean(row["dice"] for row in rows if row["voxels"]),
        "empty": sum(not voxels for voxels in free) / max(len(free), 1),
        "false_ml": sum(free) / 1000 / max(len(free), 1),
        "lesion_free": len(free),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of hosts, label maps and outlines")
    parser.add_argument("--cache", type=Path, default=Path("/tmp/insula-sources"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("/tmp/insula-adapt"))
    parser.add_argument("--weights", default="smart")
    parser.add_argument("--counts", default="5,10,20", help="numbers of cases to adapt to")
    parser.add_argument("--shuffled", default="10", help="numbers of cases with masks of other cases")
    parser.add_argument("--judged", type=int, default=24, help="heads to judge on, of each look")
    parser.add_argument("--steps", type=int, default=AdaptConfig().steps)
    parser.add_argument("--folds", type=int, default=AdaptConfig().folds, help="0: adapt to all cases, leave none out")
    parser.add_argument("--lr", type=float, default=AdaptConfig().lr)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--until", type=float, default=1e9, help="start no row after this long [s]")
    arguments = parser.parse_args()
    begun = time.monotonic()
    arguments.out.mkdir(parents=True, exist_ok=True)
    device, weights = choose_device(arguments.device), load_weights(arguments.weights)
    config = AdaptConfig(
        steps=arguments.steps,
        folds=arguments.folds,
        lr=arguments.lr,
        device=str(device),
        seed=arguments.seed,
    )
    box = PrepareConfig().box
    mixed = sources_of(arguments.data, "train", box, arguments.cache)
    stream = HeadStream(
        sources_of(arguments.data, "validation", box, arguments.cache),
        adapted_recipe(weights.card, config, device, simulated=True),
        device=device,
    )
    counts = [int(n) for n in arguments.counts.split(",") if n]
    nulls = [int(n) for n in arguments.shuffled.split(",") if n]
    cases = with_lesion(stream, max([*counts, *nulls]))
    sets = {
        "unfamiliar": stream.cases(arguments.judged, seed=_UNFAMILIAR_SEED, unfamiliar=True),
        "old_test": stream.cases(arguments.judged, seed=_OLD_SEED),
    }
    rows: list[dict[str, Any]] = [
        {"cases": 0, **{name: _means(weights, judged, device) for name, judged in sets.items()}}
    ]
    print(rows[0], f"after {time.monotonic() - begun:.0f} s", flush=True)
    for count, null in [*((n, False) for n in counts), *((n, True) for n in nulls)]:
        if time.monotonic() - begun > arguments.until:
            break
        chosen = replace(some_of(cases, range(count)), painted_from=mixed)
        name = f"{'shuffled' if null else 'cases'}-{count}-{arguments.seed}"
        row = row_of(weights, shuffled(chosen) if null else chosen, sets, config, arguments.runs / name)
        rows.append({**row, "shuffled": null})
        print(name, row, flush=True)
        write_json(arguments.out / f"adapt-{arguments.lr:g}-{arguments.seed}.json", {**machine(device), "rows": rows})


def with_lesion(stream: HeadStream, count: int) -> CaseSet:
    """Heads with an unfamiliar look that have a lesion."""
    recipe = replace(stream.recipe, simulate=replace(stream.recipe.simulate, control_fraction=0.0))
    patients = HeadStream(stream.sources, recipe, device=stream.device)
    drawn = patients.cases(count + count // 4 + 1, seed=_CASES_SEED, unfamiliar=True)
    return some_of(drawn, [n for n, mask in enumerate(drawn.masks) if bool(mask.any())][:count])


if __name__ == "__main__":
    main()
