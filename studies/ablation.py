"""What each part of the smart model is worth: the same cohort, steps and seed for every row, each with one more part.

python -m studies.ablation --data DATA --out studies/results/study [--rows baseline,smart] [--steps 7500] [--seed 0]
python -m studies.ablation --out studies/results/study > docs/concepts/ablation-table.md

With --data it trains the missing rows (a GPU, two to four minutes a row); it always ends with the table of the rows at
hand. Every row is compared case by case with the row it adds to. The Swin transformer and the nnU-Net-style network get
the training time of the whole smart model instead of its steps.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from insula.config import AttentionUNet, AugmentConfig, MambaUNet, PlainUNet, Recipe, SEUNet, SwinUNet
from insula.config.recipe import LossName
from insula.metrics import SIZE_BINS
from studies.rows import compared, difference_cells, lesions_found, mean_dice, median_dice, read_rows, table
from studies.trial import (
    Study,
    base_recipe,
    measure_cost,
    open_study,
    probe,
    run_rows,
    run_trial,
    step_ms,
    study_arguments,
)

_MISSION: tuple[tuple[float, LossName], ...] = ((0.35, "dice"), (0.25, "focal"), (0.25, "boundary"), (0.15, "tversky"))
_BY_MINUTES = ("swin", "plain")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    label: str
    against: str | None
    """The row to compare with."""
    cost: str
    """Name of the model whose cost applies."""


ROWS = {
    "baseline": Row("baseline (attention U-Net, Dice + cross-entropy)", None, "attention_unet"),
    "enhanced": Row("+ squeeze-and-excitation + GELU", "baseline", "se_unet"),
    "boundary": Row("+ boundary-aware loss", "enhanced", "se_unet"),
    "state_space": Row("+ state space", "boundary", "mamba_off"),
    "fifo": Row("+ memory: fifo", "state_space", "mamba_fifo"),
    "self_sorting": Row("+ memory: self-sorting", "state_space", "mamba_self_sorting"),
    "mirror": Row("+ memory: self-sorting-mirror", "state_space", "mamba_mirror"),
    "smart": Row("+ augmentation: the smart model whole", "self_sorting", "mamba_self_sorting"),
    "augmented": Row("baseline + augmentation", "baseline", "attention_unet"),
    "full": Row("baseline with a stage at full resolution", "baseline", "attention_full"),
    "swin": Row("Swin transformer 15 M, as many minutes as the smart model", "smart", "swin_unet"),
    "plain": Row("nnU-Net-style 31 M, as many minutes as the smart model", "smart", "plain_unet"),
}


def main() -> None:
    """Train the missing rows, then print the table."""
    arguments = study_arguments(__doc__).parse_args()
    if arguments.data is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        base = base_recipe(arguments)
        study = open_study(arguments, base)
        recipes = _recipes(base)
        names = arguments.rows.split(",") if arguments.rows else list(ROWS)
        arguments.rows = ",".join(row for row in names if row not in _BY_MINUTES)
        if arguments.rows:
            run_rows(recipes, arguments, study)
        for row in _BY_MINUTES:
            if row in names:
                _run_by_minutes(row, recipes[row], study, arguments.out)
        for row in names:
            measure_cost(ROWS[row].cost, recipes[row], study, arguments.out)
    print(_table(arguments.out))


def _recipes(base: Recipe) -> dict[str, Recipe]:
    half = base.model
    assert isinstance(half, AttentionUNet)
    se = SEUNet(stem=half.stem, norm=half.norm)
    mission = replace(base, train=replace(base.train, losses=_MISSION))

    def smart(memory: Literal["off", "fifo", "self_sorting", "self_sorting_mirror"]) -> Recipe:
        return replace(mission, model=MambaUNet(stem=half.stem, norm=half.norm, memory=memory))

    return {
        "baseline": base,
        "enhanced": replace(base, model=se),
        "boundary": replace(mission, model=se),
        "state_space": smart("off"),
        "fifo": smart("fifo"),
        "self_sorting": smart("self_sorting"),
        "mirror": smart("self_sorting_mirror"),
        "smart": replace(smart("self_sorting"), augment=AugmentConfig()),
        "augmented": replace(base, augment=AugmentConfig()),
        "full": replace(base, model=replace(half, stem="full")),
        "swin": replace(base, model=SwinUNet(norm=half.norm)),
        "plain": replace(base, model=PlainUNet()),
    }


def _run_by_minutes(row: str, recipe: Recipe, study: Study, out: Path) -> None:
    """Train for as many steps as fit into the smart model's training time."""
    smart = out / "smart.json"
    if not smart.exists():
        print(f"{row} waits for the row `smart`, whose minutes it gets")
        return
    if not (out / f"{row}.json").exists():
        trial = json.loads(smart.read_text(encoding="utf-8"))
        milliseconds = trial["recipe"]["train"]["steps"] * step_ms(trial["losses"])
        steps = round(milliseconds / probe(recipe, study, out / "runs" / f"probe-{row}"))
        run_trial(row, replace(recipe, train=replace(recipe.train, steps=steps)), study, out)


def _table(out: Path) -> str:
    trials = read_rows(out, ROWS)
    costs = read_rows(out, [f"cost-{row.cost}" for row in ROWS.values()])
    pairs = compared(trials, {name: row.against for name, row in ROWS.items() if row.against is not None})
    head = [
        "",
        "n",
        "Dice, mean [95 %]",
        "median",
        "mean, in windows",
        "against the row it adds to",
        "p (Holm)",
        "lesions found: under 100 voxels",
        "100 to 1k",
        "false lesions a case",
    ]
    rows = []
    for name, trial in trials.items():
        cases = [case for case in trial["held_out"] if case["voxels"]]
        mean, median = mean_dice(cases), median_dice(cases)
        change, p = difference_cells(pairs.get(name))
        change = f"{change} ({ROWS[name].against})" if name in pairs else change
        false = statistics.mean(case["false_lesions"] for case in cases)
        in_windows = [case["dice_windows"] for case in cases if case["dice_windows"] is not None]
        windows = f"{statistics.mean(in_windows):.3f}" if in_windows else "-"
        cells = [
            ROWS[name].label,
            str(len(cases)),
            mean.cell(),
            f"{median.value:.3f}",
            windows,
            change,
            p,
            lesions_found(cases, SIZE_BINS[:2]),
            lesions_found(cases, SIZE_BINS[2:3]),
            f"{false:.1f}",
        ]
        rows.append(cells)
    lines = [table(head, rows), ""]
    head = [
        "",
        "parameters [M]",
        "training",
        "a step, data and all [ms]",
        "whole volume: training step [ms]",
        "peak [GiB]",
        "inference [ms]",
        "peak [GiB]",
        "Dice on its own training cases",
    ]
    rows = []
    for name, trial in trials.items():
        cost = costs.get(f"cost-{ROWS[name].cost}")
        timed = (
            [
                f"{cost[key]:.{digits}f}"
                for key, digits in (("step_ms", 1), ("step_gib", 1), ("volume_ms", 1), ("volume_gib", 1))
            ]
            if cost
            else ["-"] * 4
        )
        own = statistics.mean(case["dice"] for case in trial["train"])
        steps = trial["recipe"]["train"]["steps"]
        size, pace = f"{trial['parameters'] / 1e6:.1f}", f"{step_ms(trial['losses']):.0f}"
        rows.append([ROWS[name].label, size, f"{steps} steps", pace, *timed, f"{own:.3f}"])
    lines.append(table(head, rows))
    if trials:
        first = next(iter(trials.values()))
        where = sorted({trial["device"] for trial in (*trials.values(), *costs.values())})
        heads, knobs = len({case["host"] for case in first["held_out"]}), first["recipe"]["train"]
        lines += [
            "",
            f"{first['cases']} cases to train on, {len(first['held_out'])} held out from {heads} other heads; "
            f"{knobs['batch']} crops of {' x '.join(map(str, knobs['crop']))} a step, a whole head instead in "
            f"{knobs['whole_fraction']:.0%} of the steps; judged on whole volumes at a threshold of 0.5 (of its own "
            "cases, as many); half resolution inside where nothing else is said, batch normalisation but in the "
            f"nnU-Net-style network, bfloat16, seed {knobs['seed']}, {' and '.join(where)}, torch {first['torch']}.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
